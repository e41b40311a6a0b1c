//! The container's root directory, and paths beneath it that cannot lead out.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys;

pub struct Root {
    fd: OwnedFd,
}

const OPEN_DIR: i32 = libc::O_PATH | libc::O_DIRECTORY;

impl Root {
    pub fn open(path: &str) -> io::Result<Self> {
        let here = sys::openat2(cwd(), path, OPEN_DIR, 0)?;
        Ok(Self { fd: here })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// An O_PATH descriptor of what `path` means inside; links are followed inside.
    pub fn resolve(&self, path: &str) -> io::Result<OwnedFd> {
        self.open_at(path, libc::O_PATH)
    }

    pub fn open_at(&self, path: &str, flags: i32) -> io::Result<OwnedFd> {
        let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        sys::openat2(self.as_fd(), path, flags, resolve)
    }

    /// Like `resolve`, but a path that does not exist is `None`.
    pub fn find(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        match self.resolve(path) {
            Ok(found) => Ok(Some(found)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub fn make_dir(&self, path: &str, mode: u32) -> io::Result<()> {
        if self.find(path)?.is_some() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        not_exists(sys::mkdirat(parent.as_fd(), name, mode))
    }

    pub fn make_file(&self, path: &str) -> io::Result<()> {
        if self.find(path)?.is_some() {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        not_exists(sys::mknodat(parent.as_fd(), name, libc::S_IFREG | 0o644, 0))
    }

    /// The directory that holds the last component of `path`, made where missing, and that component.
    pub fn parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let path = path.trim_end_matches('/');
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if parent.is_empty() { "/" } else { parent };
        if parent != "/" {
            self.make_dir(parent, 0o755)?;
        }
        Ok((self.open_at(parent, OPEN_DIR)?, name))
    }
}

/// Someone else may make the same directory at the same time: that is as good.
fn not_exists(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

pub fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is not a descriptor that can be closed; the *at calls know its meaning.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}
