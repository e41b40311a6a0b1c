//! What `init` and its launcher say to each other, over a pair of connected unix sockets
//! (`SOCK_SEQPACKET`: one message is one word).
//!
//! ```text
//! init                         launcher
//!  Handed ───────────────────►  takes a sister of init for the container's first process
//!  Waiting { Hooks } ────────►  runs hooks of the host
//!         ◄──────────────────── answer: the container's state
//!  Ready ────────────────────►  leaves; whoever starts the container later connects to its gate and
//!                               hears the rest
//!  Mounts ───────────────────►  holds the mounts until the container's end is told
//!  AboutToExec ──────────────►
//!  Listener ─────────────────►  hands the descriptor that comes along to the seccomp agent
//!  (the end: the command runs)  or Failed, at any time
//! ```

use crate::wire::{self, BadProgram, Wire, wire_enum, wire_struct};

/// From `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It goes on when it is answered.
    Waiting { awaited: Awaited },
    /// All is done but to start the command, for which it waits at its gate.
    Ready {},
    /// A failure may still follow this; the end of the connection means that the command runs. `at`: by the
    /// monotonic clock as the container has it, in nanoseconds. time_namespaces(7).
    AboutToExec { at: u64 },
    /// Of `Then::Hand` and `Step::Fork`: another child of ours is there, which goes on with the
    /// conversation itself.
    Handed { pid: u32 },
    /// Comes with a descriptor: who reads it hears of the calls that the command's filter asks about, and
    /// answers them. seccomp_unotify(2).
    Listener {},
    /// Comes with a descriptor: the container's mount namespace.
    Mounts {},
    /// The last word.
    Failed { report: Report },
}

/// What the launcher is to do before the container can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Run the hooks that belong outside of the container.
    Hooks {},
}

/// Why the command did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was tried, on what, as a phrase after "cannot".
    pub attempt: String,
    pub errno: i32,
    pub stage: Stage,
}

/// Which part of the work an attempt belongs to, where the remedy depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A path of the host that is to be bound.
    Source {},
    /// A mount of the container.
    Mount {},
    /// Any other step before the command.
    Setup {},
    /// Resource limits of the command.
    Limits {},
    WorkingDirectory {},
    /// The exec itself.
    Exec {},
    /// The exec: the program is there, and what it names to run it is not.
    Interpreter {},
    /// Installing the seccomp filter.
    Seccomp {},
    /// A hook that ran in the container and did not succeed: no system call failed.
    Hook {},
}

wire_struct!(Report {
    attempt,
    errno,
    stage
});
wire_enum!(Stage {
    0 => Source {},
    1 => Setup {},
    2 => Limits {},
    3 => WorkingDirectory {},
    4 => Exec {},
    5 => Interpreter {},
    6 => Seccomp {},
    7 => Hook {},
    8 => Mount {},
});
wire_enum!(Awaited { 0 => Hooks {} });
wire_enum!(Word {
    0 => Waiting { awaited },
    1 => Ready {},
    2 => AboutToExec { at },
    3 => Failed { report },
    4 => Handed { pid },
    5 => Listener {},
    6 => Mounts {},
});

impl Word {
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// One whole message.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadProgram> {
        wire::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_said_and_only_whole() {
        let report = Report {
            attempt: "run \"x\" in /".to_owned(),
            errno: 2,
            stage: Stage::Exec {},
        };
        let awaited = Awaited::Hooks {};
        for word in [
            Word::Waiting { awaited },
            Word::Ready {},
            Word::Handed { pid: 7 },
            Word::AboutToExec { at: 1 << 40 },
            Word::Listener {},
            Word::Mounts {},
            Word::Failed { report },
        ] {
            let whole = word.encode();
            assert_eq!(Word::decode(&whole), Ok(word));
            for end in 0..whole.len() {
                assert_eq!(Word::decode(&whole[..end]), Err(BadProgram));
            }
        }
    }
}
