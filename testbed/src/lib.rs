//! What the host can on which tests run, where several crates' tests expect something else of one that cannot.
//!
//! Invariant: nothing of the product uses this. It says what should be by what manuals and kernels' histories say,
//! and asks nothing of what is tested.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot know its host ends here"
)]

use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
    XFS_SUPER_MAGIC, statfs,
};
use nix::sys::utsname::uname;

/// Whether the file system there can show owners differently, as user namespaces want it.
pub fn can_idmap(directory: &Path) -> bool {
    let kind = statfs(directory).unwrap().filesystem_type();
    let uname = uname().unwrap();
    let version = version(&uname.release().to_string_lossy());
    idmapped_since(kind).is_some_and(|since| version >= since)
}

/// Which Linux gave each kind FS_ALLOW_IDMAP; `None` where none did. Source: mount_setattr(2), and the history of
/// the kinds that came later.
fn idmapped_since(kind: FsType) -> Option<(u32, u32)> {
    match kind {
        EXT4_SUPER_MAGIC | XFS_SUPER_MAGIC => Some((5, 12)),
        BTRFS_SUPER_MAGIC => Some((5, 15)),
        TMPFS_MAGIC => Some((6, 3)),
        OVERLAYFS_SUPER_MAGIC => None,
        other => panic!("say here what file systems of kind {other:?} can"),
    }
}

/// Of a release as uname(2) tells it.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_by_its_first_two_numbers() {
        assert_eq!(version("6.1.0-38-cloud-amd64"), (6, 1));
        assert_eq!(version("6.18-rc1"), (6, 18));
        assert_eq!(version("5.4"), (5, 4));
        assert!(version("6.18.1") >= (6, 3) && version("6.1.0") < (6, 3));
    }
}
