//! Writing below one directory and nowhere else, whatever the names and links in it say.
//!
//! The directory is held as a descriptor. A path is a list of plain names, and its parents are
//! opened by the kernel with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, so neither an archive's own
//! links nor a process that renames things meanwhile can lead a write elsewhere.

mod staging;

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};
use proto::redact::redacted;

pub use staging::Staging;

/// The directory of what is on its way.
const STAGING: &str = ".fetching";

/// A place in the sandbox that fetched content may take: at least one plain name, no `..`, and not
/// one of the task's logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerPath(PathBuf);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the path is absolute: it must be relative to the sandbox")]
    Absolute,
    #[error("the path contains \"..\": it must stay in the sandbox")]
    Parent,
    #[error("the path names no file")]
    Empty,
    #[error("stdout and stderr of a sandbox hold the task's output: choose another name")]
    Log,
    #[error("{STAGING} is where the fetcher keeps what is on its way: choose another name")]
    Staging,
}

impl InnerPath {
    pub fn parse(path: &Path) -> Result<Self, BadPath> {
        let mut inner = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => inner.push(name),
                Component::CurDir => {}
                Component::ParentDir => return Err(BadPath::Parent),
                Component::RootDir | Component::Prefix(_) => return Err(BadPath::Absolute),
            }
        }
        match inner.to_str() {
            Some("") => Err(BadPath::Empty),
            Some("stdout" | "stderr") => Err(BadPath::Log),
            _ if inner.starts_with(STAGING) => Err(BadPath::Staging),
            _ => Ok(Self(inner)),
        }
    }

    pub fn as_path(&self) -> &Path {
        &self.0
    }

    pub fn name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }

    /// `a.txt` for `a.txt.gz`; `None` when there is no extension or the rest is a log's name.
    pub fn without_extension(&self) -> Option<Self> {
        self.0.extension()?;
        Self::parse(&self.0.with_extension("")).ok()
    }

    /// Directories between the sandbox and this.
    pub fn depth(&self) -> usize {
        self.0.components().count() - 1
    }

    /// "" at the top.
    fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new(""))
    }
}

/// As others may read it: a name that was taken from a URI may hold what that must not tell.
impl fmt::Display for InnerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0.to_string_lossy()))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(
        "cannot create {path} in the sandbox: a directory on the way is a symbolic link, which \
         fetched content may not pass"
    )]
    ThroughLink { path: PathBuf },
    #[error("cannot create {path} in the sandbox: a directory of that name is there")]
    IsDirectory { path: PathBuf },
    #[error("cannot create {path} in the sandbox")]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot link {path} to {to} in the sandbox")]
    Link {
        path: PathBuf,
        to: PathBuf,
        source: io::Error,
    },
}

/// The one directory that may be written below.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
}

impl Beneath {
    pub fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = openat(AT_FDCWD, directory, flags, Mode::empty())?;
        Ok(Self { root })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch {
            sandbox: self,
            made: Vec::new(),
            last: None,
        }
    }

    /// A new file that nobody can find, to be written and read.
    pub fn unnamed(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDWR | OFlag::O_TMPFILE | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        openat(&self.root, ".", flags, mode)
    }

    /// Bytes that this process may still write to the file system; `None` when it does not count.
    pub fn free_bytes(&self) -> io::Result<Option<u64>> {
        let found = fstatvfs(&self.root)?;
        let counted = found.blocks() > 0;
        Ok(counted.then(|| {
            found
                .blocks_available()
                .saturating_mul(found.fragment_size())
        }))
    }

    fn directory(&self, path: &Path) -> nix::Result<OwnedFd> {
        let here = Path::new(".");
        let path = if path.as_os_str().is_empty() {
            here
        } else {
            path
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS,
            );
        openat2(&self.root, path, how)
    }
}

/// Things made together. Dropped without `commit`, it removes what it made, newest first, so a
/// failed download or half an archive leaves nothing behind.
#[derive(Debug)]
pub struct Batch<'a> {
    sandbox: &'a Beneath,
    made: Vec<Made>,
    /// Where something was made last, for the next one is mostly made there, too.
    last: Option<(PathBuf, OwnedFd)>,
}

#[derive(Debug)]
struct Made {
    path: InnerPath,
    kind: UnlinkatFlags,
}

impl Batch<'_> {
    /// A new empty file; one of that name that exists is replaced, never written through.
    pub fn file(&mut self, path: &InnerPath, mode: u32) -> Result<File, WriteError> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        let file = self.create(path, |parent, name| {
            let file = openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
            // Not left to the umask, which came from the agent.
            fchmod(&file, mode)?;
            Ok(file)
        })?;
        Ok(file.into())
    }

    /// A directory; one that exists stays as it is.
    pub fn directory(&mut self, path: &InnerPath) -> Result<(), WriteError> {
        let failed = |errno| create_error(path.as_path(), errno);
        match self.sandbox.directory(path.as_path()) {
            Ok(_exists) => Ok(()),
            Err(Errno::ENOENT) => self.make_directories(path.as_path()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// `target` is stored as it stands: the caller has checked where it leads.
    pub fn symlink(&mut self, path: &InnerPath, target: &Path) -> Result<(), WriteError> {
        self.create(path, |parent, name| symlinkat(target, parent, name))
    }

    pub fn hard_link(&mut self, path: &InnerPath, to: &InnerPath) -> Result<(), WriteError> {
        let failed = |errno: Errno| WriteError::Link {
            path: path.as_path().to_owned(),
            to: to.as_path().to_owned(),
            source: errno.into(),
        };
        let there = self.sandbox.directory(to.parent()).map_err(failed)?;
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link is that symbolic link again.
        self.create(path, |parent, name| {
            linkat(&there, to.name(), parent, name, AtFlags::empty())
        })
        .map_err(|error| match error {
            WriteError::Create { source, .. } => WriteError::Link {
                path: path.as_path().to_owned(),
                to: to.as_path().to_owned(),
                source,
            },
            other => other,
        })
    }

    /// Moves the file `name` of another directory here; what is here is replaced, unless it is a directory.
    fn place(
        &mut self,
        from: BorrowedFd<'_>,
        name: &str,
        path: &InnerPath,
    ) -> Result<(), WriteError> {
        self.create(path, |parent, to| renameat(from, name, parent, to))
    }

    /// What was made so far stays.
    pub fn commit(&mut self) {
        self.made.clear();
    }

    fn create<T>(
        &mut self,
        path: &InnerPath,
        make: impl Fn(&OwnedFd, &OsStr) -> nix::Result<T>,
    ) -> Result<T, WriteError> {
        let failed = |errno| create_error(path.as_path(), errno);
        let last = self.last.take();
        let parent = match last.filter(|(last, _)| last == path.parent()) {
            Some((_, parent)) => parent,
            None => self.parent(path)?,
        };
        let made = match make(&parent, path.name()) {
            Err(Errno::EEXIST) => {
                unlinkat(&parent, path.name(), UnlinkatFlags::NoRemoveDir).map_err(failed)?;
                make(&parent, path.name())
            }
            first => first,
        }
        .map_err(failed)?;
        self.made.push(Made {
            path: path.clone(),
            kind: UnlinkatFlags::NoRemoveDir,
        });
        self.last = Some((path.parent().to_owned(), parent));
        Ok(made)
    }

    /// The directory of `path`, made if it is not there.
    fn parent(&mut self, path: &InnerPath) -> Result<OwnedFd, WriteError> {
        let found = match self.sandbox.directory(path.parent()) {
            Err(Errno::ENOENT) => {
                self.make_directories(path.parent())?;
                self.sandbox.directory(path.parent())
            }
            opened => opened,
        };
        found.map_err(|errno| create_error(path.as_path(), errno))
    }

    /// Each missing directory of `path`, outermost first.
    fn make_directories(&mut self, path: &Path) -> Result<(), WriteError> {
        let failed = |errno| create_error(path, errno);
        let mut missing: Vec<&Path> = Vec::new();
        // The root is there.
        for above in path
            .ancestors()
            .filter(|above| !above.as_os_str().is_empty())
        {
            match self.sandbox.directory(above) {
                Ok(_there) => break,
                Err(_missing_or_in_the_way) => missing.push(above),
            }
        }
        for here in missing.into_iter().rev() {
            let (Some(above), Some(name)) = (here.parent(), here.file_name()) else {
                continue;
            };
            let parent = self.sandbox.directory(above).map_err(failed)?;
            match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) => self.made.push(Made {
                    path: InnerPath(here.to_owned()),
                    kind: UnlinkatFlags::RemoveDir,
                }),
                // A link or a file in the way is found when the next name is resolved.
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        self.sandbox.directory(path).map(drop).map_err(failed)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for made in self.made.drain(..).rev() {
            // What cannot be removed here goes with the sandbox; the first failure is reported.
            if let Ok(parent) = self.sandbox.directory(made.path.parent()) {
                let _gone_or_not = unlinkat(&parent, made.path.name(), made.kind);
            }
        }
    }
}

fn create_error(path: &Path, errno: Errno) -> WriteError {
    // As it is shown.
    let path = PathBuf::from(redacted(&path.to_string_lossy()));
    match errno {
        // What the kernel says here, "too many levels of symbolic links", misleads.
        Errno::ELOOP | Errno::EXDEV => WriteError::ThroughLink { path },
        Errno::EISDIR => WriteError::IsDirectory { path },
        errno => WriteError::Create {
            path,
            source: errno.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(path: &str) -> InnerPath {
        InnerPath::parse(Path::new(path)).unwrap()
    }

    #[test]
    fn a_name_from_a_uri_is_told_without_its_secrets() {
        let name = inner("get?token=hunter3&name=a.gz");
        let shown = "get?token=***&name=a.gz";
        assert_eq!(name.to_string(), shown);
        for errno in [Errno::ELOOP, Errno::EISDIR, Errno::ENAMETOOLONG] {
            let told = create_error(name.as_path(), errno).to_string();
            assert!(told.contains(shown) && !told.contains("hunter3"), "{told}");
        }
    }

    #[test]
    fn a_file_is_created_with_its_directories() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Beneath::open(dir.path()).unwrap();
        let mut batch = sandbox.batch();
        batch.file(&inner("a/b/c"), 0o644).unwrap();
        batch.commit();
        assert!(dir.path().join("a/b/c").is_file());
    }

    #[test]
    fn a_dropped_batch_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Beneath::open(dir.path()).unwrap();
        let mut batch = sandbox.batch();
        batch.file(&inner("a/b/c"), 0o644).unwrap();
        batch.symlink(&inner("a/l"), Path::new("b")).unwrap();
        drop(batch);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_symlink_on_the_way_stops_a_write() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        let sandbox = Beneath::open(dir.path()).unwrap();
        let mut batch = sandbox.batch();
        for path in ["out/x", "out/deep/x"] {
            let error = batch.file(&inner(path), 0o644).unwrap_err();
            assert!(matches!(error, WriteError::ThroughLink { .. }), "{error:?}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_symlink_is_replaced_and_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let victim = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(victim.path(), "precious").unwrap();
        std::os::unix::fs::symlink(victim.path(), dir.path().join("x")).unwrap();
        let sandbox = Beneath::open(dir.path()).unwrap();
        let mut batch = sandbox.batch();
        batch.file(&inner("x"), 0o644).unwrap();
        batch.commit();
        assert_eq!(std::fs::read_to_string(victim.path()).unwrap(), "precious");
        assert!(dir.path().join("x").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_directory_is_not_replaced_by_a_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("x")).unwrap();
        let sandbox = Beneath::open(dir.path()).unwrap();
        let error = sandbox.batch().file(&inner("x"), 0o644).unwrap_err();
        assert!(matches!(error, WriteError::IsDirectory { .. }), "{error:?}");
    }
}
