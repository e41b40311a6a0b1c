//! What `docker save` writes, as a manifest of today. Pure but for the archive, which is read.

use serde_json::json;

use super::LocalError;
use super::archive::Archive;
use crate::json;
use crate::manifest::MOST_LAYERS;
use crate::media::{Compression, OCI_MANIFEST};
use crate::reference::Reference;

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// Of the image that is meant.
pub fn manifest(archive: &Archive, wanted: Option<&str>) -> Result<Vec<u8>, LocalError> {
    let text = match archive.text("manifest.json") {
        Err(LocalError::Missing(_)) if archive.has("repositories") => return Err(LocalError::Old),
        text => text?,
    };
    let saved: Vec<Saved> = json::parse(&text).map_err(|source| LocalError::Json {
        file: "manifest.json",
        source,
    })?;
    let image = chosen(&saved, wanted)?;
    if image.layers.len() > MOST_LAYERS {
        return Err(crate::manifest::BadManifest::TooManyLayers(image.layers.len()).into());
    }
    let config = archive.member(&image.config)?;
    let layers = image.layers.iter().map(|name| {
        let layer = archive.member(name)?;
        let media_type = match layer.compression {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        Ok(json!({"mediaType": media_type, "digest": layer.digest, "size": layer.size}))
    });
    let layers: Vec<_> = layers.collect::<Result<_, LocalError>>()?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.digest, "size": config.size,
        },
    });
    Ok(manifest.to_string().into_bytes())
}

fn chosen<'a>(saved: &'a [Saved], wanted: Option<&str>) -> Result<&'a Saved, LocalError> {
    let tags = |image: &'a Saved| image.repo_tags.iter().flatten().map(String::as_str);
    let there = || {
        saved
            .iter()
            .flat_map(tags)
            .take(20)
            .map(str::to_owned)
            .collect()
    };
    match (saved, wanted) {
        ([only], None) => Ok(only),
        // It was saved by its id.
        ([only], Some(_)) if tags(only).next().is_none() => Ok(only),
        (_, None) => Err(LocalError::Several(there())),
        (_, Some(wanted)) => {
            let mut found = saved
                .iter()
                .filter(|image| tags(image).any(|it| same_name(it, wanted)));
            found.next().ok_or_else(|| LocalError::NoSuch {
                wanted: wanted.to_owned(),
                there: there(),
            })
        }
    }
}

/// Whether both are names of one image.
pub fn same_name(one: &str, other: &str) -> bool {
    let (one, other) = (one.parse::<Reference>(), other.parse::<Reference>());
    one.is_ok() && one == other
}
