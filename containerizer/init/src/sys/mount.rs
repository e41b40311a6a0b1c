//! Mounts that are there: copied, moved, changed and let go.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use super::{c_string, check, owned};

/// mount(2) without source, type and data: for propagation and plain binds.
pub fn mount(source: Option<&str>, target: &str, flags: u64) -> io::Result<()> {
    let source = source.map(c_string).transpose()?;
    let target = c_string(target)?;
    let source = source.as_ref().map_or(std::ptr::null(), |s| s.as_ptr());
    // SAFETY: both strings outlive the call; null type and data are what these flags expect.
    check(
        unsafe {
            libc::mount(
                source,
                target.as_ptr(),
                std::ptr::null(),
                flags,
                std::ptr::null(),
            )
        }
        .into(),
    )
    .map(drop)
}

/// f_flag of fstatvfs(3): of the mount, and read-only also where its file system is.
pub fn mount_flags(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut status = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: fstatvfs fills the struct when it succeeds.
    unsafe {
        check(libc::fstatvfs(fd.as_raw_fd(), status.as_mut_ptr()).into())?;
        Ok(status.assume_init().f_flag)
    }
}

/// Stacks the old root on `.`; see pivot_root(2) for why "." twice is right.
pub fn pivot_root_here() -> io::Result<()> {
    let here = c".";
    // SAFETY: constant strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr()) }).map(drop)
}

/// Makes `.` the root of this process.
pub fn change_root_here() -> io::Result<()> {
    // SAFETY: a constant string.
    check(unsafe { libc::chroot(c".".as_ptr()) }.into()).map(drop)
}

pub fn detach(path: &str) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount(s) at `path` below `dir`, or of
/// `dir` itself when `path` is empty.
pub fn clone_tree(dir: RawFd, path: &str, recursive: bool) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let mut flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the string outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// move_mount(2): puts the mount behind `from` on `name` below `to` (on `to` itself when empty).
pub fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    const F_EMPTY_PATH: u32 = 0x04;
    const T_EMPTY_PATH: u32 = 0x40;
    let name = c_string(name)?;
    // SAFETY: the strings outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            c"".as_ptr(),
            to.as_raw_fd(),
            name.as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// mount_setattr(2), Linux 5.12, on the mount behind `fd`. `propagation` 0 leaves it as it is.
pub fn mount_setattr(
    fd: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: 0,
    };
    set_attributes(fd, &attributes, recursive)
}

/// mount_setattr(2) with MOUNT_ATTR_IDMAP: owners on the tree behind `tree`, which must not be mounted
/// yet, are seen through the maps of `namespace`. Linux 5.12.
///
/// Errors: `EINVAL` for a file system that cannot.
pub fn idmap(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let attributes = libc::mount_attr {
        attr_set: MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    set_attributes(tree, &attributes, recursive)
}

fn set_attributes(
    fd: BorrowedFd<'_>,
    attributes: &libc::mount_attr,
    recursive: bool,
) -> io::Result<()> {
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attributes` outlives the call, and the size passed is its size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}
