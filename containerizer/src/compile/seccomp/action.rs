//! What a profile wants done, as the number that a filter returns. linux/seccomp.h.

use oci_spec::runtime::LinuxSeccompAction as Action;

use super::SeccompError;

pub const KILL_PROCESS: u32 = 0x8000_0000;
/// USER_NOTIF: the program at the listener is asked.
pub const NOTIFY: u32 = 0x7fc0_0000;
pub const LOG: u32 = 0x7ffc_0000;
pub const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// The kernel cuts larger ones down to it.
const MAX_ERRNO: u32 = 4095;

pub const fn errno(number: i32) -> u32 {
    ERRNO | number.unsigned_abs()
}

/// `place` names the action in the spec; `data` is its errno, or what a tracer is told.
pub fn verdict(
    action: Action,
    data: Option<u32>,
    place: impl Fn(&str) -> String,
) -> Result<u32, SeccompError> {
    // The word in the upper half, and how large the data in the lower half may be.
    let (word, most) = match action {
        Action::ScmpActKill | Action::ScmpActKillThread => (0, None),
        Action::ScmpActKillProcess => (KILL_PROCESS, None),
        Action::ScmpActTrap => (0x0003_0000, None),
        Action::ScmpActErrno => (ERRNO, Some(MAX_ERRNO)),
        Action::ScmpActTrace => (0x7ff0_0000, Some(u32::from(u16::MAX))),
        Action::ScmpActNotify => (NOTIFY, None),
        Action::ScmpActLog => (LOG, None),
        Action::ScmpActAllow => (ALLOW, None),
    };
    match (data, most) {
        (None, None) => Ok(word),
        // OCI: EPERM when nothing else is said.
        (None, Some(_)) => Ok(word | libc::EPERM.unsigned_abs()),
        (Some(data), Some(most)) if data <= most => Ok(word | data),
        (Some(data), most) => Err(SeccompError::Errno {
            place: place("errnoRet"),
            errno: data,
            most: most.unwrap_or(MAX_ERRNO),
            action,
        }),
    }
}
