//! mount(8) options: each is a mount attribute, a propagation type, a property of the bind, or else
//! data for the file system.

use init::Attributes;
use init::mount_attributes::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME,
};
use oci_spec::runtime::Mount;

/// What a list of options means.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub bind: bool,
    /// The bind takes along what is mounted below its source.
    pub recursive: bool,
    /// For the mount itself.
    pub top: Attributes,
    /// For everything mounted below, too.
    pub all: Attributes,
    /// mount(2) flags of a propagation type.
    pub propagation: Option<u64>,
    /// A tmpfs starts with what its mount point holds.
    pub copy_up: bool,
    /// Only attributes of what is mounted there already change.
    pub remount: bool,
    /// Attributes of the mount itself were named: set, or cleared.
    pub named: bool,
    pub data: Vec<(String, Option<String>)>,
}

#[derive(Clone, Copy)]
enum Meaning {
    Set(u64),
    Clear(u64),
    /// Also for everything mounted below.
    SetAll(u64),
    ClearAll(u64),
    /// Attributes of one group exclude each other: clear the group, set one.
    AccessTime(u64),
    AccessTimeAll(u64),
    /// Takes back an access-time option. As with mount(8), that says nothing of how it is to be instead.
    Unset(u64),
    Propagation(u64),
    Bind,
    BindAll,
    CopyUp,
    Remount,
    /// What would be the case anyway, or is nothing that a mount can have.
    Nothing,
}
use Meaning::{
    AccessTime, AccessTimeAll, Bind, BindAll, Clear, ClearAll, CopyUp, Nothing, Propagation,
    Remount, Set, SetAll, Unset,
};

/// Source: the OCI runtime spec's list of options, with the values of mount_setattr(2).
#[rustfmt::skip] // An option and its opposite share a row.
const TABLE: &[(&str, Meaning)] = &[
    ("ro", Set(RDONLY)), ("rw", Clear(RDONLY)),
    ("nosuid", Set(NOSUID)), ("suid", Clear(NOSUID)),
    ("nodev", Set(NODEV)), ("dev", Clear(NODEV)),
    ("noexec", Set(NOEXEC)), ("exec", Clear(NOEXEC)),
    ("nodiratime", Set(NODIRATIME)), ("diratime", Unset(NODIRATIME)),
    ("nosymfollow", Set(NOSYMFOLLOW)), ("symfollow", Clear(NOSYMFOLLOW)),
    ("rro", SetAll(RDONLY)), ("rrw", ClearAll(RDONLY)),
    ("rnosuid", SetAll(NOSUID)), ("rsuid", ClearAll(NOSUID)),
    ("rnodev", SetAll(NODEV)), ("rdev", ClearAll(NODEV)),
    ("rnoexec", SetAll(NOEXEC)), ("rexec", ClearAll(NOEXEC)),
    ("rnodiratime", SetAll(NODIRATIME)), ("rdiratime", ClearAll(NODIRATIME)),
    ("rnosymfollow", SetAll(NOSYMFOLLOW)), ("rsymfollow", ClearAll(NOSYMFOLLOW)),
    ("relatime", AccessTime(RELATIME)), ("norelatime", Unset(RELATIME)),
    ("noatime", AccessTime(NOATIME)), ("atime", Unset(NOATIME)),
    ("strictatime", AccessTime(STRICTATIME)), ("nostrictatime", Unset(STRICTATIME)),
    ("rrelatime", AccessTimeAll(RELATIME)), ("rnorelatime", Nothing),
    ("rnoatime", AccessTimeAll(NOATIME)), ("ratime", AccessTimeAll(RELATIME)),
    ("rstrictatime", AccessTimeAll(STRICTATIME)), ("rnostrictatime", AccessTimeAll(RELATIME)),
    ("private", Propagation(libc::MS_PRIVATE)), ("rprivate", Propagation(libc::MS_PRIVATE | libc::MS_REC)),
    ("slave", Propagation(libc::MS_SLAVE)), ("rslave", Propagation(libc::MS_SLAVE | libc::MS_REC)),
    ("shared", Propagation(libc::MS_SHARED)), ("rshared", Propagation(libc::MS_SHARED | libc::MS_REC)),
    ("unbindable", Propagation(libc::MS_UNBINDABLE)), ("runbindable", Propagation(libc::MS_UNBINDABLE | libc::MS_REC)),
    ("bind", Bind), ("rbind", BindAll),
    ("tmpcopyup", CopyUp), ("remount", Remount),
    // See `is_idmapped`.
    ("idmap", Nothing), ("ridmap", Nothing),
    ("defaults", Nothing), ("async", Nothing), ("silent", Nothing), ("loud", Nothing),
    ("iversion", Nothing), ("noiversion", Nothing), ("acl", Nothing), ("noacl", Nothing),
];

/// Whether the owners of a mount's files are seen through maps.
pub fn is_idmapped(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    mount.uid_mappings().is_some()
        || mount.gid_mappings().is_some()
        || options
            .iter()
            .any(|option| IDMAPS.contains(&option.as_str()))
}

const IDMAPS: [&str; 2] = ["idmap", "ridmap"];

/// All that mean something for every file system.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

pub fn parse(options: &[String]) -> Options {
    let mut parsed = Options::default();
    for option in options {
        let meaning = TABLE
            .iter()
            .find(|(name, _)| name == option)
            .map(|(_, meaning)| *meaning);
        parsed.named |= matches!(meaning, Some(Set(_) | Clear(_) | AccessTime(_) | Unset(_)));
        match meaning {
            Some(Set(bits)) => put(&mut parsed.top, bits, 0),
            Some(Clear(bits)) => put(&mut parsed.top, 0, bits),
            Some(SetAll(bits)) => put(&mut parsed.all, bits, 0),
            Some(ClearAll(bits)) => put(&mut parsed.all, 0, bits),
            Some(AccessTime(bits)) => put(&mut parsed.top, bits, ATIME),
            Some(AccessTimeAll(bits)) => put(&mut parsed.all, bits, ATIME),
            Some(Unset(bits)) => unset(&mut parsed.top, bits),
            Some(CopyUp) => parsed.copy_up = true,
            Some(Remount) => parsed.remount = true,
            Some(Propagation(flags)) => parsed.propagation = Some(flags),
            Some(Bind) => parsed.bind = true,
            Some(BindAll) => (parsed.bind, parsed.recursive) = (true, true),
            Some(Nothing) => {}
            None => parsed.data.push(match option.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (option.clone(), None),
            }),
        }
    }
    parsed
}

impl Options {
    pub fn is_read_only(&self) -> bool {
        (self.top.set | self.all.set) & RDONLY != 0
    }
}

/// The last option wins.
fn put(attributes: &mut Attributes, set: u64, clear: u64) {
    attributes.set = (attributes.set & !clear) | set;
    // mount_setattr(2) wants the whole access-time group cleared when one of it is set.
    attributes.clear = (attributes.clear & !(set & !ATIME)) | clear;
}

fn unset(attributes: &mut Attributes, bits: u64) {
    if bits & !ATIME != 0 {
        attributes.set &= !bits;
    } else if attributes.clear & ATIME != 0 && attributes.set & ATIME == bits {
        attributes.set &= !ATIME;
        attributes.clear &= !ATIME;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &str) -> Options {
        parse(&list.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let top = |list| (options(list).top.set, options(list).top.clear);
        assert_eq!(top("ro,rw"), (0, RDONLY));
        assert_eq!(top("rw,ro"), (RDONLY, 0));
    }

    #[test]
    fn an_access_time_option_clears_its_group() {
        let parsed = options("nosuid,strictatime").top;
        assert_eq!((parsed.set, parsed.clear), (NOSUID | STRICTATIME, ATIME));
    }

    #[test]
    fn to_take_an_access_time_option_back_leaves_access_times_alone() {
        for list in [
            "noatime,atime",
            "relatime,norelatime",
            "strictatime,nostrictatime",
            "nodiratime,diratime",
            "atime",
            "diratime",
        ] {
            let parsed = options(list);
            assert_eq!(parsed.top, Attributes::default(), "{list}");
            assert!(parsed.named, "{list}");
        }
        let other = options("noatime,nostrictatime").top;
        assert_eq!((other.set, other.clear), (NOATIME, ATIME));
    }

    #[test]
    fn attributes_of_the_mount_are_named_by_options_of_its_own_only() {
        assert!(options("rw").named);
        assert!(!options("rbind,rro,rprivate,size=1,defaults").named);
    }

    #[test]
    fn what_is_for_all_mounts_below_is_kept_apart() {
        let parsed = options("ro,rnosuid");
        assert_eq!((parsed.top.set, parsed.all.set), (RDONLY, NOSUID));
    }

    #[test]
    fn what_is_no_known_option_is_data_for_the_file_system() {
        let data = options("size=64k,newinstance,rbind").data;
        assert_eq!(
            data,
            [
                ("size".to_owned(), Some("64k".to_owned())),
                ("newinstance".to_owned(), None)
            ]
        );
    }

    #[test]
    fn no_option_stands_in_the_table_twice() {
        let mut names: Vec<_> = TABLE.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
