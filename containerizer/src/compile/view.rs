//! What a container without an image of its own sees at a path while its mounts are being planned:
//! the host's files, covered by the mounts so far.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    /// Anything a file can be bound on: also devices and sockets.
    File,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::File => "file",
        })
    }
}

/// What there is at an absolute path of the host, links followed; `None` when nothing is.
pub type Lookup<'a> = dyn Fn(&Path) -> Option<Kind> + 'a;

pub struct View<'a> {
    lookup: &'a Lookup<'a>,
    /// Where the host's paths show, in the order of mounting.
    binds: Vec<Bind>,
    /// New file systems, which start empty.
    fresh: Vec<PathBuf>,
    /// Directories that were rebuilt: names can be added to them.
    mirrored: BTreeSet<PathBuf>,
}

struct Bind {
    target: PathBuf,
    source: PathBuf,
    writable: bool,
}

/// How a mount point comes to be.
#[derive(Debug, PartialEq, Eq)]
pub enum MountPoint {
    Exists(Kind),
    /// It can be made in place, below a directory that is the container's own.
    Make {
        base: PathBuf,
    },
    /// This directory of the host must be rebuilt first, so that the host never sees the new name.
    MakeIn {
        rebuild: PathBuf,
    },
}

impl<'a> View<'a> {
    pub fn new(lookup: &'a Lookup<'a>) -> Self {
        Self {
            lookup,
            binds: Vec::new(),
            fresh: Vec::new(),
            mirrored: BTreeSet::new(),
        }
    }

    pub fn add_bind(&mut self, target: &Path, source: &Path, writable: bool) {
        self.binds.push(Bind {
            target: target.to_owned(),
            source: source.to_owned(),
            writable,
        });
    }

    pub fn add_fresh(&mut self, target: &Path) {
        self.fresh.push(target.to_owned());
    }

    pub fn add_mirror(&mut self, directory: &Path) {
        self.mirrored.insert(directory.to_owned());
    }

    /// `own`: below this directory the container may make what it needs on the host.
    ///
    /// A writable volume is not rebuilt: what the container writes there later must reach its
    /// source, so the mount point is made in the source, as Docker does.
    pub fn mount_point(&self, target: &Path, own: &Path) -> MountPoint {
        if let Some(kind) = self.kind(target) {
            return MountPoint::Exists(kind);
        }
        if target.starts_with(own) {
            return MountPoint::Make {
                base: own.to_owned(),
            };
        }
        let ancestor = (target.ancestors().skip(1))
            .find(|path| self.mirrored.contains(*path) || self.kind(path).is_some())
            .unwrap_or(Path::new("/"));
        let mirrored = self.mirrored.contains(ancestor).then_some(ancestor);
        let volume = self.innermost(ancestor).filter(|bind| bind.writable);
        let fresh = self.fresh.iter().find(|fresh| ancestor.starts_with(fresh));
        let base = mirrored
            .or(volume.map(|bind| bind.target.as_path()))
            .or(fresh.map(PathBuf::as_path));
        match base {
            Some(base) => MountPoint::Make {
                base: base.to_owned(),
            },
            None => MountPoint::MakeIn {
                rebuild: ancestor.to_owned(),
            },
        }
    }

    /// The bind that shows at `path`: of two at the same place the later one.
    fn innermost(&self, path: &Path) -> Option<&Bind> {
        let covering = self
            .binds
            .iter()
            .filter(|bind| path.starts_with(&bind.target));
        covering.max_by_key(|bind| bind.target.components().count())
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        let bind = self.innermost(path).and_then(|bind| {
            let rest = path.strip_prefix(&bind.target).ok()?;
            Some((&bind.target, &bind.source, rest))
        });
        let fresh = self.fresh.iter().filter(|fresh| path.starts_with(fresh));
        let fresh = fresh.max_by_key(|fresh| fresh.components().count());
        match (bind, fresh) {
            (Some((target, ..)), Some(fresh)) if fresh.starts_with(target) => {
                (path == fresh).then_some(Kind::Directory)
            }
            (Some((_, source, rest)), _) if rest.as_os_str().is_empty() => (self.lookup)(source),
            (Some((_, source, rest)), _) => (self.lookup)(&source.join(rest)),
            (None, Some(fresh)) => (path == fresh).then_some(Kind::Directory),
            (None, None) => (self.lookup)(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(path: &Path) -> Option<Kind> {
        let directories = ["/", "/tmp", "/opt", "/data", "/data/logs", "/proc"];
        directories
            .iter()
            .any(|d| Path::new(d) == path)
            .then_some(Kind::Directory)
    }

    fn make(base: &str) -> MountPoint {
        MountPoint::Make { base: base.into() }
    }

    fn point(view: &View<'_>, target: &str) -> MountPoint {
        view.mount_point(Path::new(target), Path::new("/sandbox"))
    }

    #[test]
    fn the_deepest_directory_that_the_host_has_is_rebuilt() {
        let view = View::new(&host);
        assert_eq!(point(&view, "/tmp"), MountPoint::Exists(Kind::Directory));
        assert_eq!(
            point(&view, "/opt/a/b"),
            MountPoint::MakeIn {
                rebuild: "/opt".into()
            }
        );
        assert_eq!(
            point(&view, "/new"),
            MountPoint::MakeIn {
                rebuild: "/".into()
            }
        );
    }

    #[test]
    fn a_directory_is_rebuilt_once() {
        let mut view = View::new(&host);
        view.add_mirror(Path::new("/opt"));
        view.add_bind(Path::new("/opt/a"), Path::new("/data"), true);
        assert_eq!(point(&view, "/opt/b"), make("/opt"));
    }

    #[test]
    fn a_volume_in_a_volume_is_looked_for_in_the_outer_ones_source() {
        let mut view = View::new(&host);
        view.add_bind(Path::new("/opt"), Path::new("/data"), false);
        assert_eq!(
            point(&view, "/opt/logs"),
            MountPoint::Exists(Kind::Directory)
        );
        let rebuild = PathBuf::from("/opt");
        assert_eq!(point(&view, "/opt/none"), MountPoint::MakeIn { rebuild });
    }

    #[test]
    fn a_writable_volume_is_never_rebuilt() {
        let mut view = View::new(&host);
        view.add_bind(Path::new("/opt"), Path::new("/data"), true);
        assert_eq!(point(&view, "/opt/none"), make("/opt"));
    }

    #[test]
    fn the_sandbox_and_new_file_systems_are_the_containers_own() {
        let mut view = View::new(&host);
        view.add_fresh(Path::new("/proc"));
        assert_eq!(point(&view, "/sandbox/data"), make("/sandbox"));
        assert_eq!(point(&view, "/proc/x"), make("/proc"));
    }
}
