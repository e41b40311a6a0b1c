//! Files of the cache as hard links, which take no time and no room however large they are.
//!
//! A link is the cache's own file, so it is given only to who cannot change that. The file stays the agent's,
//! with a mode that lets nobody write: only its owner could change the mode, and only for writing could it be
//! opened to be changed. Who is root, or may act as if (`Request::links` says), gets a copy. So does who asked
//! for a plain file: programs write to their data, and nobody to a program that runs. No set-user-id bit is
//! ever there to be had. What the task does to the link's name, in a directory of its own, is its business.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

use crate::beneath::{Beneath, Staging};
use crate::{Request, Uri};

/// What is smaller is copied as fast.
const LEAST_BYTES: u64 = 1 << 20;
pub const MODE: u32 = 0o555;

/// Links a kept file into the staging directory, where the user finds it; false where it has to be copied.
/// To be called before the process becomes the user.
pub fn link(
    sandbox: &Beneath,
    request: &Request,
    index: usize,
    path: &Path,
    file: &File,
) -> io::Result<bool> {
    let Some((uid, gid, _)) = request.user.as_ref().filter(|(uid, ..)| *uid != 0) else {
        return Ok(false);
    };
    let asked = |uri: &Uri| request.links && uri.executable;
    let metadata = file.metadata()?;
    if !request.uris.get(index).is_some_and(asked) || metadata.len() < LEAST_BYTES {
        return Ok(false);
    }
    if metadata.uid() == *uid || metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Ok(false);
    }
    file.set_permissions(Permissions::from_mode(MODE))?;
    let staging = Staging::give(sandbox, *uid, *gid)?;
    let name = Staging::kept_name(index);
    // Another file system, or one with other quotas, or too many links: then it is copied.
    Ok(linkat(
        AT_FDCWD,
        path,
        staging.as_fd(),
        name.as_str(),
        AtFlags::empty(),
    )
    .is_ok())
}
