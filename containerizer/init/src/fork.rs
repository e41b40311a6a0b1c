//! From the host's namespaces to the container's: what has rights on the host is done on this side,
//! and the container's first process is born on the other.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use init::{IdMap, Maps, Word};

use crate::failure::{Failure, because};
use crate::procfs::Procfs;
use crate::{launcher, sys};

/// Goes on in a child that is born in new namespaces and that the launcher takes for its own; this
/// process ends. `maps`: of a new user namespace.
pub fn into_namespaces(flags: u64, maps: Option<&Maps>, becomes_root: bool) -> Result<(), Failure> {
    let proc = Procfs::of_host().map_err(because("open /proc"))?;
    let (mut wait, go) = pipe().map_err(because("make a pipe"))?;
    let forked = sys::fork_into(flags | libc::CLONE_PARENT as u64)
        .map_err(because("fork into new namespaces"))?;
    let Some(pid) = forked else {
        drop(go);
        return arrive(&mut wait, becomes_root);
    };
    // Before anything can fail: from now on the launcher puts the child away.
    launcher::tell(&Word::Handed { pid: pid as u32 }).map_err(because("write to the launcher"))?;
    if let Some(maps) = maps {
        write_maps(&proc, pid, maps)?;
    }
    // It goes on without us; that it is gone already, the launcher sees.
    let _ = File::from(go).write_all(&[0]);
    sys::exit(0)
}

/// In the child: once it may go on.
fn arrive(wait: &mut File, becomes_root: bool) -> Result<(), Failure> {
    let mut go = [0];
    if wait.read_exact(&mut go).is_err() {
        // The parent has told why.
        sys::exit(1);
    }
    if becomes_root {
        sys::become_user(0, 0, &[]).map_err(because(
            "become root of the user namespace (do its maps contain 0?)",
        ))?;
    }
    Ok(())
}

fn write_maps(proc: &Procfs, pid: i32, maps: &Maps) -> Result<(), Failure> {
    for (file, map) in [("uid_map", &maps.uids), ("gid_map", &maps.gids)] {
        let lines: String = (map.iter())
            .map(
                |IdMap {
                     inside,
                     outside,
                     count,
                 }| format!("{inside} {outside} {count}\n"),
            )
            .collect();
        proc.write(&format!("{pid}/{file}"), &lines)
            .map_err(because(format!("write {file} {:?}", lines.trim_end())))?;
    }
    Ok(())
}

/// A user namespace that nobody is in, for mounts that are to have its maps.
pub fn user_namespace(proc: &Procfs, maps: &Maps) -> Result<OwnedFd, Failure> {
    let forked = sys::fork_into(libc::CLONE_NEWUSER as u64);
    let Some(pid) = forked.map_err(because("make a user namespace"))? else {
        sys::sleep()
    };
    let made = write_maps(proc, pid, maps).and_then(|()| {
        let namespace = proc.namespace(pid, "user");
        namespace.map_err(because("take hold of a user namespace"))
    });
    sys::kill(pid, libc::SIGKILL);
    sys::wait_for(pid);
    made
}

fn pipe() -> io::Result<(File, OwnedFd)> {
    let (read, write) = sys::pipe()?;
    Ok((File::from(read), write))
}
