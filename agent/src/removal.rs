//! Removal of a directory tree that a task has made, whatever it looks like.
//!
//! A task may nest directories so deeply that no path is long enough and no stack deep enough for
//! them, so nothing here goes down: every directory that is not empty is moved up to the top of the
//! tree, and there emptied in the same way. Each is moved at most once. Five descriptors are open at
//! any time, no list of names is kept, links are removed and never followed, and the kernel refuses
//! to cross into another mount (`RESOLVE_NO_XDEV`).

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use containerizer::project_quota::stop_inheriting_project;
use failpoint::{Point, reach};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, fchown, getegid, geteuid, unlinkat};

/// For one tree. One that takes longer goes on in the next round: what is gone is gone.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Another process of the task's user may add to a directory while it is being emptied.
const ATTEMPTS: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("cannot open {}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot remove {name:?}, which was somewhere below {}", .tree.display())]
    Entry {
        tree: PathBuf,
        name: CString,
        source: io::Error,
    },
    #[error(
        "cannot remove {name:?}, which was somewhere below {}: a file system is mounted there; \
         unmount it",
        .tree.display()
    )]
    Mounted { tree: PathBuf, name: CString },
    #[error("{} takes long to remove: the rest is left for the next time", .0.display())]
    Slow(PathBuf),
    #[error("cannot remove {}", .path.display())]
    Top { path: PathBuf, source: io::Error },
}

/// Removes `path` and all below it; none is there is fine. Only root can change the directories
/// above `path`. After an error the tree is as old as can be, so that it stays due. Blocks.
pub fn remove_tree(path: &Path) -> Result<(), RemoveError> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let open = |source: Errno| RemoveError::Open {
        path: path.to_owned(),
        source: source.into(),
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let above = match openat(AT_FDCWD, above, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        opened => opened.map_err(open)?,
    };
    let top = match open_child(&above, name) {
        Err(Errno::ENOENT) => return Ok(()),
        // Not a directory at all.
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            return remove_top(&above, name, path, UnlinkatFlags::NoRemoveDir);
        }
        opened => opened.map_err(open)?,
    };
    close_to_others(&top);
    // Nothing of another project could be moved here, and a task may have changed that of its own. Where
    // there are no projects there is nothing to change.
    let _ = stop_inheriting_project(top.as_fd());
    let mut tree = Tree {
        top,
        next: 0,
        done: 0,
        deadline: Instant::now() + PATIENCE,
        failure: None,
    };
    let outcome = match tree.empty() {
        Ok(()) => {
            reach(Point::TreeEmpty);
            remove_top(&above, name, path, UnlinkatFlags::RemoveDir)
        }
        Err(stopped) => Err(stopped.told_of(path)),
    };
    if outcome.is_err() {
        let aged = std::fs::File::from(tree.top).set_modified(SystemTime::UNIX_EPOCH);
        if let Err(error) = aged {
            tracing::debug!(tree = %path.display(), %error, "cannot age a tree");
        }
    }
    outcome
}

fn remove_top(
    above: &OwnedFd,
    name: &OsStr,
    path: &Path,
    kind: UnlinkatFlags,
) -> Result<(), RemoveError> {
    match unlinkat(above, name, kind) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(RemoveError::Top {
            path: path.to_owned(),
            source: errno.into(),
        }),
    }
}

/// Other tasks of the same user are kept from adding to the tree. Where that cannot be done, it can
/// still be removed.
fn close_to_others(top: &OwnedFd) {
    let closed = fchown(top, Some(geteuid()), Some(getegid())).and_then(|()| {
        let private = Mode::S_IRWXU;
        fchmod(top, private)
    });
    if let Err(error) = closed {
        tracing::debug!(%error, "cannot close a tree before its removal");
    }
}

/// Opens a directory that is right here, of this file system, and no link.
fn open_child(directory: &OwnedFd, name: impl AsRef<OsStr>) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    openat2(directory, name.as_ref(), how)
}

/// Why a tree is not empty yet.
#[derive(Debug)]
enum Stopped {
    Slow,
    At { name: CString, errno: Errno },
}

impl Stopped {
    fn told_of(self, tree: &Path) -> RemoveError {
        let tree = tree.to_owned();
        match self {
            Stopped::Slow => RemoveError::Slow(tree),
            Stopped::At {
                name,
                errno: Errno::EXDEV | Errno::EBUSY,
            } => RemoveError::Mounted { tree, name },
            Stopped::At { name, errno } => RemoveError::Entry {
                tree,
                name,
                source: errno.into(),
            },
        }
    }
}

struct Tree {
    top: OwnedFd,
    /// Number of the next directory that is moved to the top: its name there.
    next: u64,
    /// Those with smaller numbers have been emptied.
    done: u64,
    deadline: Instant,
    /// The first entry of this round that could not be removed.
    failure: Option<Stopped>,
}

impl Tree {
    fn empty(&mut self) -> Result<(), Stopped> {
        for _ in 0..ATTEMPTS {
            self.failure = None;
            let mut top = read(&self.top).map_err(|errno| Stopped::At {
                name: c".".to_owned(),
                errno,
            })?;
            let mut is_empty = true;
            for entry in top.iter() {
                let Some(name) = inner_name(&entry)? else {
                    continue;
                };
                is_empty = false;
                self.remove(name)?;
                reach(Point::TreeCut);
            }
            while self.done < self.next {
                let name = moved_name(self.done);
                self.done += 1;
                self.remove(&name)?;
            }
            if is_empty {
                return Ok(());
            }
        }
        // The last look has found something, and what stayed is known.
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Removes an entry of the top.
    fn remove(&mut self, name: &CStr) -> Result<(), Stopped> {
        if Instant::now() >= self.deadline {
            return Err(Stopped::Slow);
        }
        for _ in 0..ATTEMPTS {
            match remove_entry(&self.top, name) {
                Ok(()) => return Ok(()),
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => self.empty_child(name)?,
                Err(errno) => {
                    self.note(name, errno);
                    return Ok(());
                }
            }
        }
        self.note(name, Errno::ENOTEMPTY);
        Ok(())
    }

    /// Removes what is in the directory `name` of the top, or moves it to the top.
    fn empty_child(&mut self, name: &CStr) -> Result<(), Stopped> {
        let child = match open_child(&self.top, OsStr::from_bytes(name.to_bytes())) {
            Ok(child) => child,
            Err(errno) => {
                self.note(name, errno);
                return Ok(());
            }
        };
        let mut entries = match read(&child) {
            Ok(entries) => entries,
            Err(errno) => {
                self.note(name, errno);
                return Ok(());
            }
        };
        for entry in entries.iter() {
            if Instant::now() >= self.deadline {
                return Err(Stopped::Slow);
            }
            let Some(name) = inner_name(&entry)? else {
                continue;
            };
            let removed = match remove_entry(&child, name) {
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => self.move_up(&child, name),
                removed => removed,
            };
            if let Err(errno) = removed {
                self.note(name, errno);
            }
        }
        Ok(())
    }

    fn move_up(&mut self, child: &OwnedFd, name: &CStr) -> nix::Result<()> {
        loop {
            let moved = renameat(child, name, &self.top, moved_name(self.next).as_c_str());
            self.next += 1;
            match moved {
                // The task has used this name itself.
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                moved => return moved,
            }
        }
    }

    fn note(&mut self, name: &CStr, errno: Errno) {
        self.failure.get_or_insert(Stopped::At {
            name: name.to_owned(),
            errno,
        });
    }
}

fn moved_name(number: u64) -> CString {
    // Digits hold no NUL.
    CString::new(format!(".removed-{number}")).unwrap_or_default()
}

fn read(directory: &OwnedFd) -> nix::Result<Dir> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Dir::openat(directory, ".", flags, Mode::empty())
}

/// `None` for the entries that every directory has.
fn inner_name(entry: &nix::Result<nix::dir::Entry>) -> Result<Option<&CStr>, Stopped> {
    match entry {
        Ok(entry) => {
            Ok(Some(entry.file_name()).filter(|name| !matches!(name.to_bytes(), b"." | b"..")))
        }
        Err(errno) => Err(Stopped::At {
            name: c".".to_owned(),
            errno: *errno,
        }),
    }
}

/// Anything but a directory with something in it. What has gone is removed.
fn remove_entry(directory: &OwnedFd, name: &CStr) -> nix::Result<()> {
    let removed = match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => unlinkat(directory, name, UnlinkatFlags::RemoveDir),
        removed => removed,
    };
    match removed {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
