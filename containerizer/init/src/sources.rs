//! What is bound into the container: detached copies of trees of mounts.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use init::{Idmap, Maps, Mount, Origin, Owners, Source, Stage};

use crate::failure::{Failure, because};
use crate::procfs::Procfs;
use crate::root::{self, Root};
use crate::{fork, mounts, sys};

#[derive(Default)]
pub struct Sources {
    /// Of `Step::OpenSources`; each is used up by one `Bind`.
    opened: Vec<Option<OwnedFd>>,
    /// User namespaces, for their maps.
    namespaces: Vec<OwnedFd>,
}

impl Sources {
    pub fn open(
        &mut self,
        root: &Root,
        sources: &[Source],
        own: Option<&str>,
        maps: &[Maps],
    ) -> Result<(), Failure> {
        if !maps.is_empty() {
            let proc = Procfs::of_host().map_err(because("open /proc"))?;
            let namespaces = maps.iter().map(|maps| fork::user_namespace(&proc, maps));
            self.namespaces = namespaces.collect::<Result<_, _>>()?;
        }
        for source in sources {
            let path = &source.path;
            // Below `own` the user of the container can change names while we look.
            let below = own.and_then(|own| Some((own, path.strip_prefix(own)?.strip_prefix('/')?)));
            let found = match below {
                Some((own, below)) => root.strictly(own).and_then(|own| own.resolve(below)),
                None => of_host(path),
            };
            let tree = found.map_err(missing(path, "host"));
            let tree = tree.and_then(|at| self.copy(at.as_fd(), source, "host"));
            self.opened.push(Some(tree?));
        }
        Ok(())
    }

    /// With `owners` the layers below are shown as the container's own. What is written is the host's ids' as it
    /// is: who mounts has no id that the maps know, and could make nothing through them.
    pub fn open_overlay(
        &mut self,
        base: &str,
        mount: &Mount,
        owners: Option<Owners>,
    ) -> Result<(), Failure> {
        sys::chdir(base).map_err(because(format!("enter {base} of the host")))?;
        let tree = match owners {
            None => mounts::configure(mount, &[])?,
            Some(owners) => {
                let (mount, layers) = self.owned(mount, owners)?;
                mounts::configure(&mount, &layers)?
            }
        };
        self.opened.push(Some(tree));
        Ok(())
    }

    /// The mount without its lower layers, and those as mounts of their own.
    fn owned(&self, mount: &Mount, owners: Owners) -> Result<(Mount, Vec<OwnedFd>), Failure> {
        let (lower, rest): (Vec<_>, Vec<_>) = (mount.options.iter().cloned())
            .partition(|(key, _)| matches!(key.as_str(), "lowerdir" | "lowerdir+"));
        let paths = lower.iter().filter_map(|(_, value)| value.as_deref());
        let idmap = Some(Idmap {
            namespace: owners.namespace,
            recursive: false,
        });
        let layer = |path: &str| {
            let found = of_host(path).map_err(missing(path, "host"))?;
            let source = Source {
                path: path.to_owned(),
                recursive: false,
                propagation: libc::MS_PRIVATE,
                idmap,
            };
            self.copy(found.as_fd(), &source, "host")
        };
        let layers = paths.flat_map(|paths| paths.split(':')).map(layer);
        let layers = layers.collect::<Result<_, _>>()?;
        for (key, value) in &rest {
            if let ("upperdir", Some(path)) = (key.as_str(), value) {
                let given = sys::chownat(root::cwd(), path, owners.uid, owners.gid);
                given.map_err(because(format!("give {path} of the host to the container")))?;
            }
        }
        let options = rest;
        Ok((
            Mount {
                options,
                ..mount.clone()
            },
            layers,
        ))
    }

    /// One that was opened.
    pub fn take(&mut self, source: u32) -> io::Result<OwnedFd> {
        let tree = self.opened.get_mut(source as usize).and_then(Option::take);
        tree.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    pub fn find(&mut self, root: &Root, origin: &Origin) -> Result<OwnedFd, Failure> {
        match origin {
            Origin::Opened { source } => self.take(*source).map_err(because("bind twice")),
            Origin::Host { source } => {
                let found = of_host(&source.path).map_err(missing(&source.path, "host"))?;
                self.copy(found.as_fd(), source, "host")
            }
            Origin::Root { source } => {
                let found = root.resolve(&source.path);
                let found = found.map_err(missing(&source.path, "container"))?;
                self.copy(found.as_fd(), source, "container")
            }
        }
    }

    fn copy(&self, at: BorrowedFd<'_>, source: &Source, whose: &str) -> Result<OwnedFd, Failure> {
        let Source {
            path,
            recursive,
            propagation,
            idmap,
        } = source;
        let tree = sys::clone_tree(at.as_raw_fd(), "", *recursive).and_then(|tree| {
            if *propagation != 0 {
                sys::mount_setattr(tree.as_fd(), 0, 0, *propagation, true)?;
            }
            Ok(tree)
        });
        let tree = tree.map_err(missing(path, whose))?;
        if let Some(idmap) = idmap {
            let namespace = self.namespaces.get(idmap.namespace as usize);
            let mapped = namespace
                .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
                .and_then(|namespace| sys::idmap(tree.as_fd(), namespace.as_fd(), idmap.recursive));
            mapped.map_err(because(format!(
                "bind {path} of the {whose}: map the owners of its files (ext4, xfs, btrfs and others \
                 can since Linux 5.12 to 5.19, tmpfs since 6.3)"
            )))?;
        }
        Ok(tree)
    }
}

fn of_host(path: &str) -> io::Result<OwnedFd> {
    sys::openat2(root::cwd(), path, libc::O_PATH, 0)
}

fn missing(path: &str, whose: &str) -> impl FnOnce(io::Error) -> Failure {
    let attempt = format!("bind {path} of the {whose}");
    move |error| because(attempt)(error).at(Stage::Source {})
}
