//! The container's root directory, and paths beneath it that cannot lead out.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys;

/// A directory that paths start from, and how they may be resolved below it.
pub struct Root {
    fd: OwnedFd,
    resolve: u64,
}

const OPEN_DIR: i32 = libc::O_PATH | libc::O_DIRECTORY;

impl Root {
    /// Links below it mean what they mean to a process that has it as its root.
    pub fn open(path: &str) -> io::Result<Self> {
        let fd = sys::openat2(cwd(), path, OPEN_DIR, 0)?;
        Ok(Self {
            fd,
            resolve: libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
        })
    }

    /// A directory inside, below which links are refused (`ELOOP`).
    pub fn strictly(&self, base: &str) -> io::Result<Self> {
        let fd = self.open_at(base, OPEN_DIR)?;
        Ok(Self {
            fd,
            resolve: libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
        })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// An O_PATH descriptor of what `path` means inside.
    pub fn resolve(&self, path: &str) -> io::Result<OwnedFd> {
        self.open_at(path, libc::O_PATH)
    }

    /// The same where no link may be on the way.
    pub fn open_plainly(&self, path: &str, flags: i32) -> io::Result<OwnedFd> {
        let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_SYMLINKS;
        sys::openat2(self.as_fd(), path, flags, resolve)
    }

    pub fn open_at(&self, path: &str, flags: i32) -> io::Result<OwnedFd> {
        sys::openat2(self.as_fd(), path, flags, self.resolve)
    }

    /// Like `resolve`, but a path that does not exist is `None`.
    pub fn find(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        match self.resolve(path) {
            Ok(found) => Ok(Some(found)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Links are followed inside; with a `base` above `path`, none below it.
    pub fn make_dir(&self, path: &str, base: Option<&str>, mode: u32) -> io::Result<()> {
        self.make(path, base, |parent, name| sys::mkdirat(parent, name, mode))
    }

    pub fn make_file(&self, path: &str, base: Option<&str>) -> io::Result<()> {
        let mode = libc::S_IFREG | 0o644;
        self.make(path, base, |parent, name| {
            sys::mknodat(parent, name, mode, 0)
        })
    }

    fn make(
        &self,
        path: &str,
        base: Option<&str>,
        create: impl Fn(BorrowedFd<'_>, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let strict = base.map(|base| self.strictly(base)).transpose()?;
        let below = base
            .and_then(|base| path.strip_prefix(base))
            .unwrap_or(path);
        let from = strict.as_ref().unwrap_or(self);
        // RESOLVE_BENEATH refuses absolute paths; in a root they mean the same as relative ones.
        let below = below.trim_start_matches('/');
        if below.is_empty() || from.find(below)?.is_some() {
            return Ok(());
        }
        let (parent, name) = from.parent(below)?;
        not_exists(create(parent.as_fd(), name))
    }

    /// The directory that holds the last component of `path`, made where missing, and that component.
    pub fn parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let path = path.trim_matches('/');
        let Some((parent, name)) = path.rsplit_once('/') else {
            return Ok((self.open_at(".", OPEN_DIR)?, path));
        };
        if self.find(parent)?.is_none() {
            let (above, missing) = self.parent(parent)?;
            not_exists(sys::mkdirat(above.as_fd(), missing, 0o755))?;
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
