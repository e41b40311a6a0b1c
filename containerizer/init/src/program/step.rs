//! The steps, in the words of the kernel.

use super::exec::{Hook, Rlimit, Terminal};
use super::mount::{Attributes, Maps, Mount, Origin, Owners, Source, Unsaid};
use crate::line::Awaited;
use crate::wire::{BadProgram, Wire, wire_enum};

/// Paths are absolute and mean the container's root, which is `/` until a `NewRoot` or
/// `MirrorRoot`; they are resolved beneath it, so a symbolic link never leads out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Moves this process into cgroups by writing `0` to `count` inherited files. Cheap while the
    /// process has one thread, unlike a pid written to `cgroup.procs` from outside.
    EnterCgroups {
        count: u32,
    },
    /// unshare(2), for what clone(2) cannot do in time: a cgroup namespace starts where its first
    /// process is at that moment.
    Unshare {
        flags: u32,
    },
    /// Goes on in a child that is born in new namespaces (clone3(2) flags): what has come before was done
    /// with the rights of the host's root, what follows is done with the container's.
    Fork {
        flags: u64,
        /// Of a new user namespace.
        maps: Option<Maps>,
        /// The child is in another user namespace than this process was, and is to be its root.
        becomes_root: bool,
    },
    /// Gives up supplementary groups, which a user namespace may not let go later.
    ForgetGroups {},
    /// Raises hard limits where they are lower, which takes rights on the host.
    RaiseLimits {
        limits: Vec<Rlimit>,
    },
    /// A time namespace for later children, and this process: what is added to its clocks.
    TimeNamespace {
        offsets: String,
    },
    /// Joins an existing namespace.
    SetNamespace {
        path: String,
        flag: u32,
    },
    /// Joins namespaces (setns(2) flags) of the process behind an inherited pidfd. Linux 5.8.
    Join {
        pidfd: u32,
        flags: u32,
    },
    Hostname {
        name: String,
    },
    Domainname {
        name: String,
    },
    /// Brings up the loopback interface of a new network namespace.
    LoopbackUp {},
    /// mount(2) propagation flags for a path of the host.
    Propagation {
        path: String,
        flags: u64,
    },
    /// Goes on in a mount namespace that is a copy of the inherited one, in which there is nothing: what is
    /// needed of the host's files has been opened before. The last step but `NewRoot` to know of `/`.
    Cradle {
        namespace: u32,
    },
    /// Makes a host directory, which `OpenSources` opened, the container's root for all later steps.
    NewRoot {
        path: String,
        source: u32,
        /// Where it hangs meanwhile: an existing directory.
        on: String,
        /// Others are in the mount namespace: if a later step fails, what was mounted for them to see
        /// goes.
        shared: bool,
    },
    /// Makes a copy of the host's root out of bind mounts the container's root: a tmpfs on `staging`
    /// (a host directory) whose entries are the host's. New names in `/` then cost the host nothing.
    MirrorRoot {
        staging: String,
    },
    /// The same for one directory of the container: afterwards names can be added to it that the
    /// host never sees.
    Mirror {
        path: String,
    },
    /// Creates a directory and its parents where missing. With `base`, a directory above it that
    /// others may write to: no symbolic link is followed below it, since it could lead to where only
    /// root may make things.
    MakeDir {
        path: String,
        base: Option<String>,
        mode: u32,
    },
    /// The same for an empty file.
    MakeFile {
        path: String,
        base: Option<String>,
    },
    /// Mounts a new file system.
    Mount {
        mount: Mount,
    },
    /// Takes hold of host paths before any mount of ours can hide them; `Bind` names them by their
    /// place in this list, as `Idmap` does those of user namespaces with `maps`. On the way to one below
    /// `own` no link is followed.
    OpenSources {
        sources: Vec<Source>,
        own: Option<String>,
        maps: Vec<Maps>,
    },
    /// Makes a new file system of directories of the host, whose names in its options are relative to `base`:
    /// the kernel takes no long ones. It is one more of the sources.
    OpenOverlay {
        base: String,
        mount: Mount,
        /// Of a user namespace with `maps`.
        owners: Option<Owners>,
    },
    /// Binds a path. First its topmost mount gets the attributes `top`, then the whole tree those of
    /// `all`.
    Bind {
        origin: Origin,
        target: String,
        top: Attributes,
        unsaid: Unsaid,
        all: Attributes,
    },
    /// Changes the attributes of what is mounted on `target` already.
    Remount {
        target: String,
        top: Attributes,
        all: Attributes,
    },
    /// Sets propagation of a mount of the container.
    Propagate {
        target: String,
        flags: u64,
    },
    /// mknod(2): `mode` holds type and permissions. The same device may be there already; anything else
    /// is an error.
    Device {
        path: String,
        mode: u32,
        major: u32,
        minor: u32,
        uid: u32,
        gid: u32,
    },
    /// What is there already stays, or makes way when `replace`.
    Symlink {
        path: String,
        to: String,
        replace: bool,
    },
    /// A file becomes the host's /dev/null, a directory an empty read-only tmpfs; a missing path is left
    /// alone. Before `PivotRoot`, while the host's device is there.
    Mask {
        path: String,
    },
    /// Makes the container's root `/` and lets go of the host's. From here on paths mean the final root.
    PivotRoot {},
    /// The same where the root of the mount namespace stays what it is: others are in it, too, or there is
    /// nothing there. chroot(2).
    ChangeRoot {},
    /// Makes the final root itself read-only, not what is mounted below it.
    ReadOnlyRoot {},
    /// Read-only from here on; a missing path is left alone.
    ReadOnly {
        path: String,
        recursive: bool,
    },
    /// Hands the launcher the mount namespace, to hold. Where the kernel cannot, nothing is lost. Linux 6.11.
    HandMounts {},
    /// Tells the launcher how far the container has come, and waits for its answer: the container's
    /// state, which later hooks are given.
    Await {
        awaited: Awaited,
    },
    /// Runs programs of the host, in the container's namespaces.
    Hooks {
        kind: String,
        hooks: Vec<Hook>,
    },
    /// Makes a terminal in the container's own devpts, makes it the standard streams, and sends its other
    /// end over a unix socket. Without one, `init` keeps it, and writes what is shown to what was the
    /// standard output.
    Console {
        socket: Option<u32>,
        terminal: Terminal,
    },
    /// Writes a file of the kernel's; `path` is relative to /proc/sys.
    Sysctl {
        path: String,
        value: String,
    },
}

wire_enum!(Step {
    0 => EnterCgroups { count },
    1 => Unshare { flags },
    2 => SetNamespace { path, flag },
    3 => Hostname { name },
    4 => Domainname { name },
    5 => LoopbackUp {},
    6 => Propagation { path, flags },
    7 => NewRoot { path, source, on, shared },
    8 => MirrorRoot { staging },
    9 => Mirror { path },
    10 => MakeDir { path, base, mode },
    11 => MakeFile { path, base },
    12 => Mount { mount },
    13 => Bind { origin, target, top, unsaid, all },
    14 => Propagate { target, flags },
    15 => Device { path, mode, major, minor, uid, gid },
    16 => Symlink { path, to, replace },
    17 => PivotRoot {},
    18 => Mask { path },
    19 => ReadOnly { path, recursive },
    20 => Sysctl { path, value },
    21 => OpenSources { sources, own, maps },
    22 => ReadOnlyRoot {},
    23 => Join { pidfd, flags },
    24 => Await { awaited },
    25 => Hooks { kind, hooks },
    26 => Console { socket, terminal },
    27 => Remount { target, top, all },
    28 => Fork { flags, maps, becomes_root },
    29 => TimeNamespace { offsets },
    30 => ForgetGroups {},
    31 => RaiseLimits { limits },
    32 => ChangeRoot {},
    33 => Cradle { namespace },
    34 => HandMounts {},
    35 => OpenOverlay { base, mount, owners },
});
