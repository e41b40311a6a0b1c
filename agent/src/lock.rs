//! One agent at a time in a directory: two would take each other's tasks for orphans.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use failpoint::{Point, reach};

use crate::paths::Paths;

/// More than the digits of any process id, in bytes.
const MAX_PID: usize = 32;

/// For a lock that no agent holds.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The directories of one agent: nobody else's until this is dropped, or the process ends. A process that
/// takes over from another has the same lock, which is held for as long as one of both has it.
#[derive(Debug)]
pub struct Lock {
    runtime_dir: File,
    work_dir: File,
    is_shared: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "{name} {} is in use by {holder}: stop it, or give this agent its own --{name}",
        .directory.display()
    )]
    InUse {
        name: &'static str,
        directory: PathBuf,
        holder: String,
    },
    #[error("cannot lock {} for this agent: choose another directory with --{name}", .file.display())]
    File {
        name: &'static str,
        file: PathBuf,
        source: io::Error,
    },
    #[error(
        "the lock that was handed over is not that of {}: are the flags still those of the agent \
         before?",
        .file.display()
    )]
    Another { file: PathBuf },
}

impl Lock {
    /// Does not wait for another agent to end. Blocks.
    pub fn take(runtime_dir: &Path, paths: &Paths) -> Result<Lock, LockError> {
        let runtime_lock = containerizer::runtime_dir::lock(runtime_dir);
        Ok(Lock {
            runtime_dir: lock("runtime_dir", runtime_dir, &runtime_lock)?,
            work_dir: lock("work_dir", paths.work_dir(), &paths.lock())?,
            is_shared: AtomicBool::new(false),
        })
    }

    /// What another process has taken and shares with this one. Blocks.
    pub fn inherit(
        [of_runtime_dir, of_work_dir]: [OwnedFd; 2],
        runtime_dir: &Path,
        paths: &Paths,
    ) -> Result<Lock, LockError> {
        let runtime_lock = containerizer::runtime_dir::lock(runtime_dir);
        Ok(Lock {
            runtime_dir: inherited("runtime_dir", of_runtime_dir, &runtime_lock)?,
            work_dir: inherited("work_dir", of_work_dir, &paths.lock())?,
            is_shared: AtomicBool::new(true),
        })
    }

    /// For who is to share it: that of the runtime directory, then that of the work directory.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.runtime_dir.as_fd(), self.work_dir.as_fd()]
    }

    /// From now on another process has it, too.
    pub fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Nobody shares it any more: it is this process's, which says so in the files.
    pub fn own(&self) -> io::Result<()> {
        self.is_shared.store(false, Ordering::Relaxed);
        sign(&self.runtime_dir)?;
        sign(&self.work_dir)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Said, and not left to the end of the last descriptor: a process that is just being started may
        // have a copy. To say it takes the lock from all who share it.
        if !self.is_shared.load(Ordering::Relaxed) {
            for file in [&self.runtime_dir, &self.work_dir] {
                if let Err(error) = file.unlock() {
                    tracing::debug!(%error, "cannot unlock a directory of this agent");
                }
            }
        }
    }
}

/// The process that has these directories, found without disturbing an agent that is about to take them.
pub fn holder_of(runtime_dir: &Path) -> Option<u32> {
    let file = File::open(containerizer::runtime_dir::lock(runtime_dir)).ok()?;
    let lock = file.metadata().ok()?;
    let pid = signed(&file)?;
    drop(file);
    has_open(pid, &lock).then_some(pid)
}

/// A lock goes with its file's last descriptor, and nobody else keeps that file open.
fn has_open(pid: u32, lock: &fs::Metadata) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    let mut open =
        (open.into_iter().flatten()).filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
    open.any(|it| (it.dev(), it.ino()) == (lock.dev(), lock.ino()))
}

fn lock(name: &'static str, directory: &Path, file: &Path) -> Result<File, LockError> {
    let fail = |source| LockError::File {
        name,
        file: file.to_owned(),
        source,
    };
    let opened = open(file).map_err(fail)?;
    match lock_left_by_the_dead(&opened) {
        Ok(()) => {
            reach(Point::LockTaken);
            sign(&opened).map_err(fail)?;
            Ok(opened)
        }
        Err(TryLockError::WouldBlock) => Err(LockError::InUse {
            name,
            directory: directory.to_owned(),
            holder: holder(&opened),
        }),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

fn inherited(name: &'static str, lock: OwnedFd, file: &Path) -> Result<File, LockError> {
    let fail = |source| LockError::File {
        name,
        file: file.to_owned(),
        source,
    };
    let lock = File::from(lock);
    let (ours, named) = (
        lock.metadata().map_err(fail)?,
        fs::metadata(file).map_err(fail)?,
    );
    match (ours.dev(), ours.ino()) == (named.dev(), named.ino()) {
        true => Ok(lock),
        false => Err(LockError::Another {
            file: file.to_owned(),
        }),
    }
}

fn open(file: &Path) -> io::Result<File> {
    if let Some(above) = file.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(above)?;
    }
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).open(file)
}

/// Does not wait for an agent that is there. One that was killed may have left a process on its way to be a
/// container's first, which has the agent's descriptors until its exec.
fn lock_left_by_the_dead(file: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                let lock = file.metadata().map_err(TryLockError::Error)?;
                if signed(file).is_some_and(|pid| has_open(pid, &lock)) {
                    return Err(TryLockError::WouldBlock);
                }
                std::thread::sleep(PAUSE);
            }
            tried => return tried,
        }
    }
}

/// Leaves this process's id for whoever comes next.
fn sign(file: &File) -> io::Result<()> {
    let text = format!("{}\n", std::process::id());
    // Cut afterwards: a full disk has no room but what the file has already. Who has signed it before may have
    // left another offset.
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// Who has signed a file, as far as that can be read.
fn holder(file: &File) -> String {
    match signed(file) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

fn signed(file: &File) -> Option<u32> {
    let mut text = [0; MAX_PID];
    let length = file.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_agent_has_another_does_not_get_until_it_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let [run, work] = ["run", "work"].map(|name| dir.path().join(name));
        let first = Lock::take(&run, &Paths::new(&work)).unwrap();
        let error = Lock::take(&run, &Paths::new(&dir.path().join("other"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "runtime_dir {} is in use by process {}: stop it, or give this agent its own \
                 --runtime_dir",
                run.display(),
                std::process::id()
            )
        );
        let error = Lock::take(&dir.path().join("else"), &Paths::new(&work)).unwrap_err();
        assert!(error.to_string().ends_with("its own --work_dir"), "{error}");
        assert_eq!(holder_of(&run), Some(std::process::id()));
        drop(first);
        assert_eq!(holder_of(&run), None);
        Lock::take(&run, &Paths::new(&work)).unwrap();
    }

    #[test]
    fn what_a_dead_agent_left_a_process_with_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        let left = open(&file).unwrap();
        left.lock().unwrap();
        // No process has this number.
        fs::write(&file, format!("{}\n", u32::MAX)).unwrap();
        let rest = std::thread::spawn(move || {
            std::thread::sleep(20 * PAUSE);
            drop(left);
        });
        lock("runtime_dir", dir.path(), &file).unwrap();
        rest.join().unwrap();
    }

    #[test]
    fn a_lock_that_is_handed_over_is_held_all_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let [run, work] = ["run", "work"].map(|name| dir.path().join(name));
        let paths = Paths::new(&work);
        let copies = |lock: &Lock| {
            lock.descriptors()
                .map(|fd| fd.try_clone_to_owned().unwrap())
        };
        let is_held = || Lock::take(&run, &paths).is_err();
        let first = Lock::take(&run, &paths).unwrap();

        first.share();
        // One that fails leaves it to the first.
        drop(Lock::inherit(copies(&first), &run, &paths).unwrap());
        assert!(is_held());
        let [one, other] = copies(&first);
        let error = Lock::inherit([other, one], &run, &paths).unwrap_err();
        assert!(error.to_string().contains("runtime.lock"), "{error}");
        assert!(is_held());

        let second = Lock::inherit(copies(&first), &run, &paths).unwrap();
        drop(first);
        assert!(is_held());
        second.own().unwrap();
        assert_eq!(holder_of(&run), Some(std::process::id()));
        drop(second);
        assert!(!is_held());
    }
}
