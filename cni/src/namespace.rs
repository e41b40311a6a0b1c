//! A container's network namespace has a file of its own while plugins may need it: also when the container
//! has ended, and when the agent has.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

/// Makes `file` and has it be the namespace.
pub fn pin(namespace: BorrowedFd<'_>, file: &Path) -> io::Result<()> {
    // Closed before it is covered.
    drop(File::create(file)?);
    let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
    let none: Option<&str> = None;
    Ok(mount(
        Some(source.as_str()),
        file,
        none,
        MsFlags::MS_BIND,
        none,
    )?)
}

/// After a reboot the file is there, and is no namespace.
pub fn is_pinned(file: &Path) -> bool {
    statfs(file).is_ok_and(|it| it.filesystem_type() == NSFS_MAGIC)
}

/// Not an error when there is none.
pub fn unpin(file: &Path) -> io::Result<()> {
    while is_pinned(file) {
        umount2(file, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    match fs::remove_file(file) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
        removed => removed,
    }
}
