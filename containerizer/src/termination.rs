//! How a container ended, and its command.

use std::fmt;

use isolators::cgroups::OutOfMemory;

use crate::death::Death;

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Of the command. `None` when it died without anyone recording how (init was killed): treat
    /// as SIGKILL.
    pub status: Option<ExitStatus>,
    /// Set when the kernel killed a process of the container for memory.
    pub out_of_memory: Option<OutOfMemory>,
    pub death: Death,
    /// Host objects that could not be released, each as a sentence.
    pub leftovers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Exited(i32),
    /// Signal number, 1 to 64.
    Signaled(i32),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with status {code}"),
            Self::Signaled(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

impl ExitStatus {
    /// From a raw wait(2) status.
    pub(crate) fn from_raw(raw: i32) -> Self {
        match raw & 0x7f {
            0 => Self::Exited((raw >> 8) & 0xff),
            signal => Self::Signaled(signal),
        }
    }

    /// From si_code and si_status of waitid(2).
    pub(crate) fn from_waitid((code, status): (i32, i32)) -> Self {
        if code == libc::CLD_EXITED {
            Self::Exited(status)
        } else {
            Self::Signaled(status)
        }
    }
}
