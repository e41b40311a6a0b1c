//! The processes of a container that came of one of them: of a command that joined it and is to end whole.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use isolators::cgroups::Cgroup;

use crate::identity::Stat;
use crate::sys;

/// What a member of the cgroup is to the others. Host pids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tie {
    parent: i32,
    session: i32,
}

/// SIGKILL to all of the session that `first` leads, and to what they began. Who has left the session and lost
/// its parents is the container's. Blocks.
///
/// Nobody else gets the number of a session while one of it is there.
pub fn kill(first: u32, cgroup: &Cgroup) {
    let mut killed = BTreeSet::new();
    // Who has a SIGKILL before him begins nobody any more, so this ends.
    loop {
        let members = members(cgroup);
        let ties = members.iter().map(|(pid, (_, tie))| (*pid, *tie)).collect();
        let mut kin = kin(first, &ties);
        kin.retain(|pid| killed.insert(*pid));
        if kin.is_empty() {
            return;
        }
        for (process, _) in kin.iter().filter_map(|pid| members.get(pid)) {
            // It can only be gone already.
            let _ = sys::pidfd_send_signal(process, libc::SIGKILL);
        }
    }
}

/// Those that have not ended. Held before they are looked at, so what a number is found to be is no other that
/// gets it later.
fn members(cgroup: &Cgroup) -> BTreeMap<u32, (OwnedFd, Tie)> {
    let member = |pid: u32| {
        let process = sys::pidfd_open(pid).ok()?;
        let Stat {
            state,
            parent,
            session,
            ..
        } = Stat::of(pid)?;
        let has_ended = matches!(state, b'Z' | b'X');
        (!has_ended).then_some((pid, (process, Tie { parent, session })))
    };
    cgroup.processes().into_iter().filter_map(member).collect()
}

/// Pure.
fn kin(first: u32, members: &BTreeMap<u32, Tie>) -> BTreeSet<u32> {
    let of = |number: i32| u32::try_from(number).ok();
    let mut kin: BTreeSet<u32> = (members.iter())
        .filter(|(_, tie)| of(tie.session) == Some(first))
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let is_child = |tie: &Tie| of(tie.parent).is_some_and(|parent| kin.contains(&parent));
        let more: Vec<u32> = (members.iter())
            .filter(|(pid, tie)| !kin.contains(pid) && is_child(tie))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return kin;
        }
        kin.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_what_came_of_it_belong_together_and_the_container_does_not() {
        let table = [
            // The container's own.
            (10, 1, 10),
            (11, 10, 10),
            // The command, its child, and an orphan of its session.
            (20, 2, 20),
            (21, 20, 20),
            (22, 10, 20),
            // Began a session, and what came of that.
            (23, 21, 23),
            (24, 23, 24),
            // The same, and lost its parents: nobody knows whose it was.
            (25, 10, 25),
            // While it ends, the kernel tells nothing of one.
            (26, -1, -1),
        ];
        let members = table.map(|(pid, parent, session)| (pid, Tie { parent, session }));
        let found = kin(20, &BTreeMap::from(members));
        assert_eq!(found, BTreeSet::from([20, 21, 22, 23, 24]));
        assert_eq!(kin(99, &BTreeMap::from(members)), BTreeSet::new());
    }
}
