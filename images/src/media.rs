//! Media types of what an image is made of.

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What a media type says of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    Tar(Compression),
    /// To be had from elsewhere, by people who may.
    Foreign,
}

pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub const CONFIGS: &[&str] = &[
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.config.v1+json",
];

#[rustfmt::skip]
const LAYERS: &[(&str, LayerKind)] = &[
    ("application/vnd.docker.image.rootfs.diff.tar", LayerKind::Tar(Compression::None)),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerKind::Tar(Compression::Gzip)),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", LayerKind::Tar(Compression::Zstd)),
    ("application/vnd.oci.image.layer.v1.tar", LayerKind::Tar(Compression::None)),
    ("application/vnd.oci.image.layer.v1.tar+gzip", LayerKind::Tar(Compression::Gzip)),
    ("application/vnd.oci.image.layer.v1.tar+zstd", LayerKind::Tar(Compression::Zstd)),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar", LayerKind::Foreign),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerKind::Foreign),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", LayerKind::Foreign),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LayerKind::Foreign),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LayerKind::Foreign),
];

/// What a registry is asked for, and what it may call a document that names what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    Manifest,
    Index,
}

pub fn document(media_type: &str) -> Option<DocumentKind> {
    match essence(media_type) {
        DOCKER_MANIFEST | OCI_MANIFEST => Some(DocumentKind::Manifest),
        DOCKER_LIST | OCI_INDEX => Some(DocumentKind::Index),
        _ => None,
    }
}

pub fn layer(media_type: &str) -> Option<LayerKind> {
    let known = LAYERS.iter().find(|(name, _)| *name == essence(media_type));
    known.map(|(_, kind)| *kind)
}

/// Without parameters, such as a charset.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}
