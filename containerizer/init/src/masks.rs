//! What hides paths of a container: an empty directory, or the null device.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use init::mount_attributes::{NODEV, NOEXEC, NOSUID, RDONLY};

use crate::{root, sys};

#[derive(Default)]
pub struct Masks {
    directory: Cover,
    file: Cover,
}

/// One mount; others that hide the like are copies of it, which cost the kernel less than new ones.
#[derive(Default)]
enum Cover {
    #[default]
    Unmade,
    Detached(OwnedFd),
    Mounted(OwnedFd),
}

impl Masks {
    /// Takes hold of what is the host's, while paths lead there.
    pub fn prepare(&mut self) -> io::Result<()> {
        self.file = Cover::Detached(null_device()?);
        Ok(())
    }

    /// `directory`: of a mount in our namespace, where there is nothing and nothing can be written.
    pub fn hide_by(&mut self, directory: OwnedFd) {
        self.directory = Cover::Mounted(directory);
    }

    pub fn hide(&mut self, at: &OwnedFd) -> io::Result<()> {
        match sys::metadata(at.as_fd())?.is_dir() {
            true => self.directory.mount(at, empty_directory),
            false => self.file.mount(at, null_device),
        }
    }
}

impl Cover {
    fn mount(&mut self, at: &OwnedFd, make: fn() -> io::Result<OwnedFd>) -> io::Result<()> {
        let tree = match std::mem::take(self) {
            Self::Unmade => make()?,
            Self::Detached(tree) => tree,
            Self::Mounted(tree) => sys::clone_tree(tree.as_raw_fd(), "", false)?,
        };
        sys::move_mount(tree.as_fd(), at.as_fd(), "")?;
        *self = Self::Mounted(tree);
        Ok(())
    }
}

/// The host's, whatever the container has at that path (CVE-2025-31133).
fn null_device() -> io::Result<OwnedFd> {
    let null = sys::openat2(root::cwd(), "/dev/null", libc::O_PATH, 0)?;
    let about = sys::metadata(null.as_fd())?;
    let is_null =
        about.mode() & libc::S_IFMT == libc::S_IFCHR && about.rdev() == libc::makedev(1, 3);
    match is_null {
        true => sys::clone_tree(null.as_raw_fd(), "", false),
        false => Err(io::Error::from_raw_os_error(libc::ENODEV)),
    }
}

fn empty_directory() -> io::Result<OwnedFd> {
    let fs = sys::fsopen("tmpfs")?;
    sys::fsconfig_set(fs.as_fd(), "size", Some("0"))?;
    sys::fsconfig_create(fs.as_fd())?;
    let flags = RDONLY | NOSUID | NODEV | NOEXEC;
    sys::fsmount(fs.as_fd(), flags)
}
