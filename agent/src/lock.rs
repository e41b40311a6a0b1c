//! One agent at a time in a directory: two would take each other's tasks for orphans.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use failpoint::{Point, reach};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::paths::Paths;

/// More than the digits of any process id, in bytes.
const MAX_PID: usize = 32;

/// For a lock that no agent holds.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The directories of one agent: nobody else's until this is dropped, or the process ends.
#[derive(Debug)]
pub struct Lock {
    _directories: [Flock<File>; 2],
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
}

impl Lock {
    /// Does not wait for another agent to end. Blocks.
    pub fn take(runtime_dir: &Path, paths: &Paths) -> Result<Lock, LockError> {
        let runtime_lock = containerizer::runtime_dir::lock(runtime_dir);
        Ok(Lock {
            _directories: [
                lock("runtime_dir", runtime_dir, &runtime_lock)?,
                lock("work_dir", paths.work_dir(), &paths.lock())?,
            ],
        })
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

fn lock(name: &'static str, directory: &Path, file: &Path) -> Result<Flock<File>, LockError> {
    let fail = |source| LockError::File {
        name,
        file: file.to_owned(),
        source,
    };
    let opened = open(file).map_err(fail)?;
    match lock_left_by_the_dead(opened).map_err(fail)? {
        Ok(lock) => {
            reach(Point::LockTaken);
            sign(&lock).map_err(fail)?;
            Ok(lock)
        }
        Err((held, Errno::EWOULDBLOCK)) => Err(LockError::InUse {
            name,
            directory: directory.to_owned(),
            holder: holder(&held),
        }),
        Err((_, errno)) => Err(fail(errno.into())),
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
fn lock_left_by_the_dead(mut file: File) -> io::Result<Result<Flock<File>, (File, Errno)>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((held, Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                let lock = held.metadata()?;
                if signed(&held).is_some_and(|pid| has_open(pid, &lock)) {
                    return Ok(Err((held, Errno::EWOULDBLOCK)));
                }
                std::thread::sleep(PAUSE);
                file = held;
            }
            tried => return Ok(tried),
        }
    }
}

/// Leaves this process's id for whoever comes next.
fn sign(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
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
        let left = Flock::lock(open(&file).unwrap(), FlockArg::LockExclusive).unwrap();
        // No process has this number.
        fs::write(&file, format!("{}\n", u32::MAX)).unwrap();
        let rest = std::thread::spawn(move || {
            std::thread::sleep(20 * PAUSE);
            drop(left);
        });
        lock("runtime_dir", dir.path(), &file).unwrap();
        rest.join().unwrap();
    }
}
