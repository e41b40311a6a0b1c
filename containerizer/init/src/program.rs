//! The program: steps inside the container's namespaces, then the command.

use crate::line::Awaited;
use crate::wire::{self, BadProgram, Wire, wire_enum, wire_struct};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Carried out in order, with all capabilities. The first failure ends everything.
    pub steps: Vec<Step>,
    pub exec: Exec,
    pub then: Then,
    /// Descriptors that `init` is started with, from 0 without gaps; it closes all others first.
    pub descriptors: u32,
}

/// What becomes of `init` once the steps are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It becomes the command: an OCI runtime's container.
    Become {},
    /// It starts the command and stays as process 1: reaps, hands SIGTERM to every process and
    /// other signals to the command, and writes the exit record.
    Supervise {},
    /// It starts the command as a child, in the pid namespace that it joined without being in it, hands
    /// it every signal, and ends as it ends.
    Attend {},
    /// It makes the command as a child of its own parent, in the pid namespace that it joined, tells
    /// its number, and ends.
    Hand {},
}

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
    /// Makes a host directory, which `OpenSources` opened, the container's root for all later steps.
    NewRoot {
        path: String,
        source: u32,
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
    /// The same in a mount namespace that is others', too, whose root stays what it is. chroot(2).
    ChangeRoot {},
    /// Makes the final root itself read-only, not what is mounted below it.
    ReadOnlyRoot {},
    /// Read-only from here on; a missing path is left alone.
    ReadOnly {
        path: String,
        recursive: bool,
    },
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

/// Of an idmapped mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idmap {
    /// Whose maps it has.
    pub namespace: u32,
    /// Also of everything mounted below.
    pub recursive: bool,
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

/// The command and everything about the process that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Looked up on the PATH of `env` when it has no slash.
    pub path: String,
    pub argv: Vec<String>,
    /// `NAME=value`, final.
    pub env: Vec<String>,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: u32,
    pub rlimits: Vec<Rlimit>,
    pub scheduling: Scheduling,
    /// Kept as they are when `None`.
    pub capabilities: Option<Capabilities>,
    pub no_new_privileges: bool,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Standard input is a terminal, and shall control the command.
    pub terminal: bool,
    /// Which system calls the command may make; any, when `None`.
    pub seccomp: Option<Filter>,
    /// When the command waits to be started.
    pub gate: Option<Gate>,
    pub preserved: Preserved,
    /// As engines expect of an OCI runtime: where `env` has no HOME, the one that the container's
    /// /etc/passwd gives the user is added; root's right to enter `cwd` is enough.
    pub engine: bool,
}

/// Inherited descriptors, without gaps, that the command gets as well, from 3 on. `first` is above 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preserved {
    pub first: u32,
    pub count: u32,
}

/// Where a container that is ready waits for somebody to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// A unix socket (`SOCK_SEQPACKET`) that listens: who connects starts the command, and hears on the
    /// connection how that went.
    pub listener: u32,
    /// Run before the command, as its user, with its rights, under its filter.
    pub hooks: Vec<Hook>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Rows and columns.
    pub size: Option<(u16, u16)>,
    /// Its owner.
    pub uid: u32,
    /// It is shown at /dev/console.
    pub shown: bool,
    /// Ends of lines go out as the command writes them: who has the other end shows them on a terminal,
    /// which ends lines itself.
    pub plain: bool,
}

/// A program that gets the container's state on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub path: String,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    /// Seconds; it is killed when it takes longer.
    pub timeout: Option<u64>,
}

/// A seccomp(2) filter: classic BPF over `struct seccomp_data`. It is installed right before the exec,
/// after which it must let through capset(2) where the command may gain new privileges, and execve(2);
/// with [`NEW_LISTENER`] sendmsg(2) before them, and may ask about those two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// SECCOMP_FILTER_FLAG_*.
    pub flags: u32,
    pub instructions: Vec<Instruction>,
}

/// SECCOMP_FILTER_FLAG_NEW_LISTENER of linux/seccomp.h.
pub const NEW_LISTENER: u32 = 1 << 3;

/// One instruction in the form of the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// And when it does not.
    pub jf: u8,
    pub k: u32,
}

/// How the kernel runs it; as it runs the launcher, where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// personality(2).
    pub personality: Option<u64>,
    /// Class and level, as ioprio_set(2) takes them.
    pub io_priority: Option<u32>,
    pub scheduler: Option<Scheduler>,
    pub memory_policy: Option<MemoryPolicy>,
}

/// set_mempolicy(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// MPOL_*, with its flags.
    pub mode: u32,
    /// Bit n for node n, lowest first.
    pub nodes: Vec<u64>,
}

/// struct sched_attr of sched_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduler {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rlimit {
    /// RLIMIT_* number.
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Sets of capabilities(7), bit n for capability n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

wire_struct!(Program {
    steps,
    exec,
    then,
    descriptors
});
wire_struct!(Mount {
    fstype,
    source,
    target,
    options,
    attributes,
    copy_up,
    made
});
wire_struct!(Source {
    path,
    recursive,
    propagation,
    idmap
});
wire_struct!(Idmap {
    namespace,
    recursive
});
wire_struct!(Maps { uids, gids });
wire_struct!(IdMap {
    inside,
    outside,
    count
});
wire_struct!(Attributes { set, clear });
wire_struct!(Exec {
    path,
    argv,
    env,
    cwd,
    uid,
    gid,
    groups,
    umask,
    rlimits,
    scheduling,
    capabilities,
    no_new_privileges,
    oom_score_adj,
    terminal,
    seccomp,
    gate,
    preserved,
    engine,
});
wire_struct!(Preserved { first, count });
wire_struct!(Terminal {
    size,
    uid,
    shown,
    plain
});
wire_struct!(Gate { listener, hooks });
wire_struct!(Hook {
    path,
    argv,
    env,
    timeout
});
wire_struct!(Filter {
    flags,
    instructions
});
wire_struct!(Instruction { code, jt, jf, k });
wire_struct!(Scheduling {
    personality,
    io_priority,
    scheduler,
    memory_policy
});
wire_struct!(MemoryPolicy { mode, nodes });
wire_struct!(Scheduler {
    policy,
    flags,
    nice,
    priority,
    runtime,
    deadline,
    period
});
wire_struct!(Rlimit {
    resource,
    soft,
    hard
});
wire_struct!(Capabilities {
    bounding,
    effective,
    permitted,
    inheritable,
    ambient
});
wire_enum!(Origin { 0 => Opened { source }, 1 => Host { source }, 2 => Root { source } });
wire_enum!(Unsaid { 0 => Keep {}, 1 => Clear {}, 2 => KeepLocked {} });
wire_enum!(Then { 0 => Become {}, 1 => Supervise {}, 2 => Attend {}, 3 => Hand {} });
wire_enum!(Step {
    0 => EnterCgroups { count },
    1 => Unshare { flags },
    2 => SetNamespace { path, flag },
    3 => Hostname { name },
    4 => Domainname { name },
    5 => LoopbackUp {},
    6 => Propagation { path, flags },
    7 => NewRoot { path, source, shared },
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
});

impl Program {
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, BadProgram> {
        wire::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        Program {
            steps: vec![
                Step::EnterCgroups { count: 2 },
                Step::Mount {
                    mount: Mount {
                        fstype: "tmpfs".into(),
                        source: "tmpfs".into(),
                        target: "/dev".into(),
                        options: vec![("mode".into(), Some("755".into())), ("x".into(), None)],
                        attributes: 2,
                        copy_up: false,
                        made: Some(11),
                    },
                },
                Step::PivotRoot {},
            ],
            exec: Exec {
                path: "true".into(),
                argv: vec!["true".into(), "ünï".into()],
                env: vec!["A=b".into()],
                cwd: "/".into(),
                uid: 1,
                gid: 2,
                groups: vec![3, 4],
                umask: 0o22,
                rlimits: vec![Rlimit {
                    resource: 7,
                    soft: 1,
                    hard: u64::MAX,
                }],
                scheduling: Scheduling {
                    io_priority: Some(7),
                    memory_policy: Some(MemoryPolicy {
                        mode: 2,
                        nodes: vec![1],
                    }),
                    ..Scheduling::default()
                },
                capabilities: Some(Capabilities {
                    bounding: 5,
                    ..Capabilities::default()
                }),
                no_new_privileges: true,
                oom_score_adj: Some(-1000),
                terminal: true,
                seccomp: Some(Filter {
                    flags: 1,
                    instructions: vec![Instruction {
                        code: 6,
                        jt: 0,
                        jf: 1,
                        k: 0x7fff_0000,
                    }],
                }),
                gate: Some(Gate {
                    listener: 9,
                    hooks: vec![Hook {
                        path: "/h".into(),
                        argv: vec![],
                        env: vec![],
                        timeout: Some(1),
                    }],
                }),
                preserved: Preserved {
                    first: 11,
                    count: 1,
                },
                engine: true,
            },
            then: Then::Supervise {},
            descriptors: 12,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Program::decode(&program().encode()), Ok(program()));
    }

    #[test]
    fn every_shortened_or_extended_program_is_refused() {
        let whole = program().encode();
        for end in 0..whole.len() {
            assert_eq!(
                Program::decode(&whole[..end]),
                Err(BadProgram),
                "{end} bytes"
            );
        }
        assert_eq!(Program::decode(&[whole, vec![0]].concat()), Err(BadProgram));
    }
}
