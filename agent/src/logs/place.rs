//! A log and the files beside it, by their names in a sandbox.
//!
//! Whatever has such a name may be the task's doing, so a name leads to a file only if that is a
//! plain one in this very directory: no link is followed, nothing is waited for, and everything is
//! done through the descriptor.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;
use std::time::Duration;

use containerizer::LOG_LOCK;
use nix::errno::Errno;
use nix::fcntl::{
    AT_FDCWD, FallocateFlags, FcntlArg, OFlag, OpenHow, ResolveFlag, fallocate, fcntl, openat,
    openat2, renameat,
};
use nix::libc::{F_WRLCK, SEEK_SET, flock};
use nix::sys::stat::Mode;
use nix::sys::statfs::fstatfs;
use nix::unistd::{UnlinkatFlags, Whence, lseek, unlinkat};

use super::record::Record;

/// Longer than any record.
const LONGEST_RECORD: u64 = 4096;

/// What bytes are given back in, at least.
const PAGE: u64 = 4096;

#[derive(Debug)]
pub struct Place {
    directory: OwnedFd,
    log: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// How a beginning can be taken off a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The file begins with what came after.
    Out,
    /// The file system cannot do that: there is a hole.
    Hollow,
}

impl Place {
    /// `log` in a sandbox whose parents only root can change.
    pub fn at(sandbox: &Path, log: &'static str) -> io::Result<Place> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, sandbox, flags, Mode::empty())?;
        Ok(Place { directory, log })
    }

    pub fn beneath(directory: OwnedFd, log: &'static str) -> Place {
        Place { directory, log }
    }

    fn copy(&self) -> String {
        format!(".{}.rotating", self.log)
    }

    fn state(&self) -> String {
        format!("{}.logrotate.state", self.log)
    }

    fn rotated(&self, number: u32) -> String {
        format!("{}.{number}", self.log)
    }

    /// `None` when there is none that is a plain file. One that others may share, by a link or a
    /// name of their own, is not for writing.
    pub fn open_log(&self, access: Access) -> io::Result<Option<File>> {
        let Some(file) = self.open(self.log, access)? else {
            return Ok(None);
        };
        let (log, sandbox) = (file.metadata()?, nix::sys::stat::fstat(&self.directory)?);
        let is_the_tasks =
            log.nlink() == 1 && (log.dev(), log.uid()) == (sandbox.st_dev, sandbox.st_uid);
        Ok((access == Access::Read || is_the_tasks).then_some(file))
    }

    /// Newest is 1.
    pub fn open_rotated(&self, number: u32) -> io::Result<Option<File>> {
        self.open(&self.rotated(number), Access::Read)
    }

    /// What is being made the newest rotated file.
    pub fn open_copy(&self) -> io::Result<Option<File>> {
        self.open(&self.copy(), Access::Read)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Option<File>> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
        let found = match openat2(&self.directory, name, how) {
            Err(Errno::ENOENT | Errno::ELOOP | Errno::EXDEV) => return Ok(None),
            found => found?,
        };
        // The link in /proc leads to the very thing that was found, whatever its name is by now.
        let link = format!("/proc/self/fd/{}", found.as_raw_fd());
        if !std::fs::metadata(&link)?.is_file() {
            return Ok(None);
        }
        let opened = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(link)?;
        Ok(Some(opened))
    }

    /// An empty file for a copy, of the log's owner.
    pub fn create_copy(&self, log: &File) -> io::Result<File> {
        self.remove_copy()?;
        let copy = self.create(&self.copy())?;
        let log = log.metadata()?;
        copy.set_permissions(Permissions::from_mode(0o644))?;
        fchown(&copy, Some(log.uid()), Some(log.gid()))?;
        Ok(copy)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat(
            &self.directory,
            name,
            flags,
            Mode::from_bits_truncate(0o600),
        )?))
    }

    pub fn remove_copy(&self) -> io::Result<()> {
        self.remove(&self.copy()).map(drop)
    }

    /// Makes the copy the newest rotated file, of which there may be `keep` then. Done again, it
    /// goes on where it was interrupted.
    pub fn name_copy(&self, keep: u32) -> io::Result<()> {
        if !self.exists(&self.copy())? {
            return Ok(());
        }
        let mut last = 0;
        while last < keep && self.exists(&self.rotated(last + 1))? {
            last += 1;
        }
        for number in (1..=last).rev() {
            match number < keep {
                true => self.rename(&self.rotated(number), &self.rotated(number + 1))?,
                false => drop(self.remove(&self.rotated(number))?),
            }
        }
        self.rename(&self.copy(), &self.rotated(1))
    }

    /// Removes rotated files but for the newest `keep`.
    pub fn remove_rotated(&self, keep: u32) -> io::Result<()> {
        let mut number = keep + 1;
        while self.remove(&self.rotated(number))? {
            number += 1;
        }
        Ok(())
    }

    /// False when there was none.
    fn remove(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.directory, from, &self.directory, to)?)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(_found) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// `None` when there is none that can be read.
    pub fn record(&self) -> io::Result<Option<Record>> {
        let Some(file) = self.open(&self.state(), Access::Read)? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        file.take(LONGEST_RECORD).read_to_end(&mut text)?;
        Ok(Record::parse(&text))
    }

    /// Whoever reads it sees the old one or the new one.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        let (new, state) = (format!(".{}", self.state()), self.state());
        self.remove(&new)?;
        let mut file = self.create(&new)?;
        let written = file
            .write_all(record.text().as_bytes())
            .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
            .and_then(|()| self.rename(&new, &state));
        if written.is_err() {
            self.remove(&new)?;
        }
        written
    }
}

/// Where a file's bytes begin: 0, or the end of the hole at its beginning.
pub fn first_byte(file: &File) -> io::Result<u64> {
    // Before the rest: what is appended meanwhile begins there, and must not be taken for a hole.
    let size = file.metadata()?.len();
    match lseek(file, 0, Whence::SeekData) {
        Ok(offset) => Ok(offset.unsigned_abs()),
        // Nothing but a hole, or nothing at all.
        Err(Errno::ENXIO) => Ok(size),
        // A file system that knows of no holes.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Keeps `init` from taking bytes out of a log until `file` is closed. Those that a task made itself
/// are not waited for long: it harms its own log.
pub fn lock(file: &File) {
    const TRIES: usize = 50;
    // A lock of the open file's has no process.
    let lock = flock {
        l_type: F_WRLCK as i16,
        l_whence: SEEK_SET as i16,
        l_start: LOG_LOCK,
        l_len: 1,
        l_pid: 0,
    };
    for _ in 0..TRIES {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
            Err(Errno::EAGAIN | Errno::EACCES) => std::thread::sleep(Duration::from_millis(1)),
            // A file system without locks: then nobody has one.
            _ => return,
        }
    }
}

/// What the file system gives a file's bytes back in.
pub fn block(file: &File) -> io::Result<u64> {
    let block = fstatfs(file)?.block_size();
    Ok(u64::try_from(block).unwrap_or(0).max(PAGE))
}

/// Gives back bytes of `file`: there is a hole then.
pub fn hollow(file: &File, from: u64, to: u64) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(file, flags, signed(from)?, signed(to - from)?)?)
}

/// Takes all before `end` out of `file`, or hollows it.
pub fn take_out(file: &File, end: u64) -> io::Result<Taken> {
    let flags = FallocateFlags::FALLOC_FL_COLLAPSE_RANGE;
    match fallocate(file, flags, 0, signed(end)?) {
        Ok(()) => Ok(Taken::Out),
        // Not all file systems can, and some only in larger pieces than they tell.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
            hollow(file, 0, end)?;
            Ok(Taken::Hollow)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn signed(n: u64) -> io::Result<i64> {
    i64::try_from(n).map_err(|_too_large| Errno::EFBIG.into())
}
