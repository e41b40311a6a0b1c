//! Images: what a registry has under a name becomes the root file system of a container.
//!
//! Invariant: no byte of an image is trusted. What names it (digests, sizes, counts) is checked before it is
//! used, documents are read within bounds, and a part that could be understood in two ways is refused. Layers
//! are unpacked in a child process that can do nothing else.
#![forbid(unsafe_code)]

use fetcher::chain;

mod command;
mod config;
mod digest;
mod json;
mod local;
mod manifest;
mod media;
mod name;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod provision;
mod reference;
mod registry;
mod store;
mod unpack;
mod users;

pub use command::{Asked, NoCommand, Run, resolve};
pub use config::{BadConfig, ImageConfig, Port, Runtime, UserName};
pub use digest::{BadDigest, Digest, Verifier};
pub use json::BadJson;
pub use local::LocalError;
pub use manifest::{BadManifest, Descriptor, Document, Index, Manifest, Platform};
pub use media::{Compression, LayerKind};
pub use name::{BadImageName, Home, Local, LocalKind, Name, Remote};
pub use provision::{Backend, Ids, Provided, ProvisionError, Provisioner, Rootfs, Stack};
pub use reference::{BadReference, Reference, Version};
pub use registry::{
    BadCredentials, Credentials, HelperError, Login, Partial, Registries, RegistryError,
    RemoteError, Repository, Settings,
};
pub use store::{Held, Image, Progress, Pruned, Pull, Store, StoreError, When};
pub use unpack::{UnpackError, Unpacked, child_main as unpack_child_main, unpack};
pub use users::{Account, NoAccount, account};
