//! Where things lie in the runtime directory. It dies with the kernel whose objects are described there (a
//! tmpfs on most hosts), so nothing is synced. This module alone knows the layout:
//!
//! ```text
//! <runtime_dir>
//! ├── runtime.lock        held by the agent that runs here, with its pid
//! ├── upgrade             how its upgrades went, and which process can be asked for one
//! ├── network/<id>       of a container with a network of its own: its agent's
//! ├── ids/<first id>      a link to the name of the container that has the ids from there on
//! └── containers/<id>     from before the container's first process until its end is known elsewhere
//!     ├── config.json     the OCI spec that was executed, with a checksum: see `state::sealed`
//!     ├── pid             which process init is: see `identity`
//!     ├── timings         of the launch, once it is over
//!     └── status          how the command ended, written by init: see `init::ExitRecord`
//! ```
//!
//! What is to be there whole or not at all is written to `<name>.new` and renamed.

use std::path::{Path, PathBuf};

use isolators::ContainerId;

/// Of the agent that has the directory.
pub fn lock(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("runtime.lock")
}

/// Of an agent that can be upgraded in place.
pub fn upgrade(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("upgrade")
}

/// Whether there is something of a container of that name.
pub fn is_recorded(runtime_dir: &Path, container: &str) -> bool {
    let id = ContainerId::try_from(container.to_owned());
    id.is_ok_and(|id| self::container(runtime_dir, &id).exists())
}

pub(crate) fn ids(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("ids")
}

pub(crate) fn containers(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("containers")
}

pub(crate) fn container(runtime_dir: &Path, id: &ContainerId) -> PathBuf {
    containers(runtime_dir).join(id.as_str())
}
