//! How the kernel runs the command.

use crate::wire::{BadProgram, Wire, wire_struct};

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
