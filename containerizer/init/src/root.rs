//! The container's root directory, and paths beneath it that cannot lead out.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys;

/// A directory that paths start from, and how they may be resolved below it.
pub struct Root {
    fd: OwnedFd,
    resolve: u64,
    /// It is not the host's: what looks like a directory of the kernel's may be a link elsewhere.
    foreign: bool,
}

/// How paths are followed, and from where.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: BorrowedFd<'a>,
    resolve: u64,
}

/// Links are refused (`ELOOP`).
const STRICTLY: u64 = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;

const OPEN_DIR: i32 = libc::O_PATH | libc::O_DIRECTORY;

/// Programs trust what they read and write below these.
const KERNELS: [&str; 3] = ["proc", "sys", "dev"];

impl Root {
    /// Links below it mean what they mean to a process that has it as its root.
    pub fn open(path: &str) -> io::Result<Self> {
        sys::openat2(cwd(), path, OPEN_DIR, 0).map(Self::of_host)
    }

    /// A directory that shows what the host's root does.
    pub fn of_host(fd: OwnedFd) -> Self {
        Self {
            fd,
            resolve: libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
            foreign: false,
        }
    }

    /// A root file system of the container's own, whoever made it.
    pub fn foreign(fd: OwnedFd) -> Self {
        Self {
            fd,
            resolve: libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
            foreign: true,
        }
    }

    /// A directory inside, below which links are refused (`ELOOP`).
    pub fn strictly(&self, base: &str) -> io::Result<Self> {
        let fd = self.open_at(base, OPEN_DIR)?;
        Ok(Self {
            fd,
            resolve: STRICTLY,
            foreign: false,
        })
    }

    fn here(&self) -> Way<'_> {
        Way {
            from: self.fd.as_fd(),
            resolve: self.resolve,
        }
    }

    /// How to come to a path that is mounted on or made: below the kernel's directories no link is
    /// followed, nor may they be links themselves (CVE-2019-19921, CVE-2023-27561).
    fn way_to(&self, path: &str) -> Way<'_> {
        let top = path.trim_start_matches('/').split('/').next();
        let guarded = self.foreign && top.is_some_and(|top| KERNELS.contains(&top));
        match guarded {
            true => Way {
                resolve: STRICTLY,
                ..self.here()
            },
            false => self.here(),
        }
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

    /// Like `resolve` for what is to be mounted on.
    pub fn mount_point(&self, path: &str) -> io::Result<OwnedFd> {
        self.way_to(path).open(path, libc::O_PATH)
    }

    pub fn open_at(&self, path: &str, flags: i32) -> io::Result<OwnedFd> {
        self.here().open(path, flags)
    }

    /// What is to be hidden or closed: `None` when it is not there, or nobody in here can come near it,
    /// like what root of a user namespace finds closed.
    pub fn find_reachable(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        match self.here().find(path, libc::O_PATH) {
            Err(e) if e.raw_os_error() == Some(libc::EACCES) => Ok(None),
            found => found,
        }
    }

    /// Links are followed inside; with a `base` above `path`, none below it. Whether it was missing.
    pub fn make_dir(&self, path: &str, base: Option<&str>, mode: u32) -> io::Result<bool> {
        self.make(path, base, |parent, name| sys::mkdirat(parent, name, mode))
    }

    pub fn make_file(&self, path: &str, base: Option<&str>) -> io::Result<()> {
        let mode = libc::S_IFREG | 0o644;
        self.make(path, base, |parent, name| {
            sys::mknodat(parent, name, mode, 0)
        })
        .map(drop)
    }

    fn make(
        &self,
        path: &str,
        base: Option<&str>,
        create: impl Fn(BorrowedFd<'_>, &str) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(base) = base else {
            return self.way_to(path).make_behind_links(path, &create, LINKS);
        };
        let below = path.strip_prefix(base).unwrap_or(path);
        let strict = self.strictly(base)?;
        strict.here().make_behind_links(below, &create, LINKS)
    }

    /// The directory that is to hold the last component of `path`, made where missing, and that component.
    pub fn place<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        self.way_to(path).parent(path)
    }
}

impl Way<'_> {
    fn open(self, path: &str, flags: i32) -> io::Result<OwnedFd> {
        // Some ways refuse absolute paths; in a root they mean the same as relative ones.
        let path = match path.trim_start_matches('/') {
            "" => ".",
            path => path,
        };
        sys::openat2(self.from, path, flags, self.resolve)
    }

    /// A path that does not exist is `None`.
    fn find(self, path: &str, flags: i32) -> io::Result<Option<OwnedFd>> {
        match self.open(path, flags) {
            Ok(found) => Ok(Some(found)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Where a link leads to nothing yet, it is made there.
    fn make_behind_links(
        self,
        path: &str,
        create: &impl Fn(BorrowedFd<'_>, &str) -> io::Result<()>,
        links: u32,
    ) -> io::Result<bool> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.find(path, libc::O_PATH)?.is_some() {
            return Ok(false);
        }
        let (parent, name) = self.parent(path)?;
        match create(parent.as_fd(), name) {
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {}
            made => return made.map(|()| true),
        }
        match behind(parent.as_fd(), path)? {
            Some(to) if links > 0 => self.make_behind_links(&to, create, links - 1),
            Some(_) => Err(io::Error::from_raw_os_error(libc::ELOOP)),
            // Someone else may make the same at the same time: that is as good.
            None => Ok(false),
        }
    }

    fn parent(self, path: &str) -> io::Result<(OwnedFd, &str)> {
        let path = path.trim_matches('/');
        let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
        if let Some(parent) = self.find(above, OPEN_DIR)? {
            return Ok((parent, name));
        }
        let make = |parent: BorrowedFd<'_>, name: &str| sys::mkdirat(parent, name, 0o755);
        self.make_behind_links(above, &make, LINKS)?;
        Ok((self.open(above, OPEN_DIR)?, name))
    }
}

/// As many as the kernel follows.
const LINKS: u32 = 40;

/// Where the last component of `path`, which is in `parent`, leads if it is a link.
fn behind(parent: BorrowedFd<'_>, path: &str) -> io::Result<Option<String>> {
    let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
    let to = match sys::readlinkat(parent, name) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
        to => to?,
    };
    Ok(Some(match to.starts_with('/') {
        true => to,
        false => format!("{above}/{to}"),
    }))
}

pub fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is not a descriptor that can be closed; the *at calls know its meaning.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}
