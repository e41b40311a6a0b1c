//! Seccomp: from the spec's profile to a program for the kernel, without a library of the host.
//!
//! A profile answers each system call number of each machine with a decision; neighbours that are
//! answered alike become one range, and the program finds the range by halving. So a call costs some
//! ten comparisons however long the profile is, and the kernel has little to check at the start of a
//! container.
//!
//! What OCI leaves open is decided so: of the rules that name a call the first that matches answers,
//! and a rule that compares one argument twice matches when any of its comparisons does, as runc and
//! crun have it.

mod abi;
mod action;
mod assembler;
mod comparison;
mod decision;
mod filters;
mod search;
#[cfg(test)]
mod tests;

use init::Instruction;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

use abi::Abi;
use decision::Decisions;

pub use filters::Filters;

/// BPF_MAXINSNS of linux/bpf_common.h.
const LONGEST: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    #[error(
        "linux.seccomp.{place} is SCMP_ACT_NOTIFY, which this build cannot do: there is no program \
         to be asked; use SCMP_ACT_ERRNO, or SCMP_ACT_LOG to learn of calls"
    )]
    Notify { place: String },
    #[error(
        "linux.seccomp.flags asks for {0}, which this build cannot do: it belongs to SCMP_ACT_NOTIFY"
    )]
    Flag(LinuxSeccompFilterFlag),
    #[error("linux.seccomp.{place} is {errno}: it must be 0 to {most}, and {action} must take one")]
    Errno {
        place: String,
        errno: u32,
        most: u32,
        action: LinuxSeccompAction,
    },
    #[error(
        "linux.seccomp.syscalls[{rule}].args[{arg}].index is {index}: a system call has arguments 0 \
         to 5"
    )]
    Index {
        rule: usize,
        arg: usize,
        index: usize,
    },
    #[error(
        "linux.seccomp makes a program of {0} instructions, and the kernel takes at most {LONGEST}: \
         it needs fewer rules with \"args\""
    )]
    TooLong(usize),
}

/// A profile as the kernel takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub instructions: Vec<Instruction>,
    /// SECCOMP_FILTER_FLAG_*.
    pub flags: u32,
    /// Names that are no call of any machine we know: skipped, as OCI wants it. They may be misspelt.
    pub unknown: Vec<String>,
}

/// Whether this build can do what a profile asks for.
pub fn takes(profile: &LinuxSeccomp) -> bool {
    compile(profile, Abi::NATIVE).is_ok()
}

/// Pure: `native` is the machine whose kernel will run the program.
fn compile(profile: &LinuxSeccomp, native: Abi) -> Result<Compiled, SeccompError> {
    let flags = flags(profile)?;
    let decisions = Decisions::of(profile)?;
    let machines = Abi::listed(profile, native);
    let answers: Vec<_> = machines.iter().map(|abi| decisions.of_abi(*abi)).collect();
    let instructions = search::program(&answers);
    if instructions.len() > LONGEST {
        return Err(SeccompError::TooLong(instructions.len()));
    }
    let names = profile.syscalls().iter().flatten().flat_map(|s| s.names());
    let unknown = names.filter(|name| !Abi::ALL.iter().any(|abi| abi.number(name).is_some()));
    Ok(Compiled {
        instructions,
        flags,
        unknown: unknown.cloned().collect(),
    })
}

/// Of linux/seccomp.h.
fn flags(profile: &LinuxSeccomp) -> Result<u32, SeccompError> {
    let mut flags = 0;
    for flag in profile.flags().iter().flatten() {
        flags |= match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 1,
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => 1 << 1,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 1 << 2,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                return Err(SeccompError::Flag(*flag));
            }
        };
    }
    Ok(flags)
}
