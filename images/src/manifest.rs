//! Manifests and indexes of OCI and of Docker: which layers an image is made of, and which image is for which
//! machine. Pure.

use crate::digest::Digest;
use crate::json::{self, BadJson};
use crate::media::{self, Compression, DocumentKind, LayerKind};

/// Bytes of a document; registries themselves take no larger one.
pub const LARGEST: usize = 4 << 20;
/// What a kernel stacks.
pub const MOST_LAYERS: usize = 500;
const MOST_IMAGES: usize = 1000;
/// Bytes of one layer, as it is sent.
const LARGEST_LAYER: u64 = 64 << 30;
/// Bytes of the document that says how an image runs.
pub const LARGEST_CONFIG: u64 = 8 << 20;

/// Content of a registry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Descriptor {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    pub config: Descriptor,
    /// The lowest first.
    pub layers: Vec<Layer>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    #[serde(flatten)]
    pub blob: Descriptor,
    pub compression: Compression,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    images: Vec<(Platform, Descriptor)>,
}

/// What programs are made for, in the words of Go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    #[error("the manifest has {0} bytes or more, and may have {LARGEST}")]
    TooLarge(usize),
    #[error("the manifest cannot be read")]
    Json(#[from] BadJson),
    #[error(
        "the manifest is of schema version {0}, which nobody should use any more: push the image again with \
         a tool of this decade"
    )]
    Schema(u64),
    #[error(
        "the manifest is both an index of images and an image, so that nobody can tell which is meant"
    )]
    Both,
    #[error("the manifest is neither an index of images nor an image")]
    Neither,
    #[error("the manifest says that it is {own:?}, and the registry that it is {registry:?}")]
    Contradiction { own: String, registry: String },
    #[error("the manifest is of the type {0:?}, and says otherwise by what is in it")]
    OtherKind(String),
    #[error("it is no image for containers: its configuration is of the type {0:?}")]
    NoImage(String),
    #[error("it has {0} layers, and the kernel stacks {MOST_LAYERS}: build it with fewer")]
    TooManyLayers(usize),
    #[error("its index leads to another index, where an image should be")]
    Nested,
    #[error("its index names {0} images, and may name {MOST_IMAGES}")]
    TooManyImages(usize),
    #[error("layer {digest}: its type {media_type:?} is not known: use tar, gzip or zstd")]
    UnknownLayer { digest: Digest, media_type: String },
    #[error(
        "layer {0} is to be had from elsewhere than from the registry, which is refused: build the image \
         without foreign layers"
    )]
    Foreign(Digest),
    #[error("layer {digest} is said to have {size} bytes, and may have {LARGEST_LAYER}")]
    LargeLayer { digest: Digest, size: u64 },
    #[error("its configuration is said to have {0} bytes, and may have {LARGEST_CONFIG}")]
    LargeConfig(u64),
    #[error("it is there for {there}, and not for {wanted}, which this machine is")]
    NoPlatform { wanted: String, there: String },
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<WrittenDescriptor>,
    layers: Option<Vec<WrittenDescriptor>>,
    manifests: Option<Vec<WrittenDescriptor>>,
    /// Of schema version 1.
    fs_layers: Option<serde_json::Value>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDescriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
    platform: Option<WrittenPlatform>,
}

#[derive(serde::Deserialize)]
struct WrittenPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl Document {
    /// `content_type`: what the registry calls it, if it says so.
    pub fn parse(text: &[u8], content_type: Option<&str>) -> Result<Document, BadManifest> {
        if text.len() > LARGEST {
            return Err(BadManifest::TooLarge(text.len()));
        }
        let written: Written = json::parse(text)?;
        if written.schema_version != 2 {
            return Err(BadManifest::Schema(written.schema_version));
        }
        let is_image = written.config.is_some() || written.layers.is_some();
        let kind = match (is_image, &written.manifests) {
            (true, Some(_)) => return Err(BadManifest::Both),
            (_, _) if written.fs_layers.is_some() => return Err(BadManifest::Both),
            (true, None) => DocumentKind::Manifest,
            (false, Some(_)) => DocumentKind::Index,
            (false, None) => return Err(BadManifest::Neither),
        };
        let named = content_type
            .map(media::essence)
            .filter(|it| media::document(it).is_some());
        if let (Some(own), Some(registry)) = (&written.media_type, named)
            && own != registry
        {
            return Err(BadManifest::Contradiction {
                own: own.clone(),
                registry: registry.to_owned(),
            });
        }
        if let Some(said) = written.media_type.as_deref().or(named)
            && media::document(said) != Some(kind)
        {
            return Err(BadManifest::OtherKind(said.to_owned()));
        }
        match (written.config, written.layers, written.manifests) {
            (_, _, Some(images)) => Ok(Document::Index(Index::of(images)?)),
            (Some(config), Some(layers), None) => {
                Ok(Document::Manifest(Manifest::of(config, layers)?))
            }
            _ => Err(BadManifest::Neither),
        }
    }
}

impl Manifest {
    fn of(
        config: WrittenDescriptor,
        layers: Vec<WrittenDescriptor>,
    ) -> Result<Manifest, BadManifest> {
        if !media::CONFIGS.contains(&config.media_type.as_str()) {
            return Err(BadManifest::NoImage(config.media_type));
        }
        if config.size > LARGEST_CONFIG {
            return Err(BadManifest::LargeConfig(config.size));
        }
        if layers.len() > MOST_LAYERS {
            return Err(BadManifest::TooManyLayers(layers.len()));
        }
        let layers = layers.into_iter().map(Layer::of);
        Ok(Manifest {
            config: config.content(),
            layers: layers.collect::<Result<_, _>>()?,
        })
    }
}

impl Layer {
    fn of(written: WrittenDescriptor) -> Result<Layer, BadManifest> {
        let digest = written.digest.clone();
        let compression = match media::layer(&written.media_type) {
            Some(LayerKind::Tar(compression)) if written.urls.is_empty() => compression,
            Some(LayerKind::Tar(_) | LayerKind::Foreign) => {
                return Err(BadManifest::Foreign(digest));
            }
            None => {
                return Err(BadManifest::UnknownLayer {
                    digest,
                    media_type: written.media_type,
                });
            }
        };
        if written.size > LARGEST_LAYER {
            let size = written.size;
            return Err(BadManifest::LargeLayer { digest, size });
        }
        Ok(Layer {
            blob: written.content(),
            compression,
        })
    }
}

impl WrittenDescriptor {
    fn content(self) -> Descriptor {
        Descriptor {
            digest: self.digest,
            size: self.size,
        }
    }
}

impl Index {
    fn of(images: Vec<WrittenDescriptor>) -> Result<Index, BadManifest> {
        if images.len() > MOST_IMAGES {
            return Err(BadManifest::TooManyImages(images.len()));
        }
        let images = images.into_iter().filter_map(|mut written| {
            let platform = written.platform.take()?;
            // Signatures and the like, which are images of nothing.
            let is_image = platform.os != "unknown";
            let platform = Platform {
                os: platform.os,
                architecture: platform.architecture,
                variant: platform.variant,
            };
            is_image.then(|| (platform, written.content()))
        });
        Ok(Index {
            images: images.collect(),
        })
    }

    /// The image for a machine: the one of its variant, or else the first of its architecture.
    pub fn image(&self, machine: &Platform) -> Result<&Descriptor, BadManifest> {
        let mut fits = self.images.iter().filter(|(platform, _)| {
            platform.os == machine.os && platform.architecture == machine.architecture
        });
        let exact = |(platform, _): &&&(Platform, Descriptor)| platform.variant == machine.variant;
        let all: Vec<_> = fits.by_ref().collect();
        let found = all.iter().find(exact).or(all.first());
        found.map(|(_, image)| image).ok_or_else(|| {
            let there: Vec<_> = (self.images.iter().take(20))
                .map(|(platform, _)| platform.to_string())
                .collect();
            BadManifest::NoPlatform {
                wanted: machine.to_string(),
                there: match there.is_empty() {
                    true => "no platform".to_owned(),
                    false => there.join(", "),
                },
            }
        })
    }
}

impl Platform {
    /// Of this machine.
    pub fn here() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variant = self.variant.as_deref();
        write!(f, "{}/{}", self.os, self.architecture)?;
        variant.map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests;
