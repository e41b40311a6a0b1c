//! The directory of a layer: everything in it is made through its descriptor, and no link on the way is
//! followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("a directory on its way is a symbolic link, or leads out of the layer")]
    ThroughLink,
    #[error("a directory that is not empty is in its place")]
    InTheWay,
    #[error("it links to {0:?}, which the layer does not have")]
    NoTarget(PathBuf),
    #[error("it cannot be made")]
    Make(#[source] io::Error),
}

/// Who it belongs to, and who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    /// With setuid, setgid and sticky.
    pub mode: u32,
    /// Seconds.
    pub modified: i64,
}

/// What the layer has at a path so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

pub struct Place {
    root: OwnedFd,
    /// The directory that was used last: entries mostly come side by side.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Place {
    pub fn open(directory: &Path) -> io::Result<Place> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Place {
            root: openat(AT_FDCWD, directory, flags, Mode::empty())?,
            last: None,
        })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub fn there(&mut self, path: &Path) -> Result<There, PlaceError> {
        let Some(name) = path.file_name() else {
            return Ok(There::Directory);
        };
        let parent = self.parent(path)?;
        match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(kind(&found)),
            Err(Errno::ENOENT) => Ok(There::Nothing),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// One that is there stays.
    pub fn directory(&mut self, path: &Path) -> Result<(), PlaceError> {
        let Some(name) = path.file_name() else {
            return Ok(());
        };
        match mkdirat(self.parent(path)?, name, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) if self.there(path)? == There::Directory => Ok(()),
            Err(Errno::EEXIST) => {
                self.remove(path)?;
                let made = mkdirat(self.parent(path)?, name, Mode::from_bits_truncate(0o755));
                made.map_err(failed)
            }
            made => made.map_err(failed),
        }
    }

    /// A new one, in the place of whatever was there.
    pub fn file(&mut self, path: &Path) -> Result<File, PlaceError> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = self.make(path, |parent, name| openat(parent, name, flags, mode))?;
        Ok(file.into())
    }

    pub fn symlink(&mut self, path: &Path, target: &Path) -> Result<(), PlaceError> {
        self.make(path, |parent, name| symlinkat(target, parent, name))
    }

    pub fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), PlaceError> {
        let missing = || PlaceError::NoTarget(target.to_owned());
        if path == target {
            return Err(missing());
        }
        let name = target.file_name().ok_or_else(missing)?;
        let from = open(&self.root, target.parent().unwrap_or(Path::new("")));
        let from = from.map_err(|error| match error {
            PlaceError::Make(source) if source.kind() == io::ErrorKind::NotFound => missing(),
            other => other,
        })?;
        match fstatat(&from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|found| kind(&found)) {
            Ok(There::Other) => {}
            Ok(There::Directory | There::Whiteout | There::Nothing) | Err(Errno::ENOENT) => {
                return Err(missing());
            }
            Err(errno) => return Err(failed(errno)),
        }
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link is that symbolic link again.
        self.make(path, |parent, to| {
            linkat(&from, name, parent, to, AtFlags::empty())
        })
    }

    pub fn fifo(&mut self, path: &Path) -> Result<(), PlaceError> {
        self.make(path, |parent, name| {
            mknodat(
                parent,
                name,
                SFlag::S_IFIFO,
                Mode::S_IRUSR | Mode::S_IWUSR,
                0,
            )
        })
    }

    /// The kernel's own sign of what is hidden, which anybody may make.
    pub fn whiteout(&mut self, path: &Path) -> Result<(), PlaceError> {
        self.make(path, |parent, name| {
            mknodat(parent, name, SFlag::S_IFCHR, Mode::empty(), 0)
        })
    }

    /// Of anything that was made; the mode of a link is no matter.
    pub fn give(&mut self, path: &Path, owner: Owner, is_link: bool) -> Result<(), PlaceError> {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let parent = self.parent(path)?;
        let no_link = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(parent, name, Some(uid), Some(gid), no_link).map_err(failed)?;
        if !is_link {
            // After the owner, whose change takes bits away. What is there was made here, and is no link.
            let mode = Mode::from_bits_truncate(owner.mode & 0o7777);
            let parent = self.parent(path)?;
            fchmodat(parent, name, mode, FchmodatFlags::FollowSymlink).map_err(failed)?;
        }
        self.set_time(path, owner.modified)
    }

    pub fn set_time(&mut self, path: &Path, modified: i64) -> Result<(), PlaceError> {
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let time = TimeSpec::new(modified, 0);
        let set = utimensat(
            self.parent(path)?,
            name,
            &time,
            &time,
            UtimensatFlags::NoFollowSymlink,
        );
        match set {
            // A time that the file system cannot hold is no reason to fail.
            Ok(()) | Err(Errno::EINVAL) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// To be read, for what is said of it beside its content.
    pub fn made(&mut self, path: &Path) -> Result<OwnedFd, PlaceError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let name = path.file_name().unwrap_or(OsStr::new("."));
        openat(self.parent(path)?, name, flags, Mode::empty()).map_err(failed)
    }

    fn make<T>(
        &mut self,
        path: &Path,
        make: impl Fn(&OwnedFd, &OsStr) -> nix::Result<T>,
    ) -> Result<T, PlaceError> {
        // The layer itself.
        let name = path.file_name().ok_or(PlaceError::InTheWay)?;
        match make(self.parent(path)?, name) {
            Err(Errno::EEXIST) => {
                self.remove(path)?;
                make(self.parent(path)?, name).map_err(failed)
            }
            made => made.map_err(failed),
        }
    }

    fn remove(&mut self, path: &Path) -> Result<(), PlaceError> {
        let name = path.file_name().ok_or(PlaceError::InTheWay)?;
        let parent = self.parent(path)?;
        let removed = match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => unlinkat(parent, name, UnlinkatFlags::RemoveDir),
            removed => removed,
        };
        // It may have been that.
        self.last = None;
        match removed {
            Err(Errno::ENOTEMPTY) => Err(PlaceError::InTheWay),
            removed => removed.map_err(failed),
        }
    }

    /// What holds `path`; it is made where it is missing, as root's.
    fn parent(&mut self, path: &Path) -> Result<&OwnedFd, PlaceError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if self.last.as_ref().is_none_or(|(path, _)| path != parent) {
            let opened = match open(&self.root, parent) {
                Err(PlaceError::Make(error)) if error.kind() == io::ErrorKind::NotFound => {
                    self.make_directories(parent)?
                }
                opened => opened?,
            };
            self.last = Some((parent.to_owned(), opened));
        }
        Ok(self.last.as_ref().map_or(&self.root, |(_, opened)| opened))
    }

    fn make_directories(&self, path: &Path) -> Result<OwnedFd, PlaceError> {
        let mut here = PathBuf::new();
        for name in path {
            let above = open(&self.root, &here)?;
            here.push(name);
            match mkdirat(&above, name, Mode::from_bits_truncate(0o755)) {
                // A link or a file in the way is found when it is opened.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        open(&self.root, path)
    }
}

fn open(root: &OwnedFd, path: &Path) -> Result<OwnedFd, PlaceError> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        );
    openat2(root, path, how).map_err(failed)
}

fn kind(found: &FileStat) -> There {
    match SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => There::Directory,
        SFlag::S_IFCHR if found.st_rdev == 0 => There::Whiteout,
        _ => There::Other,
    }
}

fn failed(errno: Errno) -> PlaceError {
    match errno {
        // What the kernel says here, "too many levels of symbolic links", misleads.
        Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR => PlaceError::ThroughLink,
        errno => PlaceError::Make(errno.into()),
    }
}
