//! The files API: sandboxes under their virtual paths.
//!
//! What a task put into its sandbox is not trusted: every path below one is resolved by the kernel
//! with `RESOLVE_BENEATH`, used through the descriptor only, and opened without waiting: a task can
//! lease a file, or put a pipe in its place, to hold up whoever opens it.
//! Source: spec/mesos-agent.md sections 4.3 and 7.4.

mod browse;
mod download;
mod gate;
mod read;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::reply::Failure;
use crate::logs::Stream;
use crate::paths::Paths;
pub use browse::{Listing, browse};
pub use download::download;
pub use gate::Gate;
pub use read::{Wanted, read};

/// Most bytes in one answer to a read.
const PAGES: u64 = 16 * 4096;

/// What a task's output has as names.
const LOGS: [&str; 2] = ["stdout", "stderr"];

/// A directory of the host and a path it has in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub virtual_path: PathBuf,
    pub real: PathBuf,
}

/// All that can be browsed: runs that are known, and for as long as their sandboxes are on disk,
/// those that are forgotten.
#[derive(Debug, Clone)]
pub struct Tree {
    attached: Vec<Attached>,
    paths: Paths,
    /// Id of this agent; empty before its first registration, when there are no sandboxes.
    agent: String,
}

impl Tree {
    /// Of two entries with one virtual path the first counts: live runs come before completed ones.
    pub fn new(attached: Vec<Attached>, paths: Paths, agent: String) -> Tree {
        Tree {
            attached,
            paths,
            agent,
        }
    }

    pub fn debug(&self) -> Value {
        let pair = |a: &Attached| (a.virtual_path.display().to_string(), json!(a.real));
        // Backwards, so that the first of a name is the one that stays.
        Value::Object(self.attached.iter().rev().map(pair).collect())
    }

    /// Opens what `path` names, for looking at only: no file is opened for real before it is known
    /// to be one.
    fn find(&self, path: &str) -> Result<OwnedFd, Failure> {
        let missing = || Failure::NoSuchFile(path.to_owned());
        let escape = || Failure::Escape(path.to_owned());
        let fail = |errno: Errno| match errno {
            // EINVAL is a NUL byte: like a name that is too long, nothing can have it.
            Errno::ENOENT | Errno::ENOTDIR | Errno::EINVAL | Errno::ENAMETOOLONG => missing(),
            Errno::EXDEV | Errno::ELOOP => escape(),
            Errno::EACCES | Errno::EPERM => Failure::Forbidden(path.to_owned()),
            errno => Failure::Io {
                path: path.to_owned(),
                source: errno.into(),
            },
        };
        let (real, below) = self.locate(Path::new(path)).ok_or_else(missing)?;
        // Its name may be that of the link to the latest run, which is ours.
        let root = openat(
            AT_FDCWD,
            &real,
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let root = root.map_err(fail)?;
        match open_beneath(&root, below) {
            // An absolute link may still lead to a place inside, as those that a task makes with
            // its $MESOS_SANDBOX do.
            Err(Errno::EXDEV) => {
                let inside = resolve_inside(&real, below).ok_or_else(escape)?;
                open_beneath(&root, &inside).map_err(fail)
            }
            found => found.map_err(fail),
        }
    }

    /// The directory of the host that `path` is in or is, and the way on from there.
    fn locate<'a>(&self, path: &'a Path) -> Option<(PathBuf, &'a Path)> {
        let known = self.attached.iter().find_map(|attached| {
            let below = path.strip_prefix(&attached.virtual_path).ok()?;
            Some((attached.real.clone(), below))
        });
        known.or_else(|| self.paths.sandbox_above(path, &self.agent))
    }

    /// The log that `path` names, if it has the name of one. It may be none all the same.
    fn log(&self, path: &str) -> Option<Stream> {
        let (above, name) = path.trim_end_matches('/').rsplit_once('/')?;
        let log = LOGS.into_iter().find(|log| *log == name)?;
        Some(Stream::of(self.find(above).ok()?, log))
    }

    fn open_file(&self, path: &str) -> Result<(File, Metadata), Failure> {
        let found = self.find(path)?;
        let fail = |source| Failure::Io {
            path: path.to_owned(),
            source,
        };
        // The link in /proc leads to the very thing that was found, whatever its name is by now.
        let link = format!("/proc/self/fd/{}", found.as_raw_fd());
        let metadata = fs::metadata(&link).map_err(fail)?;
        if metadata.is_dir() {
            return Err(Failure::IsDirectory(path.to_owned()));
        }
        if !metadata.is_file() {
            return Err(Failure::NotAFile(path.to_owned()));
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(&link);
        match opened {
            Ok(file) => Ok((file, metadata)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Failure::Leased(path.to_owned()))
            }
            Err(error) => Err(fail(error)),
        }
    }
}

fn open_beneath(root: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    /// While anything is renamed or mounted on the node, the kernel cannot say where a ".." led.
    const TRIES: usize = 1000;
    let below = match below.as_os_str().is_empty() {
        true => Path::new("."),
        false => below,
    };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    (1..TRIES)
        .map(|_| openat2(root, below, how))
        .find(|opened| !matches!(opened, Err(Errno::EAGAIN)))
        .unwrap_or_else(|| openat2(root, below, how))
}

/// The place inside `root` that `below` leads to, if it does. No more than a hint, for links may
/// change: whoever opens it does that beneath `root`.
fn resolve_inside(root: &Path, below: &Path) -> Option<PathBuf> {
    let target = fs::canonicalize(root.join(below)).ok()?;
    let root = fs::canonicalize(root).ok()?;
    target.strip_prefix(root).ok().map(Path::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::lease::Lease;

    pub fn tree(real: &Path) -> Tree {
        let attached = Attached {
            virtual_path: "/box".into(),
            real: real.to_owned(),
        };
        Tree::new(vec![attached], Paths::new(real), "S0".into())
    }

    pub fn from(offset: u64) -> Wanted {
        Wanted {
            offset: Some(offset),
            ..Wanted::default()
        }
    }

    fn size_of(tree: &Tree, path: &str) -> Result<Value, Failure> {
        read(tree, path, &Wanted::default())
    }

    /// EAGAIN of openat2(2).
    #[test]
    fn a_file_is_found_whatever_is_renamed_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        symlink("../a/../a/../file", dir.path().join("a/link")).unwrap();
        let root = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        std::thread::scope(|scope| {
            let renamer = scope.spawn(|| {
                let names = [dir.path().join("here"), dir.path().join("there")];
                fs::write(&names[0], "").unwrap();
                for turn in 0..20_000 {
                    fs::rename(&names[turn % 2], &names[1 - turn % 2]).unwrap();
                }
            });
            while !renamer.is_finished() {
                open_beneath(&root, Path::new("a/link")).unwrap();
            }
        });
    }

    #[test]
    fn nothing_leads_out_of_a_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("sandbox");
        fs::create_dir(&inside).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink("/etc/passwd", inside.join("absolute")).unwrap();
        symlink("..", inside.join("parent")).unwrap();
        let tree = tree(&inside);
        for path in [
            "../secret",
            "relative",
            "absolute",
            "parent/secret",
            "a/../../secret",
        ] {
            let path = format!("/box/{path}");
            let failure = size_of(&tree, &path).unwrap_err();
            let refused =
                matches!(failure, Failure::Escape(_)) || matches!(failure, Failure::NoSuchFile(_));
            assert!(refused, "{path}: {failure}");
        }
        assert!(matches!(
            size_of(&tree, "/box/absolute"),
            Err(Failure::Escape(_))
        ));
        assert!(matches!(
            browse(&tree, "/box/parent"),
            Err(Failure::Escape(_))
        ));
        assert!(matches!(
            size_of(&tree, "/boxes/x"),
            Err(Failure::NoSuchFile(_))
        ));
    }

    #[test]
    fn links_inside_a_sandbox_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log.1"), "1").unwrap();
        symlink("log.1", dir.path().join("log")).unwrap();
        symlink(dir.path().join("log.1"), dir.path().join("absolute")).unwrap();
        for name in ["log", "absolute"] {
            let path = format!("/box/{name}");
            let read = read(&tree(dir.path()), &path, &from(0)).unwrap();
            assert_eq!(read["data"], "1", "{name}");
        }
    }

    #[test]
    fn a_name_that_nothing_can_have_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["nul\0", &"x".repeat(5000), &"a/".repeat(3000)] {
            let failure = size_of(&tree(dir.path()), &format!("/box/{name}")).unwrap_err();
            assert!(matches!(failure, Failure::NoSuchFile(_)), "{failure}");
        }
    }

    #[test]
    fn a_file_that_its_task_has_leased_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "1").unwrap();
        let _lease = Lease::take(&dir.path().join("log"));
        let before = Instant::now();
        let refused = size_of(&tree(dir.path()), "/box/log");
        let took = before.elapsed();
        assert!(matches!(refused, Err(Failure::Leased(_))), "{refused:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn only_plain_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::S_IRWXU).unwrap();
        let tree = tree(dir.path());
        assert!(matches!(
            size_of(&tree, "/box/pipe"),
            Err(Failure::NotAFile(_))
        ));
        assert!(matches!(
            size_of(&tree, "/box"),
            Err(Failure::IsDirectory(_))
        ));
        assert!(matches!(
            browse(&tree, "/box/pipe"),
            Err(Failure::NotADirectory(_))
        ));
    }
}
