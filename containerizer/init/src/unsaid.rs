//! What attributes a bind's mount gets: what was asked for, and what comes along from the mount that it
//! shows.

use std::io;

use crate::Attributes;
use crate::mount_attributes::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME,
};

/// Those that stay set in a user namespace, as access times stay what they are.
const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC;
const ACCESS_TIMES: u64 = ATIME | NODIRATIME;

/// Those that statvfs(3) tells of, as bits of mount_setattr(2).
pub fn from_flags(flags: u64) -> u64 {
    // linux/statfs.h: not every C library has them.
    const ST_RELATIME: u64 = 0x1000;
    const ST_NOSYMFOLLOW: u64 = 0x2000;
    let bits = [
        (libc::ST_RDONLY, RDONLY),
        (libc::ST_NOSUID, NOSUID),
        (libc::ST_NODEV, NODEV),
        (libc::ST_NOEXEC, NOEXEC),
        (libc::ST_NODIRATIME, NODIRATIME),
        (ST_NOSYMFOLLOW, NOSYMFOLLOW),
    ];
    let set = bits.iter().filter(|(flag, _)| flags & flag != 0);
    let access_time = match (flags & libc::ST_NOATIME, flags & ST_RELATIME) {
        (0, 0) => STRICTATIME,
        (0, _) => RELATIME,
        _ => NOATIME,
    };
    set.fold(access_time, |all, (_, bit)| all | bit)
}

/// Only what was said, but for access times where they were not mentioned; nodiratime alone means
/// relatime. mount(2).
pub fn alone(said: &Attributes) -> Attributes {
    let mentioned = (said.set | said.clear) & ACCESS_TIMES != 0;
    let all = match mentioned {
        true => LOCKABLE | NOSYMFOLLOW | ACCESS_TIMES,
        false => LOCKABLE | NOSYMFOLLOW,
    };
    Attributes {
        set: said.set,
        // The kernel wants all of the access time cleared where one is set.
        clear: all & !(said.set & !ATIME),
    }
}

/// The same in a user namespace, for the mount of a source that has these attributes.
pub fn unlocked(said: &Attributes, source: u64) -> io::Result<Attributes> {
    let wanted = alone(said);
    let becomes = (source & !wanted.clear) | wanted.set;
    let locked = source & LOCKABLE;
    let other_times = becomes & ACCESS_TIMES != source & ACCESS_TIMES;
    if other_times || said.clear & locked != 0 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(Attributes {
        set: wanted.set | locked,
        clear: wanted.clear & !locked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(set: u64, clear: u64) -> Attributes {
        Attributes { set, clear }
    }

    /// What a mount with `source` then has.
    fn becomes(source: u64, change: Attributes) -> u64 {
        (source & !change.clear) | change.set
    }

    #[test]
    fn what_was_not_said_is_cleared_but_for_access_times() {
        let source = RDONLY | NODEV | NOSYMFOLLOW | NOATIME | NODIRATIME;
        let times = NOATIME | NODIRATIME;
        for (asked, found) in [
            (said(NOSUID, 0), NOSUID | times),
            (said(NODEV, RDONLY), NODEV | times),
            (said(STRICTATIME, ATIME), STRICTATIME),
            (said(NODIRATIME, 0), RELATIME | NODIRATIME),
            (
                said(NODIRATIME | STRICTATIME, ATIME),
                STRICTATIME | NODIRATIME,
            ),
        ] {
            assert_eq!(becomes(source, alone(&asked)), found, "{asked:?}");
        }
    }

    #[test]
    fn a_user_namespace_keeps_what_is_locked() {
        let source = RDONLY | NOEXEC | NOSYMFOLLOW | NOATIME;
        let change = unlocked(&said(NODEV, 0), source).expect("may");
        assert_eq!(becomes(source, change), RDONLY | NOEXEC | NODEV | NOATIME);
        let change = unlocked(&said(RDONLY | NOATIME, ATIME | NODEV), source).expect("may");
        assert_eq!(becomes(source, change), RDONLY | NOEXEC | NOATIME);
    }

    #[test]
    fn to_ask_for_less_than_is_locked_or_for_other_access_times_is_refused() {
        for (asked, source) in [
            (said(0, RDONLY), RDONLY),
            (said(0, NOEXEC | NODEV), NODEV),
            (said(0, ATIME), NOATIME),
            (said(NODIRATIME, 0), RELATIME),
            (said(STRICTATIME, ATIME), RELATIME | NODIRATIME),
        ] {
            let refused = unlocked(&asked, source).expect_err("may not");
            assert_eq!(refused.raw_os_error(), Some(libc::EPERM), "{asked:?}");
        }
    }

    #[test]
    fn flags_of_a_file_system_are_read_as_attributes() {
        assert_eq!(from_flags(0), STRICTATIME);
        assert_eq!(from_flags(libc::ST_RELATIME), RELATIME);
        let flags = libc::ST_RDONLY | libc::ST_NOATIME | libc::ST_RELATIME | 0x2000;
        assert_eq!(from_flags(flags), RDONLY | NOATIME | NOSYMFOLLOW);
    }
}
