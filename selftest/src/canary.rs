//! Files of the host that no container may read, write or move.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::trouble::{Trouble, cannot};

/// A directory of the host with a secret in it, and how it looked before.
pub struct Canaries {
    directory: PathBuf,
    before: BTreeMap<PathBuf, Look>,
}

#[derive(Debug, PartialEq, Eq)]
struct Look {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    contents: Vec<u8>,
}

/// The file in it that holds [`SECRET`].
pub const NAME: &str = "secret";
/// What a container that can say it has read.
pub const SECRET: &str = "canary-of-the-host";

impl Canaries {
    /// `names`: further files of it.
    pub fn put(directory: &Path, names: &[&str]) -> Result<Self, Trouble> {
        let attempt = || format!("put canaries into {}", directory.display());
        let files = std::iter::once(&NAME).chain(names);
        fs::create_dir_all(directory)
            .and_then(|()| {
                files
                    .map(|name| directory.join(name))
                    .try_for_each(|path| fs::write(path, SECRET))
            })
            .map_err(cannot(attempt()))?;
        Ok(Self {
            directory: directory.to_owned(),
            before: looks(directory).map_err(cannot(attempt()))?,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn secret(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// What has happened to them, each as a phrase.
    pub fn harmed(&self) -> Result<Vec<String>, Trouble> {
        let now = looks(&self.directory).map_err(cannot("look at the canaries"))?;
        let shown = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mut harmed = Vec::new();
        for (path, look) in &now {
            let name = shown(path).unwrap_or_default();
            match self.before.get(path) {
                Some(before) if before == look => {}
                Some(_) => harmed.push(format!("changed {name} on the host")),
                None => harmed.push(format!("made {name} on the host")),
            }
        }
        let gone = self.before.keys().filter(|path| !now.contains_key(*path));
        harmed.extend(
            gone.filter_map(|p| shown(p))
                .map(|name| format!("removed {name} on the host")),
        );
        Ok(harmed)
    }
}

/// Everything below, links not followed.
fn looks(directory: &Path) -> io::Result<BTreeMap<PathBuf, Look>> {
    let mut found = BTreeMap::new();
    let mut places = vec![directory.to_owned()];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            let contents = match meta.file_type() {
                kind if kind.is_file() => fs::read(&path)?,
                kind if kind.is_symlink() => {
                    fs::read_link(&path)?.into_os_string().into_encoded_bytes()
                }
                _ => Vec::new(),
            };
            let look = Look {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                device: meta.rdev(),
                contents,
            };
            if meta.is_dir() {
                places.push(path.clone());
            }
            found.insert(path, look);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_to_a_canary_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let canaries = Canaries::put(directory.path(), &["a", "b"]).expect("puts");
        assert_eq!(canaries.harmed().expect("looks"), Vec::<String>::new());
        fs::write(directory.path().join("a"), "x").expect("writes");
        fs::remove_file(directory.path().join("b")).expect("removes");
        fs::create_dir(directory.path().join("c")).expect("makes");
        let harmed = canaries.harmed().expect("looks");
        let wanted = [
            "changed a on the host",
            "made c on the host",
            "removed b on the host",
        ];
        assert_eq!(harmed, wanted);
    }
}
