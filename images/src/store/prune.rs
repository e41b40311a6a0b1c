//! What of the store may go.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Held, Image, Store, StoreError, io_error, names, read};
use crate::digest::Digest;
use crate::name::Name;
use crate::unpack::Unpacked;

/// What has gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    pub images: Vec<String>,
    pub layers: usize,
    /// Bytes of files.
    pub bytes: u64,
}

impl Store {
    /// Removes all images but those that `keep` says, and all layers that are of none of the rest and not
    /// among `used`, which containers have. Blocks.
    pub(crate) fn prune(
        &self,
        _alone: &Held,
        used: &BTreeSet<Digest>,
        keep: impl Fn(&Image) -> bool,
    ) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        for image in self.images()? {
            let in_use =
                !image.layers.is_empty() && image.layers.iter().all(|it| used.contains(it));
            if !keep(&image) && !in_use {
                self.forget(&image)?;
                pruned.images.push(image.name);
            }
        }
        let mut kept = self.layers_of_images()?;
        kept.extend(used.iter().cloned());
        (pruned.layers, pruned.bytes) = self.remove_layers_but(&kept)?;
        let blobs = self.directory.join("blobs");
        for path in names(&blobs)? {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(pruned)
    }

    /// Its layers stay until the next `prune`. Whether it was there.
    pub fn remove(&self, name: &Name) -> Result<bool, StoreError> {
        match read::<Image>(&self.image_file(&name.to_string()))? {
            Some(image) => self.forget(&image).map(|()| true),
            None => Ok(false),
        }
    }

    fn forget(&self, image: &Image) -> Result<(), StoreError> {
        let file = self.image_file(&image.name);
        fs::remove_file(&file).map_err(io_error("remove", &file))
    }

    pub(super) fn layers_of_images(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let images = self.images()?.into_iter();
        Ok(images.flat_map(|image| image.layers).collect())
    }

    /// How many, and the bytes of their files.
    pub(super) fn remove_layers_but(
        &self,
        kept: &BTreeSet<Digest>,
    ) -> Result<(usize, u64), StoreError> {
        let (mut layers, mut bytes) = (0, 0);
        for path in names(&self.directory.join("layers"))? {
            let name = path.file_name().and_then(|name| name.to_str());
            let digest = name.and_then(Digest::from_file_name);
            if digest.is_some_and(|digest| kept.contains(&digest)) {
                continue;
            }
            let known = read::<Unpacked>(&path.join("layer.json"));
            bytes += known.ok().flatten().map_or(0, |known| known.bytes);
            remove_layer(&path)?;
            layers += 1;
        }
        Ok((layers, bytes))
    }
}

/// Without its record first: what is half removed is no layer.
fn remove_layer(path: &Path) -> Result<(), StoreError> {
    let record = path.join("layer.json");
    match fs::remove_file(&record) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io_error("remove", &record)(error));
        }
        _ => {}
    }
    fs::remove_dir_all(path).map_err(io_error("remove", path))
}
