//! What the kernel tells of processes, mounts and loop devices.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use isolators::IdRange;
use isolators::mountinfo::{self, Mount};
use nix::mount::{MntFlags, umount2};

use super::AuditError;
use crate::identity::Identity;
use crate::runtime_dir;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    pub device: PathBuf,
    pub file: PathBuf,
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// What links of a node's network and pinned namespaces are called by us, from the beginning.
const NAMES: &str = "longshore";

/// Links of our network namespace that have a name of ours.
pub(super) fn links() -> Vec<String> {
    links_of(&fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default())
}

/// proc_pid_net(5).
fn links_of(table: &str) -> Vec<String> {
    let names = table.lines().filter_map(|line| line.split_once(':'));
    let names = names.map(|(name, _counters)| name.trim());
    names
        .filter(|name| name.starts_with(NAMES))
        .map(str::to_owned)
        .collect()
}

/// Wherever it is pinned.
pub(super) fn is_namespace_of_ours(mount: &Mount) -> bool {
    let name = mount.point.file_name().unwrap_or_default();
    mount.fstype == "nsfs" && name.as_bytes().starts_with(NAMES.as_bytes())
}

/// Those strictly below one of the directories, and namespaces that have a name of ours, the newest first: as
/// they can be taken away.
pub(super) fn mounts(directories: &[PathBuf]) -> Result<Vec<Mount>, AuditError> {
    let table = fs::read(MOUNTS).map_err(|source| AuditError::Read {
        path: MOUNTS.into(),
        source,
    })?;
    let is_meant = |mount: &Mount| is_below(mount, directories) || is_namespace_of_ours(mount);
    let mut found: Vec<_> = mountinfo::parse(&table)
        .into_iter()
        .filter(is_meant)
        .collect();
    found.reverse();
    Ok(found)
}

fn is_below(mount: &Mount, directories: &[PathBuf]) -> bool {
    let mut above = directories.iter();
    above.any(|above| mount.point != *above && mount.point.starts_with(above))
}

pub(super) fn mounts_of(table: &[u8], directories: &[PathBuf]) -> Vec<Mount> {
    let all = mountinfo::parse(table).into_iter();
    let mut found: Vec<_> = all.filter(|mount| is_below(mount, directories)).collect();
    found.reverse();
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Takes away what is mounted in the places of containers: those of a container that runs are in its own
/// mount namespace, so nobody can need what this one shows there. To be done before records are removed,
/// or that would reach into what is mounted. Says what it took away.
pub fn unmount_leftovers(runtime_dir: &Path) -> Result<Vec<PathBuf>, AuditError> {
    let places = runtime_dir::containers(&real(runtime_dir));
    let mut taken = Vec::new();
    for mount in mounts(&[places])?
        .into_iter()
        .filter(|mount| !is_namespace_of_ours(mount))
    {
        unmount(&mount).map_err(|source| AuditError::Unmount {
            point: mount.point.clone(),
            source,
        })?;
        taken.push(mount.point);
    }
    Ok(taken)
}

/// Not an error when it is gone.
pub(super) fn unmount(mount: &Mount) -> io::Result<()> {
    let table = fs::read(MOUNTS)?;
    let above: Vec<_> = mount
        .point
        .parent()
        .map(Path::to_owned)
        .into_iter()
        .collect();
    // The one on top is the one that would go.
    let top = mounts_of(&table, &above);
    let top = top.iter().find(|other| other.point == mount.point);
    if top.is_none_or(|top| top.id != mount.id) {
        return Ok(());
    }
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    Ok(umount2(&mount.point, flags)?)
}

/// Without links, as the kernel tells paths.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Of the kernel's list of block devices, /sys/block, those with a file below one of the directories.
pub(super) fn loop_devices(list: &Path, directories: &[PathBuf]) -> Vec<LoopDevice> {
    let devices = fs::read_dir(list).into_iter().flatten().flatten();
    let found = devices.filter_map(|device| {
        let name = device.file_name();
        name.as_bytes().starts_with(b"loop").then_some(())?;
        let file = fs::read(device.path().join("loop/backing_file")).ok()?;
        let file = PathBuf::from(OsString::from_vec(file.trim_ascii_end().to_vec()));
        let mut above = directories.iter();
        above
            .any(|above| file.starts_with(above))
            .then(|| LoopDevice {
                device: Path::new("/dev").join(name),
                file,
            })
    });
    found.collect()
}

/// Where the link to the program of a process leads that runs our `init`.
const INIT: &str = "/memfd:longshore-init";

/// Processes that run our `init`, but for those that are known. One pass over /proc.
pub(super) fn inits(known: &BTreeSet<u32>) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| !known.contains(pid) && runs_init(*pid))
        .collect()
}

pub(crate) fn runs_init(pid: u32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program.as_os_str().as_bytes().starts_with(INIT.as_bytes()))
}

/// Whose exit record a process holds open, of the containers with a place here. A task can have a file of
/// that name in its own mount namespace, but not on that file system.
pub(super) fn container_of(pid: u32, containers: &Path) -> Option<String> {
    let here = fs::metadata(containers).ok()?.dev();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut descriptors = descriptors.filter_map(|descriptor| Some(descriptor.ok()?.path()));
    descriptors.find_map(|descriptor| {
        let file = fs::read_link(&descriptor).ok()?;
        let mut below = file.strip_prefix(containers).ok()?.components();
        let (container, file) = (below.next()?, below.next()?);
        // When the record is gone the kernel says so after the name.
        let file = file.as_os_str().as_bytes();
        let is_record = file == b"status" || file.starts_with(b"status ");
        let is_here = || fs::metadata(&descriptor).is_ok_and(|file| file.dev() == here);
        (is_record && is_here()).then(|| container.as_os_str().to_string_lossy().into_owned())
    })
}

/// What it is called; empty when it is gone.
pub(super) fn name(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    text(name.trim_ascii_end())
}

/// Ids of the host that the user namespace of a process has for itself; `None` where it is the host's.
pub(super) fn ids(process: Identity) -> Option<IdRange> {
    let map = fs::read_to_string(format!("/proc/{}/uid_map", process.pid)).ok()?;
    let mut numbers = map.lines().next()?.split_whitespace().skip(1);
    let (first, count) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    // Read first, asked then: while it lives, nobody else has had its number.
    (first != 0 && process.lives()).then_some(IdRange { first, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_directory_are_told_newest_first_and_by_their_plain_names() {
        let table = b"\
22 1 0:20 / /run rw shared:2 - tmpfs tmpfs rw
30 22 0:21 / /run/l rw - tmpfs tmpfs rw
31 30 0:22 / /run/l/containers/c1 rw shared:7 master:1 - overlay none rw
32 30 0:4 net:[4026532] /run/l/net\\040one rw - nsfs nsfs rw
33 22 0:23 / /run/longer rw - tmpfs tmpfs rw
garbage
";
        let found = mounts_of(table, &["/run/l".into()]);
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.id, it.point.to_str(), &*it.fstype))
            .collect();
        let wanted = [
            (32, Some("/run/l/net one"), "nsfs"),
            (31, Some("/run/l/containers/c1"), "overlay"),
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn root_a_link_of_ours_is_seen_in_the_network_that_we_are_in() {
        // In a network of its own, so that no other look sees it.
        let apart = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network");
            assert!(links().is_empty());
            let words = ["ip", "link", "add", "longshore0", "type", "bridge"];
            let made = std::process::Command::new("busybox").args(words).status();
            assert!(made.expect("busybox").success());
            assert_eq!(links(), ["longshore0"]);
        });
        apart.join().expect("as it should be");
    }

    #[test]
    fn links_and_namespaces_of_ours_are_told_by_their_names() {
        let table = "Inter-|   Receive\n face |bytes\n    lo:  1 2\nlongshore0: 0 0\n  eth0: 5\n";
        assert_eq!(links_of(table), ["longshore0"]);
        let mounts = mountinfo::parse(
            b"30 1 0:4 net:[4026532] /run/netns/longshore-c1 rw - nsfs nsfs rw\n\
              31 1 0:4 net:[4026533] /run/netns/theirs rw - nsfs nsfs rw\n\
              32 1 0:5 / /mnt/longshore rw - tmpfs tmpfs rw\n",
        );
        let ours = mounts.iter().filter(|mount| is_namespace_of_ours(mount));
        let ours: Vec<_> = ours
            .map(|mount| mount.point.display().to_string())
            .collect();
        assert_eq!(ours, ["/run/netns/longshore-c1"]);
    }

    #[test]
    fn loop_devices_are_told_by_their_files() {
        let list = tempfile::tempdir().expect("a directory");
        for (device, file) in [
            ("loop0", "/w/slaves/disk one\n"),
            ("loop1", "/w/slaves-of-another/disk\n"),
            ("vda", "/w/slaves/disk\n"),
        ] {
            let place = list.path().join(device).join("loop");
            fs::create_dir_all(&place).expect("a directory");
            fs::write(place.join("backing_file"), file).expect("a file");
        }
        fs::create_dir(list.path().join("loop2")).expect("a device without a file");
        let found = loop_devices(list.path(), &["/w/slaves".into()]);
        let wanted = LoopDevice {
            device: "/dev/loop0".into(),
            file: "/w/slaves/disk one".into(),
        };
        assert_eq!(found, [wanted]);
    }

    #[test]
    fn the_holder_of_an_exit_record_is_found_by_it_also_when_the_record_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("c1");
        fs::create_dir(&place).expect("a directory");
        let us = std::process::id();
        let containers = real(directory.path());
        let file = fs::File::create(place.join("status")).expect("a file");
        assert_eq!(container_of(us, &containers).as_deref(), Some("c1"));
        fs::remove_dir_all(&place).expect("removes");
        assert_eq!(container_of(us, &containers).as_deref(), Some("c1"));
        drop(file);
        assert_eq!(container_of(us, &containers), None);
        assert!(!runs_init(us));
    }
}
