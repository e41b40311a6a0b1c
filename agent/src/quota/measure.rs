//! How much of the disk a tree takes that a task has made, whatever it looks like.
//!
//! What the file system has set aside counts, not how long files are; a file with several names counts
//! once. Links are not followed, and what is mounted in the tree is of another. A task may nest
//! directories more deeply than there are descriptors, so only `DEPTH` levels are open at a time: what is
//! deeper waits until they are done. The tree changes meanwhile, and what has gone is not counted.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::dir::{Dir, OwningIter};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::libc::dev_t;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::pace::Pace;

/// Directories that are read at a time; each takes two descriptors.
const DEPTH: usize = 64;

/// Deeper directories that wait.
const WAITING: usize = 64;

/// Directories that are told of.
const TOLD: usize = 3;

/// Bytes of a directory's name that are told.
const SHOWN: usize = 120;

/// What st_blocks counts in.
const BLOCK: u64 = 512;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    pub bytes: u64,
    /// The directories with most in them, not counting those in them: relative to the top.
    pub largest: Vec<(String, u64)>,
    /// Not all was counted: the directories are nested too deeply, in too many places.
    pub too_deep: bool,
    /// Nor was it, for this took too long.
    pub cut: bool,
}

/// Measures the directory `path` and all below it. Only root can change the directories above it. Blocks.
pub fn measure(path: &Path, pace: Pace) -> io::Result<Measured> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = openat(AT_FDCWD, path, flags, Mode::empty())?;
    let stat = fstat(&top)?;
    let mut walk = Walk {
        device: stat.st_dev,
        seen: HashSet::new(),
        measured: Measured::default(),
        waiting: Vec::new(),
        pace,
    };
    let mut next = Some(Waiting {
        directory: top,
        stat,
        name: ".".to_owned(),
    });
    while let Some(waiting) = next {
        walk.descend(waiting)?;
        next = walk.waiting.pop();
    }
    Ok(walk.measured)
}

struct Walk {
    device: dev_t,
    /// Inodes that have several names.
    seen: HashSet<u64>,
    measured: Measured,
    waiting: Vec<Waiting>,
    pace: Pace,
}

struct Waiting {
    directory: OwnedFd,
    stat: FileStat,
    name: String,
}

/// A directory that is being read.
struct Level {
    directory: OwnedFd,
    entries: OwningIter,
    name: String,
    own: u64,
}

impl Walk {
    /// `Err` only for the directory itself.
    fn descend(&mut self, from: Waiting) -> io::Result<()> {
        let mut levels = vec![self.enter(from)?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next().filter(|_| !self.measured.cut) else {
                if let Some(level) = levels.pop() {
                    self.note(level);
                }
                continue;
            };
            self.measured.cut |= !self.pace.step();
            // A directory that has gone while it was read ends like this.
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Some(child) = self.count(level, name) else {
                continue;
            };
            if levels.len() < DEPTH {
                // It has gone.
                let Ok(level) = self.enter(child) else {
                    continue;
                };
                levels.push(level);
            } else if self.waiting.len() < WAITING {
                self.waiting.push(child);
            } else {
                self.measured.too_deep = true;
            }
        }
        Ok(())
    }

    fn enter(&mut self, from: Waiting) -> io::Result<Level> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let entries = Dir::openat(&from.directory, ".", flags, Mode::empty())?.into_iter();
        let own = bytes(&from.stat);
        self.measured.bytes = self.measured.bytes.saturating_add(own);
        Ok(Level {
            directory: from.directory,
            entries,
            name: from.name,
            own,
        })
    }

    /// Adds an entry that is no directory, and opens one that is.
    fn count(&mut self, level: &mut Level, name: &CStr) -> Option<Waiting> {
        let stat = fstatat(&level.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        if stat.st_dev != self.device {
            return None;
        }
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
            let directory = open_child(level.directory.as_fd(), name).ok()?;
            // It may be another one by now.
            let stat = fstat(&directory).ok()?;
            return Some(Waiting {
                directory,
                stat,
                name: below(&level.name, name),
            });
        }
        if stat.st_nlink < 2 || self.seen.insert(stat.st_ino) {
            let bytes = bytes(&stat);
            level.own = level.own.saturating_add(bytes);
            self.measured.bytes = self.measured.bytes.saturating_add(bytes);
        }
        None
    }

    fn note(&mut self, level: Level) {
        let largest = &mut self.measured.largest;
        largest.push((level.name, level.own));
        largest.sort_by(|(_, one), (_, other)| other.cmp(one));
        largest.truncate(TOLD);
    }
}

fn bytes(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK
}

fn open_child(directory: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    loop {
        match openat2(&directory, OsStr::from_bytes(name.to_bytes()), how) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            opened => return opened,
        }
    }
}

/// The path of a directory, as people are told: the beginning of a long one.
fn below(above: &str, name: &CStr) -> String {
    if above.len() > SHOWN {
        return above.to_owned();
    }
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let name: String = name.to_string_lossy().chars().map(plain).collect();
    let mut path = match above {
        "." => name,
        above => format!("{above}/{name}"),
    };
    if path.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|at| path.is_char_boundary(*at));
        path.truncate(end.unwrap_or(0));
        path.push('…');
    }
    path
}

#[cfg(test)]
mod tests;
