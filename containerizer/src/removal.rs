//! Removes a record, and never anything that is mounted in its place.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Removes a directory and all below it; none is there is fine. Only root can change the directories above
/// it and in it.
///
/// Errors: EBUSY when a file system is mounted there or somewhere below. What is in that is not touched, and
/// what lies beside it may be gone.
pub fn remove(directory: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Err(Errno::EINVAL.into());
    };
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
    match openat2(AT_FDCWD, above, how) {
        Err(Errno::ENOENT) => Ok(()),
        above => Ok(remove_at(&above?, name)?),
    }
}

fn remove_at<N: NixPath + ?Sized>(above: &OwnedFd, name: &N) -> nix::Result<()> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let kind = match openat2(above, name, how) {
        Ok(directory) => {
            empty(&directory)?;
            UnlinkatFlags::RemoveDir
        }
        Err(Errno::ENOTDIR | Errno::ELOOP) => UnlinkatFlags::NoRemoveDir,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EXDEV) => return Err(Errno::EBUSY),
        Err(errno) => return Err(errno),
    };
    match unlinkat(above, name, kind) {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}

fn empty(directory: &OwnedFd) -> nix::Result<()> {
    // Read by a descriptor of its own, to its end, before anything is changed.
    let mut entries = Dir::from_fd(
        directory
            .as_fd()
            .try_clone_to_owned()
            .map_err(|_no_descriptor_left| Errno::EMFILE)?,
    )?;
    let names: Vec<_> = entries
        .iter()
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .collect::<nix::Result<_>>()?;
    let is_link = |name: &CStr| matches!(name.to_bytes(), b"." | b"..");
    let mut inner = names.iter().filter(|name| !is_link(name));
    inner.try_for_each(|name| remove_at(directory, name.as_c_str()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;

    const NONE: Option<&str> = None;

    #[test]
    fn a_tree_is_removed_and_twice_is_fine() {
        let place = tempfile::tempdir().expect("a directory");
        let record = place.path().join("record");
        fs::create_dir_all(record.join("a/b")).expect("directories");
        fs::write(record.join("a/b/file"), "").expect("a file");
        fs::write(place.path().join("kept"), "").expect("a file");
        std::os::unix::fs::symlink(place.path(), record.join("link")).expect("a link");
        remove(&record).expect("removed");
        remove(&record).expect("is gone");
        assert!(!record.exists() && place.path().join("kept").exists());
        remove(&place.path().join("nowhere/record")).expect("was never there");
    }

    #[test]
    fn root_what_is_mounted_in_a_records_place_or_below_it_is_not_touched() {
        let place = tempfile::tempdir().expect("a directory");
        let record = place.path().join("record");
        fs::create_dir_all(record.join("below")).expect("directories");
        for at in [&record, &record.join("below")] {
            mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), NONE).expect("a mount");
            fs::write(at.join("theirs"), "").expect("a file");
            let error = remove(&record).expect_err("something is mounted there");
            assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
            assert!(at.join("theirs").exists());
            umount2(at, MntFlags::empty()).expect("unmounts");
        }
        fs::write(record.join("pid"), "").expect("a file");
        let file = place.path().join("file");
        fs::write(&file, "theirs").expect("a file");
        let pid = record.join("pid");
        mount(Some(&file), &pid, NONE, MsFlags::MS_BIND, NONE).expect("a mount");
        assert!(remove(&record).is_err());
        assert_eq!(fs::read_to_string(&pid).expect("reads"), "theirs");
        umount2(&pid, MntFlags::empty()).expect("unmounts");
        remove(&record).expect("removed");
        assert!(!record.exists() && file.exists());
    }
}
