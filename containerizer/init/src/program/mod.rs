//! The program: steps inside the container's namespaces, then the command.

mod exec;
mod mount;
mod scheduling;
mod seccomp;
mod step;

use crate::wire::{self, BadProgram, Wire, wire_enum, wire_struct};

pub use exec::{Capabilities, Exec, Gate, Hook, Preserved, Rlimit, Terminal};
pub use mount::{Attributes, IdMap, Idmap, Maps, Mount, Origin, Owners, Source, Unsaid};
pub use scheduling::{MemoryPolicy, Scheduler, Scheduling};
pub use seccomp::{Filter, Instruction, NEW_LISTENER};
pub use step::Step;

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
    /// The same, and it keeps the command's output, files that are open as 1 and 2, within about that many
    /// bytes: what is older it gives back to the file system. 0 leaves one alone.
    Bound { stdout: u64, stderr: u64 },
    /// It starts the command as a child, in the pid namespace that it joined without being in it, hands
    /// it every signal, and ends as it ends.
    Attend {},
    /// It makes the command as a child of its own parent, in the pid namespace that it joined, tells
    /// its number, and ends.
    Hand {},
}

wire_struct!(Program {
    steps,
    exec,
    then,
    descriptors
});

wire_enum!(Then {
    0 => Become {},
    1 => Supervise {},
    2 => Attend {},
    3 => Hand {},
    4 => Bound { stdout, stderr },
});

impl Then {
    /// It stays beside the command, and writes the exit record.
    pub fn supervises(self) -> bool {
        match self {
            Then::Supervise {} | Then::Bound { .. } => true,
            Then::Become {} | Then::Attend {} | Then::Hand {} => false,
        }
    }
}

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
            then: Then::Bound {
                stdout: 1,
                stderr: 0,
            },
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
