//! The command, and the process that becomes it.

use super::scheduling::Scheduling;
use super::seccomp::Filter;
use crate::wire::{BadProgram, Wire, wire_struct};

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

/// CAP_SYS_PTRACE.
const SYS_PTRACE: u64 = 1 << 19;

impl Exec {
    /// Whether the command, or what it executes, can take other processes over.
    pub fn may_trace(&self) -> bool {
        self.capabilities
            .is_none_or(|caps| (caps.bounding | caps.permitted) & SYS_PTRACE != 0)
    }
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

/// A program that gets the container's state on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub path: String,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    /// Seconds; it is killed when it takes longer.
    pub timeout: Option<u64>,
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

wire_struct!(Preserved { first, count });

wire_struct!(Gate { listener, hooks });

wire_struct!(Hook {
    path,
    argv,
    env,
    timeout
});

wire_struct!(Terminal {
    size,
    uid,
    shown,
    plain
});
