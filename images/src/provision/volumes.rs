//! VOLUMEs of an image: directories that are the container's own, with what the image has in them, beside its
//! root file system. They go with the container.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

use super::copy::{Files, Layer, remove};
use super::look::{Place, place};
use super::{ProvisionError, Provisioner, failed, make};

impl Provisioner {
    /// Where each is in the container, and where on the host. `layers`: the lowest first. Blocks.
    pub(super) fn volumes(
        &self,
        directory: &Path,
        layers: &[PathBuf],
        wanted: &[PathBuf],
    ) -> Result<Vec<(PathBuf, PathBuf)>, ProvisionError> {
        let mut volumes = Vec::new();
        if wanted.is_empty() {
            return Ok(volumes);
        }
        let all = directory.join("volumes");
        make(&all, 0o755)?;
        for (number, path) in wanted.iter().enumerate() {
            let Ok(inside) = path.strip_prefix("/") else {
                continue;
            };
            let name = number.to_string();
            let volume = all.join(&name);
            make(&volume, 0o755)?;
            let filled = fill(layers, inside, &all, &name);
            // Behind a link it stays a part of the image's files.
            if filled.map_err(failed("fill", &volume))? {
                volumes.push((path.clone(), volume));
            }
        }
        Ok(volumes)
    }
}

/// Whether it is a place of its own.
fn fill(layers: &[PathBuf], inside: &Path, all: &Path, name: &str) -> io::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let all: OwnedFd = openat(AT_FDCWD, all, flags, Mode::empty())?;
    let name = CString::new(name)?;
    let mut is_own = true;
    for layer in layers {
        match place(layer, inside)? {
            Place::Nothing => {}
            Place::Directory { opened, alone } => {
                if alone || !is_own {
                    remove(&all, &name)?;
                }
                Layer::new(Files::Copied).directory_itself(&opened, &all, &name)?;
                is_own = true;
            }
            Place::Hidden => {
                remove(&all, &name)?;
                is_own = true;
            }
            Place::Link => is_own = false,
        }
    }
    if is_own {
        match nix::sys::stat::mkdirat(&all, &*name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(is_own)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn filled(layers: &[&Path]) -> Option<Vec<String>> {
        let volumes = tempfile::tempdir().expect("a directory");
        let layers: Vec<_> = layers.iter().map(|it| it.to_path_buf()).collect();
        let is_own = fill(&layers, Path::new("srv/data"), volumes.path(), "0").expect("fills");
        is_own.then(|| {
            let names = fs::read_dir(volumes.path().join("0")).expect("reads");
            let mut names: Vec<_> = names
                .map(|it| it.expect("reads").file_name().into_string().expect("text"))
                .collect();
            names.sort();
            names
        })
    }

    #[test]
    fn a_volume_begins_with_what_the_image_has_there() {
        let layer = |file: &str| {
            let layer = tempfile::tempdir().expect("a directory");
            let file = layer.path().join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("makes");
            fs::write(file, "x").expect("writes");
            layer
        };
        let (below, above, other) = (layer("srv/data/a"), layer("srv/data/b/c"), layer("etc/x"));
        let all = [below.path(), above.path(), other.path()];
        assert_eq!(filled(&all), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(filled(&all[2..]), Some(vec![]));
        assert_eq!(filled(&[]), Some(vec![]));
        // A file in the place of what was there.
        let file = layer("srv/data");
        assert_eq!(filled(&[below.path(), file.path()]), Some(vec![]));
        // What is behind a link is not looked for.
        let link = tempfile::tempdir().expect("a directory");
        symlink("/etc", link.path().join("srv")).expect("links");
        assert_eq!(filled(&[below.path(), link.path()]), None);
        let again = [link.path(), above.path()];
        assert_eq!(filled(&again), Some(vec!["b".to_owned()]));
    }
}
