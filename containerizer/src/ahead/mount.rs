//! File systems that a container mounts anew: the same for one container as for the next.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use crate::sys;

/// All that a new file system depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    pub fstype: String,
    pub source: String,
    /// As `init::Mount` has them.
    pub options: Vec<(String, Option<String>)>,
    /// What is in it from the beginning.
    pub entries: Vec<Entry>,
}

/// A name in its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Directory {
        name: String,
        mode: u32,
    },
    /// `mode`: as for mknod(2).
    Device {
        name: String,
        mode: u32,
        major: u32,
        minor: u32,
        uid: u32,
        gid: u32,
    },
    Link {
        name: String,
        to: String,
    },
}

impl Entry {
    fn make_in(&self, root: &OwnedFd) -> nix::Result<()> {
        match self {
            Self::Directory { name, mode } => {
                mkdirat(root, &**name, Mode::from_bits_truncate(*mode))
            }
            Self::Device {
                name,
                mode,
                major,
                minor,
                uid,
                gid,
            } => {
                let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
                let mode = Mode::from_bits_truncate(mode & !libc::S_IFMT);
                let device = makedev((*major).into(), (*minor).into());
                mknodat(root, &**name, kind, mode, device)?;
                match (uid, gid) {
                    // As we are.
                    (0, 0) => Ok(()),
                    (uid, gid) => {
                        let owner = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                        fchownat(root, &**name, owner.0, owner.1, flags)
                    }
                }
            }
            Self::Link { name, to } => symlinkat(&**to, root, &**name),
        }
    }
}

impl Recipe {
    /// A detached mount of one. This thread's umask counts.
    pub fn make(&self) -> io::Result<OwnedFd> {
        let tree = sys::detached_mount(&self.fstype, &self.source, &self.options)?;
        let mut entries = self.entries.iter();
        entries.try_for_each(|entry| entry.make_in(&tree))?;
        Ok(tree)
    }
}
