//! A task's root file system: its image is pulled, and its container told so.

use std::fs::File;
use std::path::PathBuf;

use super::image;
use super::launch::{Host, LaunchError};
use crate::sandbox;

/// Makes a container one of its image, which the sandbox then belongs to.
pub async fn root(
    host: &Host,
    wish: &image::Wish,
    container: &mut isolators::Request,
    log: &File,
) -> Result<(), LaunchError> {
    let images = &host.images;
    let place = (&*container.sandbox, log);
    let pulled = images.pull(&wish.reference, wish.when, place).await?;
    let id = container.id.as_str();
    let found = images.provision(id, pulled, wish.user.clone()).await?;
    let before = (container.user.uid, container.user.gid);
    // Whose network is the host's has its names, too.
    let shown = ["/etc/hosts", "/etc/resolv.conf"].map(PathBuf::from);
    let shown = shown.into_iter().filter(|file| file.exists()).collect();
    image::complete(container, wish, found, &images.sandbox, shown)?;
    let owner = (container.user.uid, container.user.gid);
    if owner != before {
        let sandbox = container.sandbox.clone();
        tokio::task::spawn_blocking(move || sandbox::give_all(&sandbox, owner)).await??;
    }
    Ok(())
}
