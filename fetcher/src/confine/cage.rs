//! What the child may do to the rest of the node: nothing but read files, write below one directory, and
//! what else its trade needs.

use std::io;
use std::os::fd::BorrowedFd;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use nix::libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET,
    CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_THREAD,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::calls::{CALLS, OWNERS, SERVERS};

/// What of Landlock is known here; an older kernel holds to less of it.
const KNOWN: ABI = ABI::V6;

/// Of sockets. The C library asks by netlink which addresses the host has.
const FAMILIES: [i32; 4] = [AF_INET, AF_INET6, AF_NETLINK, AF_UNIX];
const THREAD: u64 = CLONE_THREAD as u64;
const NAMESPACES: u64 = (CLONE_NEWCGROUP
    | CLONE_NEWIPC
    | CLONE_NEWNET
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWUSER
    | CLONE_NEWUTS) as u64;

/// What a child is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trade {
    /// Talks to servers.
    Fetching,
    /// Talks to nobody, and makes files that are others', as root.
    Unpacking,
}

impl Trade {
    fn capabilities(self) -> &'static [Capability] {
        match self {
            Self::Fetching => &[],
            Self::Unpacking => &[
                Capability::CAP_CHOWN,
                Capability::CAP_DAC_OVERRIDE,
                Capability::CAP_FOWNER,
                Capability::CAP_FSETID,
                Capability::CAP_SETFCAP,
            ],
        }
    }

    fn calls(self) -> &'static [i64] {
        match self {
            Self::Fetching => SERVERS,
            Self::Unpacking => OWNERS,
        }
    }

    /// What makes a file, a directory or a link; of an image, whiteouts and fifos, too.
    fn writing(self) -> BitFlags<AccessFs> {
        match self {
            Self::Fetching => writing(),
            Self::Unpacking => writing() | AccessFs::MakeChar | AccessFs::MakeFifo,
        }
    }
}

/// To be called while the process has one thread.
pub fn cage(directory: BorrowedFd<'_>, trade: Trade) -> io::Result<()> {
    drop_capabilities(trade)?;
    write_only_below(directory, trade)?;
    only_known_calls(trade)
}

fn drop_capabilities(trade: Trade) -> io::Result<()> {
    let has = |it: &&Capability| caps::has_cap(None, CapSet::Permitted, **it).is_ok_and(|has| has);
    let kept: CapsHashSet = trade.capabilities().iter().filter(has).copied().collect();
    let none = CapsHashSet::new();
    // The permitted ones last: nothing may be effective that is not permitted.
    for (set, to) in [
        (CapSet::Ambient, &none),
        (CapSet::Inheritable, &none),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        caps::set(None, set, to).map_err(io::Error::other)?;
    }
    Ok(())
}

/// By Landlock, where the kernel has it since 5.19: before, nothing could be moved from one directory of the
/// sandbox to another.
fn write_only_below(directory: BorrowedFd<'_>, trade: Trade) -> io::Result<()> {
    if !knows_refer() {
        return Ok(());
    }
    let restricted = || -> Result<(), RulesetError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::BindTcp)?
            .scope(Scope::from_all(KNOWN))?
            .create()?
            .add_rule(PathBeneath::new(directory, read | trade.writing()))?
            .add_rules(root().map(|root| Ok::<_, RulesetError>(PathBeneath::new(root, read))))?
            .restrict_self()?;
        Ok(())
    };
    restricted().map_err(io::Error::other)
}

fn root() -> impl Iterator<Item = PathFd> {
    PathFd::new("/").into_iter()
}

fn knows_refer() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = ruleset.handle_access(AccessFs::Refer);
    ruleset.and_then(Ruleset::create).is_ok()
}

/// What makes a file, a directory or a link, and nothing that makes a device, a socket or a program.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::Refer
}

/// Others are as if the kernel did not have them, which libraries are used to.
fn only_known_calls(trade: Trade) -> io::Result<()> {
    let Ok(machine) = TargetArch::try_from(std::env::consts::ARCH) else {
        // No numbers are known of it.
        return Ok(());
    };
    let calls = CALLS.iter().chain(trade.calls());
    let rules = calls.map(|call| Ok((*call, conditions(*call)?)));
    let rules: Result<_, seccompiler::BackendError> = rules.collect();
    let rules = rules.map_err(io::Error::other)?;
    let missing = SeccompAction::Errno(nix::errno::Errno::ENOSYS as u32);
    let filter = SeccompFilter::new(rules, missing, SeccompAction::Allow, machine);
    let program: Result<BpfProgram, _> = filter.and_then(TryInto::try_into);
    apply_filter(&program.map_err(io::Error::other)?).map_err(io::Error::other)
}

/// What else must hold of a call; one of them is enough.
fn conditions(call: i64) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let first = |operator, value| {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)?;
        SeccompRule::new(vec![condition])
    };
    match call {
        nix::libc::SYS_socket => {
            let families = FAMILIES.iter();
            let families = families.map(|family| first(SeccompCmpOp::Eq, *family as u64));
            families.collect()
        }
        // Threads of this process in its own namespaces.
        nix::libc::SYS_clone => {
            let looked_at = THREAD | NAMESPACES;
            Ok(vec![first(SeccompCmpOp::MaskedEq(looked_at), THREAD)?])
        }
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
    use std::process::Command;

    use nix::errno::Errno;
    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::beneath::Beneath;

    fn refused<T: std::fmt::Debug>(done: io::Result<T>) -> Errno {
        Errno::from_raw(done.unwrap_err().raw_os_error().unwrap())
    }

    /// What is given up belongs to a thread, so that this one takes nothing from other tests.
    fn caged(test: impl FnOnce() + Send + 'static, sandbox: &std::path::Path) {
        let sandbox = Beneath::open(sandbox).unwrap();
        let thread = std::thread::spawn(move || {
            cage(sandbox.as_fd(), Trade::Fetching).unwrap();
            test();
        });
        thread.join().unwrap();
    }

    #[test]
    fn in_the_cage_files_are_written_below_the_sandbox_alone() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, there) = (inside.path().to_owned(), outside.path().to_owned());
        fs::write(there.join("x"), "precious").unwrap();
        let held_to = knows_refer();
        let test = move || {
            fs::create_dir_all(here.join("a/b")).unwrap();
            fs::write(here.join("a/x"), "new").unwrap();
            fs::rename(here.join("a/x"), here.join("a/b/x")).unwrap();
            fs::hard_link(here.join("a/b/x"), here.join("y")).unwrap();
            fs::remove_file(here.join("y")).unwrap();
            assert_eq!(fs::read_to_string(there.join("x")).unwrap(), "precious");
            if held_to {
                assert_eq!(refused(fs::write(there.join("x"), "")), Errno::EACCES);
                assert_eq!(refused(fs::write(there.join("y"), "")), Errno::EACCES);
                assert_eq!(refused(fs::create_dir(there.join("z"))), Errno::EACCES);
                assert_eq!(refused(fs::remove_file(there.join("x"))), Errno::EACCES);
                let out = fs::rename(here.join("a/b/x"), there.join("w"));
                assert!(matches!(refused(out), Errno::EACCES | Errno::EXDEV));
            }
        };
        caged(test, inside.path());
        assert_eq!(
            fs::read_to_string(outside.path().join("x")).unwrap(),
            "precious"
        );
    }

    #[test]
    fn in_the_cage_no_program_is_started_and_no_namespace_made() {
        let inside = tempfile::tempdir().unwrap();
        let test = || {
            Command::new("/bin/true").status().unwrap_err();
            for flags in [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNS] {
                assert_eq!(unshare(flags), Err(Errno::ENOSYS));
            }
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains("\nCapPrm:\t0000000000000000\n"), "{status}");
            std::thread::spawn(|| ()).join().unwrap();
        };
        caged(test, inside.path());
    }

    #[test]
    fn in_the_cage_servers_are_reached_and_none_is_made() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap();
        let inside = tempfile::tempdir().unwrap();
        let test = move || {
            TcpStream::connect(address).unwrap();
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let bound = refused(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
            assert!(matches!(bound, Errno::EACCES | Errno::ENOSYS), "{bound}");
            std::net::ToSocketAddrs::to_socket_addrs("localhost:1").unwrap();
        };
        caged(test, inside.path());
    }
}
