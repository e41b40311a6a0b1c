//! Attributes of a bind's mount, as far as the mount that it shows must be asked.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use init::mount_attributes::RDONLY;
use init::unsaid::{alone, from_flags, unlocked};
use init::{Attributes, Unsaid};

use crate::sys;

/// `tree` is not mounted yet.
pub fn of_bind(tree: &OwnedFd, said: &Attributes, unsaid: Unsaid) -> io::Result<Attributes> {
    match unsaid {
        Unsaid::Keep {} => Ok(*said),
        Unsaid::Clear {} => Ok(alone(said)),
        Unsaid::KeepLocked {} => unlocked(said, of_mount(tree)?),
    }
}

/// As bits of mount_setattr(2).
fn of_mount(tree: &OwnedFd) -> io::Result<u64> {
    let shown = from_flags(sys::mount_flags(tree.as_fd())?);
    match shown & RDONLY != 0 && is_of_file_system(tree)? {
        true => Ok(shown & !RDONLY),
        false => Ok(shown),
    }
}

/// A file system that can only be read locks nothing: what its mounts say of that is as good as nothing.
fn is_of_file_system(tree: &OwnedFd) -> io::Result<bool> {
    match sys::mount_setattr(tree.as_fd(), 0, RDONLY, 0, false) {
        // The kernel itself locks it.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(false),
        cleared => cleared?,
    }
    let still = from_flags(sys::mount_flags(tree.as_fd())?) & RDONLY != 0;
    sys::mount_setattr(tree.as_fd(), RDONLY, 0, 0, false)?;
    Ok(still)
}
