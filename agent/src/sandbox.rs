//! Sandboxes: the directory of one run and the two files its output goes to.
//!
//! Everything here blocks; callers are on a thread that may.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use failpoint::{Point, reach};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::checkpoint;
use crate::paths::{Paths, Run};

/// Numeric user and group.
pub type Owner = (u32, u32);

/// A sandbox that belongs to its user. From here on nothing in it is what it was: whoever writes its
/// logs does so through these descriptors, never by their names.
#[derive(Debug)]
pub struct Sandbox {
    pub stdout: File,
    pub stderr: File,
}

/// A sandbox that nobody but the agent can reach yet.
#[derive(Debug)]
pub struct Unowned {
    path: PathBuf,
    directory: File,
    stdout: File,
    stderr: File,
    owner: Option<Owner>,
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("cannot create {} in the sandbox's place", .path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error(
        "cannot create the directory {} in the sandbox: a file of that name is there; choose \
         another host_path for the volume",
        .path.display()
    )]
    InTheWay { path: PathBuf },
    #[error("cannot give {} to uid {uid}, gid {gid}", .path.display())]
    Chown {
        path: PathBuf,
        uid: u32,
        gid: u32,
        source: io::Error,
    },
    #[error("cannot point the \"latest\" link at the new sandbox")]
    Link(#[source] checkpoint::CheckpointError),
}

/// Makes the sandbox of `run`, which nobody else can have made: its container id is new. It is to
/// become `owner`'s.
pub fn create(paths: &Paths, run: &Run, owner: Option<Owner>) -> Result<Unowned, SandboxError> {
    let path = paths.sandbox(run);
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| SandboxError::Create { path, source }
    };
    let runs = paths.runs(run);
    fs::create_dir_all(&runs).map_err(fail(&runs))?;
    let made = make(path, owner)?;
    let (link, target) = (paths.latest_sandbox(run), Path::new(&run.container));
    checkpoint::relink(&link, target, checkpoint::Durability::Process)
        .map_err(SandboxError::Link)?;
    Ok(made)
}

/// The same for a run in whose sandbox others lie. It is nobody's but the agent's, so that no link is in it that
/// the agent has not made; users are on their way through it to their own.
pub fn create_outer(paths: &Paths, run: &Run) -> Result<Unowned, SandboxError> {
    let made = create(paths, run, None)?;
    let passable = made.directory.set_permissions(passable());
    passable.map_err(|source| SandboxError::Create {
        path: made.path.clone(),
        source,
    })?;
    Ok(made)
}

/// The same for a container that is nested in one of those.
pub fn create_nested(path: &Path, owner: Option<Owner>) -> Result<Unowned, SandboxError> {
    let above = path.parent().unwrap_or(path);
    let made = fs::create_dir_all(above);
    let passable = made.and_then(|()| fs::set_permissions(above, passable()));
    passable.map_err(|source| SandboxError::Create {
        path: above.to_owned(),
        source,
    })?;
    make(path.to_owned(), owner)
}

fn passable() -> fs::Permissions {
    fs::Permissions::from_mode(0o755)
}

/// Makes a directory where only the agent can make one, for the user of the first task that wants it.
pub fn create_shared(path: &Path, owner: Option<Owner>) -> Result<(), SandboxError> {
    match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(source) => {
            let path = path.to_owned();
            return Err(SandboxError::Create { path, source });
        }
    }
    let made = open_directory(path).map_err(|source| SandboxError::Create {
        path: path.to_owned(),
        source,
    })?;
    give(&made, path, owner)
}

fn make(path: PathBuf, owner: Option<Owner>) -> Result<Unowned, SandboxError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| SandboxError::Create { path, source }
    };
    DirBuilder::new()
        .mode(0o750)
        .create(&path)
        .map_err(fail(&path))?;
    reach(Point::SandboxMade);
    let directory = open_directory(&path).map_err(fail(&path))?;
    // The umask may have taken bits away.
    let private = fs::Permissions::from_mode(0o750);
    directory.set_permissions(private).map_err(fail(&path))?;
    let stdout = create_log(&path.join("stdout"), owner)?;
    let stderr = create_log(&path.join("stderr"), owner)?;
    reach(Point::LogsMade);
    Ok(Unowned {
        path,
        directory,
        stdout,
        stderr,
        owner,
    })
}

impl Unowned {
    /// All that there is of it so far.
    pub fn files(&self) -> [BorrowedFd<'_>; 3] {
        [&self.directory, &self.stdout, &self.stderr].map(|file| file.as_fd())
    }

    /// Makes directories, given relative to the sandbox, each with those above it. They belong to
    /// its user.
    pub fn create_directories(&self, directories: &[PathBuf]) -> Result<(), SandboxError> {
        for relative in directories {
            let mut path = self.path.clone();
            let mut above = None;
            for name in relative {
                path.push(name);
                let above_or_top = above.as_ref().unwrap_or(&self.directory);
                above = Some(create_directory(above_or_top, name, &path, self.owner)?);
            }
        }
        Ok(())
    }

    /// Lets the user in. Last, for then a task of the same user can change whatever is here.
    pub fn give_away(self) -> Result<Sandbox, SandboxError> {
        give(&self.directory, &self.path, self.owner)?;
        reach(Point::SandboxGiven);
        Ok(Sandbox {
            stdout: self.stdout,
            stderr: self.stderr,
        })
    }
}

/// Gives a sandbox that nobody uses yet to another owner, with all that is in it. No link is followed.
pub fn give_all(sandbox: &Path, owner: Owner) -> Result<(), SandboxError> {
    let (uid, gid) = owner;
    let failed = |source| SandboxError::Chown {
        path: sandbox.to_owned(),
        uid,
        gid,
        source,
    };
    let top = open_directory(sandbox).map_err(failed)?;
    let mut directories = vec![OwnedFd::from(top)];
    while let Some(directory) = directories.pop() {
        let given = give_entries(&directory, owner, &mut directories);
        given.map_err(|errno| failed(errno.into()))?;
        fchown(&directory, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(())
}

fn give_entries(
    directory: &OwnedFd,
    (uid, gid): Owner,
    below: &mut Vec<OwnedFd>,
) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let mut entries = Dir::openat(
        directory,
        ".",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    for entry in entries.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(directory, name, how) {
            Ok(found) => below.push(found),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                fchownat(directory, name, Some(uid), Some(gid), flags)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes a sandbox as young as it can be. One that has gone needs no age.
pub fn touch(sandbox: &Path) {
    let touched = open_directory(sandbox).and_then(|dir| dir.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(sandbox = %sandbox.display(), %error, "cannot touch a sandbox");
    }
}

/// Opens a directory whose parents only root can change. Never waits, whatever is in its place.
fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
}

/// Makes the directory `name` in `above` unless it is there; anything else of that name is refused.
/// `path` is for errors.
fn create_directory(
    above: &File,
    name: &OsStr,
    path: &Path,
    owner: Option<Owner>,
) -> Result<File, SandboxError> {
    let fail = |errno: Errno| match errno {
        Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV => SandboxError::InTheWay {
            path: path.to_owned(),
        },
        errno => SandboxError::Create {
            path: path.to_owned(),
            source: errno.into(),
        },
    };
    match mkdirat(above, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) => {
            let made = open_inner(above.as_fd(), name).map_err(fail)?;
            give(&made, path, owner)?;
            Ok(made)
        }
        Err(Errno::EEXIST) => open_inner(above.as_fd(), name).map_err(fail),
        Err(errno) => Err(fail(errno)),
    }
}

fn open_inner(above: impl AsFd, name: &OsStr) -> nix::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(above, name, how).map(|fd: OwnedFd| File::from(fd))
}

fn create_log(path: &Path, owner: Option<Owner>) -> Result<File, SandboxError> {
    let fail = |source| SandboxError::Create {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(fail)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .map_err(fail)?;
    give(&file, path, owner)?;
    Ok(file)
}

fn give(file: &File, path: &Path, owner: Option<Owner>) -> Result<(), SandboxError> {
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    fchown(file, Some(uid), Some(gid)).map_err(|source| SandboxError::Chown {
        path: path.to_owned(),
        uid,
        gid,
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn run(container: &str) -> Run {
        Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "T".into(),
            container: container.into(),
        }
    }

    #[test]
    fn a_sandbox_is_private_and_its_logs_are_readable() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let path = paths.sandbox(&run("C1"));
        let sandbox = create(&paths, &run("C1"), None).unwrap();
        let sandbox = sandbox.give_away().unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o750);
        assert_eq!(mode(&path.join("stdout")), 0o644);
        writeln!(&sandbox.stderr, "one").unwrap();
        assert_eq!(fs::read(path.join("stderr")).unwrap(), b"one\n");
    }

    #[test]
    fn latest_follows_the_newest_run_and_no_run_is_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        create(&paths, &run("C1"), None).unwrap();
        create(&paths, &run("C2"), None).unwrap();
        let latest = fs::read_link(paths.latest_sandbox(&run("C2"))).unwrap();
        assert_eq!(latest, Path::new("C2"));
        assert!(matches!(
            create(&paths, &run("C2"), None),
            Err(SandboxError::Create { .. })
        ));
    }

    #[test]
    fn directories_may_share_their_parents() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let sandbox = create(&paths, &run("C1"), None).unwrap();
        let directories = ["a/b/c", "a/b/d", "a"].map(PathBuf::from);
        sandbox.create_directories(&directories).unwrap();
        for directory in &directories {
            assert!(paths.sandbox(&run("C1")).join(directory).is_dir());
        }
    }

    #[test]
    fn a_directory_takes_the_place_of_no_file_and_follows_no_link() {
        let (dir, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = Paths::new(dir.path());
        let sandbox = create(&paths, &run("C1"), None).unwrap();
        symlink(victim.path(), paths.sandbox(&run("C1")).join("link")).unwrap();
        for name in ["stdout", "stderr/x", "link", "link/x"] {
            let refused = sandbox.create_directories(&[name.into()]).unwrap_err();
            assert!(
                matches!(refused, SandboxError::InTheWay { .. }),
                "{name}: {refused}"
            );
        }
        let refused = sandbox.create_directories(&["../out".into()]);
        assert!(refused.is_err());
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }

    #[test]
    fn root_nothing_is_the_users_before_all_of_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let path = paths.sandbox(&run("C1"));
        let sandbox = create(&paths, &run("C1"), Some((1, 1))).unwrap();
        sandbox.create_directories(&["a/b".into()]).unwrap();
        let owner = |p: &Path| {
            let metadata = fs::symlink_metadata(p).unwrap();
            (metadata.uid(), metadata.gid())
        };
        // 0750: nobody else gets in to plant a link.
        assert_eq!(owner(&path), (0, 0));
        sandbox.give_away().unwrap();
        for name in ["", "stdout", "stderr", "a", "a/b"] {
            assert_eq!(owner(&path.join(name)), (1, 1), "{name}");
        }
    }

    #[test]
    fn the_agents_last_words_do_not_follow_a_stderr_that_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let path = paths.sandbox(&run("C1"));
        let sandbox = create(&paths, &run("C1"), None).unwrap();
        let sandbox = sandbox.give_away().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::rename(path.join("stderr"), path.join("old")).unwrap();
        symlink(&victim, path.join("stderr")).unwrap();
        writeln!(&sandbox.stderr, "one").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(path.join("old")).unwrap(), b"one\n");
    }

    #[test]
    fn a_pipe_in_place_of_a_sandbox_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("C1");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        touch(&pipe);
    }
}
