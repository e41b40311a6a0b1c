//! MOUNT_ATTR_* of mount_setattr(2).

pub const RDONLY: u64 = 0x1;
pub const NOSUID: u64 = 0x2;
pub const NODEV: u64 = 0x4;
pub const NOEXEC: u64 = 0x8;
/// How access times are kept: of these bits one of the next three is set.
pub const ATIME: u64 = 0x70;
pub const RELATIME: u64 = 0x0;
pub const NOATIME: u64 = 0x10;
pub const STRICTATIME: u64 = 0x20;
pub const NODIRATIME: u64 = 0x80;
pub const NOSYMFOLLOW: u64 = 0x20_0000;
