//! The kernel that this host has booted, which has to be able to do what no container does without.

use std::io;

use isolators::seccomp::Machine;
use nix::sys::utsname::uname;

use crate::sys;

#[derive(Debug, thiserror::Error)]
#[error(
    "it is Linux {release}, and cannot set up a mount before anybody sees it (mount_setattr(2), Linux 5.12): boot a \
     newer one, of which any still maintained will do"
)]
pub struct TooOld {
    release: String,
}

/// Of its system calls, the one that containers need and that came last. Vendors add calls to kernels of a lower
/// number, so this asks the kernel itself.
pub fn require() -> Result<(), TooOld> {
    judge(&sys::mount_setattr_of_nothing(), release)
}

/// A filter around this process may refuse what the kernel can do: that is told by the first launch, which knows
/// more of it.
fn judge(word: &io::Error, release: impl FnOnce() -> String) -> Result<(), TooOld> {
    match word.raw_os_error() {
        Some(libc::ENOSYS) => Err(TooOld { release: release() }),
        _ => Ok(()),
    }
}

fn release() -> String {
    let uname = uname();
    let release = uname
        .as_ref()
        .map(|uname| uname.release().to_string_lossy());
    release.map_or_else(|_| "of an unknown release".to_owned(), Into::into)
}

/// One that does not tell its release is taken for the oldest.
pub fn machine() -> Machine {
    let uname = uname();
    let release = uname
        .as_ref()
        .ok()
        .and_then(|uname| uname.release().to_str());
    Machine::here(release.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_call_is_refused_by_its_release_and_no_other() {
        let judged = |errno| judge(&io::Error::from_raw_os_error(errno), || "4.18.0".to_owned());
        let told = judged(libc::ENOSYS).unwrap_err().to_string();
        assert!(told.starts_with("it is Linux 4.18.0, "), "{told}");
        for errno in [libc::EINVAL, libc::EPERM] {
            judged(errno).unwrap();
        }
    }

    #[test]
    fn the_kernel_of_this_host_is_asked_without_harm() {
        let word = sys::mount_setattr_of_nothing();
        assert_eq!(word.raw_os_error(), Some(libc::EINVAL), "{word}");
        require().unwrap();
    }
}
