//! Files of the agent's host that root may read by a capability alone, opened before it is given up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, CapsHashSet};
use nix::unistd::geteuid;

use super::{DownloadError, local};

/// As many as leave room for downloads among the descriptors that a process has at least, 1024. Of what else a
/// request names, root reads only what its own user and groups may.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub struct Held(BTreeMap<PathBuf, File>);

impl Held {
    /// To be called while the process has one thread, for what it does not need is set aside meanwhile.
    pub fn open<'a>(paths: impl Iterator<Item = &'a Path>) -> io::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::default());
        }
        let before = caps::read(None, CapSet::Effective).map_err(io::Error::other)?;
        let set = |to: &CapsHashSet| caps::set(None, CapSet::Effective, to);
        set(&CapsHashSet::new()).map_err(io::Error::other)?;
        let shut: Vec<&Path> = paths.filter(|path| is_shut(path)).take(MOST).collect();
        set(&before).map_err(io::Error::other)?;
        // Whatever else is wrong with one is said when its turn comes.
        let opened = |path: &Path| Some((path.to_owned(), local::open(path).ok()?));
        Ok(Self(shut.into_iter().filter_map(opened).collect()))
    }

    /// A descriptor of its own, at whose position nobody may rely on.
    pub fn file(&self, path: &Path) -> Option<io::Result<File>> {
        self.0.get(path).map(File::try_clone)
    }
}

fn is_shut(path: &Path) -> bool {
    match local::open(path) {
        Err(DownloadError::Open { source, .. }) => source.kind() == io::ErrorKind::PermissionDenied,
        _ => false,
    }
}
