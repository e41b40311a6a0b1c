//! A mount namespace in which there is nothing but an empty directory that nobody can write to: the
//! mounts of containers with a root file system of their own begin as a copy of it.
//!
//! To copy ours instead, and to let go of the copy with pivot_root(2) and umount2(2), takes the kernel a
//! time that grows with the mounts and the processes of the node. And where nothing of the host ever was,
//! nothing of it can be come back to.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use nix::unistd::{UnlinkatFlags, chdir, chroot, pivot_root, unlinkat};

/// Made when it is first asked for: many agents never need it.
#[derive(Debug, Default)]
pub struct Cradle(OnceLock<Option<OwnedFd>>);

impl Cradle {
    /// The namespace. `None` where it cannot be made, or not all be done in it that a launch may have to
    /// do: containers come to their root the other way there. `staging`: an existing directory. Blocks
    /// the first time, for about as long as a launch.
    pub fn get(&self, staging: &Path) -> Option<BorrowedFd<'_>> {
        let made = self.0.get_or_init(|| {
            let made = thread::scope(|scope| scope.spawn(|| make(staging)).join());
            let made = made.unwrap_or(Err(nix::Error::ECANCELED));
            made.inspect_err(
                |error| tracing::info!(%error, "no empty mount namespace can be made: launches take a little longer"),
            )
            .ok()
        });
        made.as_ref().map(OwnedFd::as_fd)
    }
}

/// Leaves the mount namespace of this thread, for good.
fn make(staging: &Path) -> nix::Result<OwnedFd> {
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // No path leads there from inside.
    let proc = File::open("/proc").map_err(|_closed| nix::Error::ENOENT)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount::<str, _, str, str>(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // Room for what is tried below.
    let options = Some("mode=555,size=4k,nr_inodes=2");
    mount(Some("tmpfs"), staging, Some("tmpfs"), flags, options)?;
    chdir(staging)?;
    pivot_root(".", ".")?;
    // Where we come from lies on top.
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    // Who launches into it has our rights.
    let here = nix::fcntl::open("/", directory, Mode::empty())?;
    mknodat(&here, "null", SFlag::S_IFCHR, Mode::empty(), makedev(1, 3))?;
    unlinkat(&here, "null", UnlinkatFlags::NoRemoveDir)?;
    chroot(".")?;
    let read_only = flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount::<str, _, str, str>(None, "/", None, read_only, None)?;
    openat(
        &proc,
        "thread-self/ns/mnt",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sched::setns;

    use super::*;

    #[test]
    fn root_there_is_nothing_in_it_and_nothing_can_be_put_there() {
        let staging = tempfile::tempdir().expect("a directory");
        let before = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let cradle = Cradle::default();
        let namespace = cradle.get(staging.path()).expect("is made");
        let found = thread::scope(|scope| {
            let look = || {
                let proc = File::open("/proc").expect("a procfs");
                // A thread has its directory from the others.
                unshare(CloneFlags::CLONE_FS)?;
                setns(namespace, CloneFlags::CLONE_NEWNS)?;
                let entries = fs::read_dir("/").map(Iterator::count);
                let written = fs::write("/x", "");
                let mounts = "thread-self/mountinfo";
                let mounts = openat(&proc, mounts, OFlag::O_RDONLY, Mode::empty())?;
                let mounts = std::io::read_to_string(File::from(mounts));
                let mounts = mounts.map(|text| text.lines().count()).ok();
                nix::Result::Ok((entries.ok(), written.map_err(|e| e.kind()), mounts))
            };
            scope.spawn(look).join().expect("looks")
        });
        let refused = Err(std::io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(found, Ok((Some(0), refused, Some(1))));
        // Nothing of this came to the host, nor has this thread gone anywhere.
        let after = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert_eq!(after, before);
    }
}
