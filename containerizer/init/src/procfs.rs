//! The kernel's own files, reached through a /proc that is known to be one. What is written by a path
//! that others can change may land elsewhere, or nowhere (CVE-2025-52881).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use crate::{root, sys};

/// Of the root of every procfs.
const ROOT_INODE: u64 = 1;

pub struct Procfs(OwnedFd);

impl Procfs {
    /// The host's, before the container's root takes its place.
    pub fn of_host() -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let proc = sys::openat2(root::cwd(), "/proc", flags, libc::RESOLVE_NO_SYMLINKS)?;
        let inode = sys::metadata(proc.as_fd())?.ino();
        let is_procfs = sys::file_system_type(proc.as_fd())? == libc::PROC_SUPER_MAGIC;
        if is_procfs && inode == ROOT_INODE {
            Ok(Self(proc))
        } else {
            Self::private()
        }
    }

    /// One that nobody else sees or can mount over.
    fn private() -> io::Result<Self> {
        let fs = sys::fsopen("proc")?;
        sys::fsconfig_create(fs.as_fd())?;
        sys::fsmount(fs.as_fd(), 0).map(Self)
    }

    pub fn write(&self, path: &str, value: &str) -> io::Result<()> {
        match self.try_write(path, value) {
            // Something is mounted over it, as in a container that an agent runs in.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EXDEV | libc::EROFS)) => {
                Self::private()?.try_write(path, value)
            }
            done => done,
        }
    }

    /// Of a process.
    pub fn namespace(&self, pid: i32, kind: &str) -> io::Result<OwnedFd> {
        // These are links that only the kernel can follow.
        let path = format!("{pid}/ns/{kind}");
        sys::openat2(self.0.as_fd(), &path, libc::O_RDONLY, 0)
    }

    pub fn own_namespace(&self, kind: &str) -> io::Result<OwnedFd> {
        sys::openat2(
            self.0.as_fd(),
            &format!("self/ns/{kind}"),
            libc::O_RDONLY,
            0,
        )
    }

    fn try_write(&self, path: &str, value: &str) -> io::Result<()> {
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_MAGICLINKS;
        let file = sys::openat2(self.0.as_fd(), path, libc::O_WRONLY, resolve)?;
        io::Write::write_all(&mut File::from(file), value.as_bytes())
    }
}
