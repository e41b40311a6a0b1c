//! Images: what a registry has under a name becomes the root file system of a container.
//!
//! Invariant: no byte of an image is trusted. What names it (digests, sizes, counts) is checked before it is
//! used, documents are read within bounds, and a part that could be understood in two ways is refused.
#![forbid(unsafe_code)]

mod command;
mod config;
mod digest;
mod json;
mod manifest;
mod media;
mod reference;
mod users;

pub use command::{Asked, NoCommand, Run, resolve};
pub use config::{BadConfig, ImageConfig, Port, Runtime, UserName};
pub use digest::{BadDigest, Digest, Verifier};
pub use json::BadJson;
pub use manifest::{BadManifest, Descriptor, Document, Index, Manifest, Platform};
pub use media::{Compression, LayerKind};
pub use reference::{BadReference, Reference, Version};
pub use users::{Account, NoAccount, account};
