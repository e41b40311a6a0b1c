//! What can go wrong, said so that an operator knows what to do.

use std::io;

use init::{Report, Stage};
use isolators::PlanError;
use isolators::cgroups::{BadHierarchy, CgroupError, OutOfMemory};

use crate::compile::CompileError;
use crate::devices::DevicesError;
use crate::ids::IdsError;
use crate::kernel::TooOld;
use crate::record::RecordError;
use crate::termination::Termination;

/// The containerizer cannot work on this host.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use this host's kernel")]
    Kernel(#[from] TooOld),
    #[error("cannot use this host's cgroups")]
    Hierarchy(#[from] BadHierarchy),
    #[error("cannot prepare the subtree of cgroups for containers (are you root?)")]
    Cgroup(#[from] CgroupError),
    #[error("cannot prepare the runtime directory")]
    Record(#[from] RecordError),
    #[error("cannot keep the container init in memory (memfd_create; see sysctl vm.memfd_noexec)")]
    Helper(#[source] io::Error),
}

/// A container that did not come to run its command. Nothing of it is left on the host, unless
/// it is `Leftovers`.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("cannot set up the container's cgroup")]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Devices(#[from] DevicesError),
    #[error("cannot keep a record of the container")]
    Record(#[from] RecordError),
    #[error("cannot give the container a user namespace")]
    Ids(#[from] IdsError),
    #[error("cannot {attempt}")]
    Prepare {
        attempt: &'static str,
        source: io::Error,
    },
    #[error("cannot start a process in new namespaces{}", spawn_hint(source))]
    Spawn { source: io::Error },
    #[error("cannot {attempt}{hint}")]
    Step {
        attempt: String,
        hint: &'static str,
        stage: Stage,
        source: io::Error,
    },
    #[error("{attempt}")]
    Lost {
        attempt: &'static str,
        source: io::Error,
    },
    /// A hook of the spec did not succeed.
    #[error("{0}")]
    Hook(String),
    #[error("the container's first process died before the command ran: {}", describe(.0))]
    Died(Box<Termination>),
    #[error(
        "the process that was to join the container died before the command ran (did the container end?)"
    )]
    Joined,
    #[error("the container is frozen, and a command would freeze with it: thaw it first")]
    Frozen,
    #[error("cannot hand the listener of the seccomp filter on to the profile's agent")]
    Agent(#[source] io::Error),
    #[error("the launch was given up")]
    GivenUp,
    /// The launch failed, and then not all that it had made could be taken away.
    #[error(
        "a launch failed and left this on the host: {}; it failed because",
        leftovers.join("; ")
    )]
    Leftovers {
        /// Each as a sentence.
        leftovers: Vec<String>,
        #[source]
        failure: Box<LaunchError>,
    },
}

impl LaunchError {
    /// With what could not be taken away after it, if there is any.
    pub(crate) fn and_left(self, leftovers: Vec<String>) -> Self {
        match leftovers.is_empty() {
            true => self,
            false => Self::Leftovers {
                leftovers,
                failure: Box::new(self),
            },
        }
    }
}

/// An error and its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn spawn_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => " (are you root, with CAP_SYS_ADMIN?)",
        Some(libc::EACCES) => " (may memory files be executed? see sysctl vm.memfd_noexec)",
        Some(libc::ENOSPC | libc::EUSERS) => " (see /proc/sys/user/max_*_namespaces)",
        Some(libc::EAGAIN) => " (too many processes: see ulimit -u and the pids cgroup)",
        _ => "",
    }
}

fn describe(termination: &Termination) -> String {
    match (&termination.out_of_memory, termination.status) {
        (
            Some(OutOfMemory {
                limit: Some(limit), ..
            }),
            _,
        ) => {
            format!("it ran out of memory (limit {} MB)", limit >> 20)
        }
        (Some(OutOfMemory { limit: None, .. }), _) => {
            "the host, or what it is nested in, ran out of memory".to_owned()
        }
        (None, Some(status)) => format!("it {status}"),
        (None, None) => "it was killed".to_owned(),
    }
}

impl From<Report> for LaunchError {
    fn from(report: Report) -> Self {
        if report.stage == (Stage::Hook {}) {
            return LaunchError::Hook(report.attempt);
        }
        let hint = hint(report.stage, report.errno);
        let source = io::Error::from_raw_os_error(report.errno);
        LaunchError::Step {
            attempt: report.attempt,
            hint,
            stage: report.stage,
            source,
        }
    }
}

/// How to mend the usual failures.
fn hint(stage: Stage, errno: i32) -> &'static str {
    match (stage, errno) {
        (Stage::Exec {}, libc::ENOENT) => {
            ": command not found (check its spelling, PATH in the environment, and that the \
             interpreter named in its first line exists)"
        }
        (Stage::Interpreter {}, libc::ENOENT) => {
            ": the program is there, but not what it names to run it (correct the first line of a \
             script; install the loader or libraries that a program was built for)"
        }
        (Stage::Exec {}, libc::EACCES) => {
            ": it is not executable for this user (chmod +x, or a file system mounted noexec)"
        }
        (Stage::Exec {}, libc::ENOEXEC) => {
            ": it is no program for this machine (a script needs #! in its first line)"
        }
        (Stage::Exec {}, libc::EPERM) => {
            ": its seccomp profile forbids execve, or the file has capabilities that the container \
             may not have (see them with getcap; give the task those with \"linuxInfo\", or take \
             them off the file with setcap -r)"
        }
        (Stage::Exec {}, libc::E2BIG) => ": the arguments and environment together are too long",
        (Stage::Source {}, libc::ENOENT) => " (the volume's hostPath does not exist)",
        (Stage::WorkingDirectory {}, libc::ENOENT) => {
            " (there is no such directory in the container's file system)"
        }
        (Stage::WorkingDirectory {}, libc::ENOTDIR) => " (it is no directory)",
        (Stage::WorkingDirectory {}, libc::EACCES) => " (the user may not enter it)",
        (Stage::Limits {}, libc::EPERM) => " (raising a hard limit needs CAP_SYS_RESOURCE)",
        (Stage::Seccomp {}, libc::EINVAL | libc::ENOSYS) => {
            " (has this kernel CONFIG_SECCOMP_FILTER, and does it know the profile's flags?)"
        }
        (Stage::Seccomp {}, libc::EACCES) => {
            " (it takes no_new_privs, or the agent's CAP_SYS_ADMIN)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_clean_up_is_told_beside_the_first_failure_and_never_instead_of_it() {
        let failed = || LaunchError::Hook("the hook failed".to_owned());
        assert_eq!(failed().and_left(vec![]).to_string(), "the hook failed");
        let left = failed().and_left(vec!["cannot remove cgroup /c".to_owned()]);
        let why = std::error::Error::source(&left).map(|failure| failure.to_string());
        assert_eq!(
            (left.to_string(), why),
            (
                "a launch failed and left this on the host: cannot remove cgroup /c; it failed \
                 because"
                    .to_owned(),
                Some("the hook failed".to_owned())
            )
        );
    }

    fn reported(attempt: &str, stage: Stage, errno: i32) -> String {
        LaunchError::from(Report {
            attempt: attempt.to_owned(),
            errno,
            stage,
        })
        .to_string()
    }

    #[test]
    fn usual_failures_say_how_to_mend_them() {
        assert_eq!(
            reported("run \"nope\" in /sandbox", Stage::Exec {}, libc::ENOENT),
            "cannot run \"nope\" in /sandbox: command not found (check its spelling, PATH in the \
             environment, and that the interpreter named in its first line exists)"
        );
        assert_eq!(
            reported("bind /data of the host", Stage::Source {}, libc::ENOENT),
            "cannot bind /data of the host (the volume's hostPath does not exist)"
        );
        assert_eq!(
            reported(
                "enter working directory /x",
                Stage::WorkingDirectory {},
                libc::EACCES
            ),
            "cannot enter working directory /x (the user may not enter it)"
        );
        assert_eq!(
            reported(
                "enter working directory /x",
                Stage::WorkingDirectory {},
                libc::ENOENT
            ),
            "cannot enter working directory /x (there is no such directory in the container's file \
             system)"
        );
        let refused = reported("run \"ping\" in /", Stage::Exec {}, libc::EPERM);
        assert!(
            refused.ends_with(
                "(see them with getcap; give the task those with \"linuxInfo\", \
             or take them off the file with setcap -r)"
            ),
            "{refused}"
        );
        assert_eq!(
            reported(
                "install the seccomp filter",
                Stage::Seccomp {},
                libc::EINVAL
            ),
            "cannot install the seccomp filter (has this kernel CONFIG_SECCOMP_FILTER, and does it \
             know the profile's flags?)"
        );
        assert_eq!(
            reported(
                "set resource limit 7 to 9 (hard 9)",
                Stage::Limits {},
                libc::EPERM
            ),
            "cannot set resource limit 7 to 9 (hard 9) (raising a hard limit needs \
             CAP_SYS_RESOURCE)"
        );
    }
}
