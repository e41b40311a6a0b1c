//! Names below a directory that is held open, and the working directory.

use std::fs::{File, Metadata};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::{c_string, check, owned};

/// openat2(2), Linux 5.6.
pub fn openat2(root: BorrowedFd<'_>, path: &str, flags: i32, resolve: u64) -> io::Result<OwnedFd> {
    /// Whatever else is renamed or mounted on the node meanwhile, the kernel cannot say where a ".." led.
    const TRIES: usize = 1000;
    let path = c_string(path)?;
    // SAFETY: an all-zero open_how is valid; the kernel checks the size we pass.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    if flags & libc::O_CREAT != 0 {
        how.mode = 0o600;
    }
    how.resolve = resolve;
    let attempt = || {
        // SAFETY: path and `how` outlive the call, and the size is that of `how`.
        owned(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                &how,
                size_of::<libc::open_how>(),
            )
        })
    };
    let again = |opened: &io::Result<OwnedFd>| {
        let error = opened.as_ref().err().and_then(io::Error::raw_os_error);
        error == Some(libc::EAGAIN)
    };
    let mut opened = attempt();
    for _ in 1..TRIES {
        if !again(&opened) {
            break;
        }
        opened = attempt();
    }
    opened
}

/// fstat(2).
pub fn metadata(fd: BorrowedFd<'_>) -> io::Result<Metadata> {
    // SAFETY: `fd` is open as long as it is borrowed, and this file, which does not own it, is not dropped.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) });
    file.metadata()
}

pub fn mkdirat(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode as libc::mode_t) }.into())
        .map(drop)
}

/// mknod(2); with `mode` S_IFREG it makes an empty file.
pub fn mknodat(parent: BorrowedFd<'_>, name: &str, mode: u32, device: u64) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    let ret = unsafe {
        libc::mknodat(
            parent.as_raw_fd(),
            name.as_ptr(),
            mode as libc::mode_t,
            device,
        )
    };
    check(ret.into()).map(drop)
}

pub fn chownat(parent: BorrowedFd<'_>, name: &str, uid: u32, gid: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    let ret = unsafe {
        libc::fchownat(
            parent.as_raw_fd(),
            name.as_ptr(),
            uid,
            gid,
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    check(ret.into()).map(drop)
}

/// Not through links: a new file of our own making, below `parent`.
pub fn chmodat(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    let ret = unsafe { libc::fchmodat(parent.as_raw_fd(), name.as_ptr(), mode as libc::mode_t, 0) };
    check(ret.into()).map(drop)
}

pub fn symlinkat(to: &str, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let (to, name) = (c_string(to)?, c_string(name)?);
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::symlinkat(to.as_ptr(), parent.as_raw_fd(), name.as_ptr()) }.into())
        .map(drop)
}

/// Errors: `EINVAL` for what is no link, `EILSEQ` for one that is not UTF-8.
pub fn readlinkat(parent: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let name = c_string(name)?;
    let mut to = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the string outlives the call; pointer and length describe `to`.
    let ret = unsafe {
        libc::readlinkat(
            parent.as_raw_fd(),
            name.as_ptr(),
            to.as_mut_ptr().cast(),
            to.len(),
        )
    };
    to.truncate(check(ret as libc::c_long)? as usize);
    String::from_utf8(to).map_err(|_utf8| io::Error::from_raw_os_error(libc::EILSEQ))
}

pub fn unlinkat(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), 0) }.into()).map(drop)
}

pub fn rmdirat(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = c_string(name)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) }.into())
        .map(drop)
}

pub fn fchdir(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `fd` stays open for the call.
    check(unsafe { libc::fchdir(fd.as_raw_fd()) }.into()).map(drop)
}

pub fn chdir(path: &str) -> io::Result<()> {
    let path = c_string(path)?;
    // SAFETY: the string outlives the call.
    check(unsafe { libc::chdir(path.as_ptr()) }.into()).map(drop)
}

/// Whether the working directory lies below this process' root. getcwd(2) tells it by its first byte.
pub fn is_inside() -> io::Result<bool> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: pointer and length describe `path`.
    check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })?;
    Ok(path[0] == b'/')
}
