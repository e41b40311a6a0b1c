//! What is mounted, from where, and how its owners and attributes are seen.

use crate::wire::{BadProgram, Wire, wire_enum, wire_struct};

/// fsopen(2), fsconfig(2), fsmount(2), move_mount(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub fstype: String,
    pub source: String,
    pub target: String,
    /// File-system options: a key alone is a flag. A tmpfs without a mode takes that of its mount point, if
    /// that was there before.
    pub options: Vec<(String, Option<String>)>,
    /// MOUNT_ATTR_* of fsmount(2).
    pub attributes: u64,
    /// What the mount point holds is copied into the new file system.
    pub copy_up: bool,
    /// Inherited: a detached mount that was made so, but for the attributes.
    pub made: Option<u32>,
}

/// Where what is to be bound is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `OpenSources` took hold of it.
    Opened { source: u32 },
    /// Outside of the container, when its turn comes.
    Host { source: Source },
    /// In the container's root as earlier mounts have made it, which no link leads out of. Where the
    /// target is missing it is made as a directory or file, like the source.
    Root { source: Source },
}

/// A path that is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub path: String,
    /// With everything that is mounted below.
    pub recursive: bool,
    /// mount(2) propagation flags for all of it; 0 leaves its mounts the peers of the host's.
    pub propagation: u64,
    /// How the owners of its files are seen.
    pub idmap: Option<Idmap>,
}

/// What a bind's mount takes over from the mount that it shows: of the attributes that were not asked
/// about. mount(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsaid {
    /// All.
    Keep {},
    /// Access times only.
    Clear {},
    /// Also what a user namespace could not take away, had it made the mount itself. To ask for that
    /// is an error (`EPERM`). mount_namespaces(7).
    KeepLocked {},
}

/// Of an idmapped mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idmap {
    /// Whose maps it has.
    pub namespace: u32,
    /// Also of everything mounted below.
    pub recursive: bool,
}

/// Of layers whose files are the container's: how their owners are seen, and whose what is written is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owners {
    /// Whose maps they have.
    pub namespace: u32,
    /// Of the host: the container's root.
    pub uid: u32,
    pub gid: u32,
}

/// Of a user namespace. user_namespaces(7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
}

/// `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// MOUNT_ATTR_* of mount_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
}

wire_struct!(Mount {
    fstype,
    source,
    target,
    options,
    attributes,
    copy_up,
    made
});

wire_enum!(Origin { 0 => Opened { source }, 1 => Host { source }, 2 => Root { source } });

wire_struct!(Source {
    path,
    recursive,
    propagation,
    idmap
});

wire_enum!(Unsaid { 0 => Keep {}, 1 => Clear {}, 2 => KeepLocked {} });

wire_struct!(Idmap {
    namespace,
    recursive
});

wire_struct!(Owners {
    namespace,
    uid,
    gid
});

wire_struct!(Maps { uids, gids });

wire_struct!(IdMap {
    inside,
    outside,
    count
});

wire_struct!(Attributes { set, clear });
