//! The processes of a cgroup, by descriptors. The kernel lists numbers, and the number of one that has ended
//! meanwhile may be that of a process of somebody else.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::cgroup::Cgroup;

/// Descriptors at one time.
const MOST: usize = 256;

pub(super) fn each(cgroup: &Cgroup, mut act: impl FnMut(&OwnedFd)) {
    for pids in cgroup.processes().chunks(MOST) {
        let members = || cgroup.processes().into_iter().collect();
        held(pids, open, members).iter().for_each(&mut act);
    }
}

/// Errors: `ESRCH` once it has been reaped.
pub(super) fn kill(process: &OwnedFd) -> io::Result<()> {
    Ok(pidfd_send_signal(process, Signal::KILL)?)
}

fn open(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    // It has ended, or is the number of a thread by now.
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Of those that were listed, the ones that are still `members` when they are held: as long as a process
/// lives its number is its own, so what has such a number is what is held, or that has ended and nothing can
/// come of it.
fn held<T>(
    listed: &[u32],
    open: impl Fn(u32) -> Option<T>,
    members: impl FnOnce() -> BTreeSet<u32>,
) -> Vec<T> {
    let opened: Vec<_> = (listed.iter())
        .filter_map(|pid| Some((pid, open(*pid)?)))
        .collect();
    let members = members();
    let held = opened.into_iter().filter(|(pid, _)| members.contains(pid));
    held.map(|(_, process)| process).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn who_has_left_before_being_held_is_left_alone() {
        let opened = Cell::new(0);
        let open = |pid: u32| {
            opened.set(opened.get() + 1);
            (pid != 12).then_some(pid)
        };
        let members = || {
            assert_eq!(opened.get(), 4, "looked at before all were held");
            BTreeSet::from([10, 12, 13, 14])
        };
        assert_eq!(held(&[10, 11, 12, 13], open, members), [10, 13]);
    }

    #[test]
    fn a_number_that_is_nobodys_is_not_held() {
        assert!(open(0).is_none() && open(u32::MAX).is_none() && open(i32::MAX as u32).is_none());
        assert!(open(std::process::id()).is_some());
    }
}
