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
#[cfg(any(test, fuzzing))]
mod interpreter;
#[cfg(any(test, fuzzing))]
mod naive;
#[cfg(test)]
mod profiles;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod search;
#[cfg(test)]
mod tests;

use init::{Instruction, NEW_LISTENER};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

use abi::Abi;
use action::{ALLOW, LOG, NOTIFY};
use decision::{Answers, Decisions};

pub use filters::Filters;

/// BPF_MAXINSNS of linux/bpf_common.h.
const LONGEST: usize = 4096;

/// How the listener leaves the process that has just been filtered. See `init::Filter`.
const SENDS: &str = "sendmsg";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    #[error(
        "linux.seccomp: SCMP_ACT_NOTIFY cannot be used for the {0} syscall: runtimes need it before there is \
         anybody to answer; allow it"
    )]
    NotifiesOwn(&'static str),
    #[error(
        "linux.seccomp must allow sendmsg, whatever its arguments, where SCMP_ACT_NOTIFY is used: the \
         listener is sent with it"
    )]
    ForbidsOwn,
    #[error(
        "linux.seccomp uses SCMP_ACT_NOTIFY without a listenerPath: give the path of the unix socket of \
         the program that is to be asked"
    )]
    NoListener,
    #[error(
        "linux.seccomp uses SCMP_ACT_NOTIFY, and no program is there to be asked: use SCMP_ACT_ERRNO, or \
         SCMP_ACT_LOG to learn of calls"
    )]
    NobodyAsked,
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
    let flags = flags(profile);
    let decisions = Decisions::of(profile)?;
    let machines = Abi::listed(profile, native);
    let answers: Vec<_> = machines.iter().map(|abi| decisions.of_abi(*abi)).collect();
    if let Some(native) = answers.first() {
        check_notifying(profile, native)?;
    }
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

/// Whether a profile has a program outside asked about calls.
pub fn notifies(profile: &LinuxSeccomp) -> bool {
    let rules = profile.syscalls().iter().flatten();
    rules
        .map(|rule| rule.action())
        .chain([profile.default_action()])
        .any(|action| action == LinuxSeccompAction::ScmpActNotify)
}

/// Of linux/seccomp.h.
fn flags(profile: &LinuxSeccomp) -> u32 {
    let notifies = notifies(profile);
    let flags = profile.flags().iter().flatten().map(|flag| match flag {
        // `init` has one thread, and the kernel would return either a thread or a listener.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => 1 << 1,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 1 << 2,
        // It is about waiting for an answer, and without a listener the kernel refuses it.
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv if notifies => 1 << 5,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0,
    });
    let listener = if notifies { NEW_LISTENER } else { 0 };
    flags.fold(listener, |all, flag| all | flag)
}

/// A listener takes somebody who is given it, and a way there through the filter itself.
fn check_notifying(profile: &LinuxSeccomp, native: &Answers) -> Result<(), SeccompError> {
    if !notifies(profile) {
        return Ok(());
    }
    let path = profile.listener_path().as_ref();
    if path.is_none_or(|path| path.as_os_str().is_empty()) {
        return Err(SeccompError::NoListener);
    }
    // The second is what other runtimes send with: a profile that works here is to work there.
    for call in [SENDS, "write"] {
        if native.to(call).any(|verdict| verdict == NOTIFY) {
            return Err(SeccompError::NotifiesOwn(call));
        }
    }
    match native
        .to(SENDS)
        .all(|verdict| matches!(verdict, ALLOW | LOG))
    {
        true => Ok(()),
        false => Err(SeccompError::ForbidsOwn),
    }
}
