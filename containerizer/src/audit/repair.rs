//! Carries out what a difference says that a repair does: only on what is ours and still as it was seen.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use isolators::ContainerId;
use isolators::cgroups::{BadHierarchy, Cgroup, CgroupError, Hierarchy, found};

use super::difference::{Difference, Member};
use super::{Scope, kernel};
use crate::identity::Identity;
use crate::{record, runtime_dir, sys};

/// How long what was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("it is not for a repair to decide")]
    NotOurs,
    #[error("it has a record again: an agent makes use of it")]
    InUse,
    #[error(transparent)]
    Hierarchy(#[from] BadHierarchy),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("cannot end process {process}")]
    Process { process: Member, source: io::Error },
    #[error("process {process} was killed and does not go (it waits for the kernel)")]
    Stays { process: Member },
    #[error("cannot unmount {}", point.display())]
    Unmount { point: PathBuf, source: io::Error },
    #[error("cannot write {}", link.display())]
    Ids { link: PathBuf, source: io::Error },
}

/// Not an error when it has gone meanwhile. Blocks, at most for some seconds.
///
/// Orphans are not for this: a [`crate::Containerizer`] ends them, which also tells how they ended.
pub fn repair(scope: &Scope, difference: &Difference) -> Result<(), RepairError> {
    match difference {
        Difference::Process { container, process } => {
            without_record(scope, container)?;
            end(scope, container, process)
        }
        Difference::Mount {
            mount,
            container: Some(_),
        } => kernel::unmount(mount).map_err(|source| RepairError::Unmount {
            point: mount.point.clone(),
            source,
        }),
        Difference::Cgroup {
            container,
            directories,
            is_ours: true,
            ..
        } => {
            without_record(scope, container)?;
            remove_cgroup(scope, container, directories)
        }
        Difference::Ids {
            container,
            link,
            holder: None | Some((_, false)),
            ..
        } => reserve(container, link).map_err(|source| RepairError::Ids {
            link: link.clone(),
            source,
        }),
        Difference::Intruder { .. }
        | Difference::Mount { .. }
        | Difference::Cgroup { .. }
        | Difference::Orphan { .. }
        | Difference::Damaged { .. }
        | Difference::NoCgroup { .. }
        | Difference::Ids { .. }
        | Difference::Loop(_)
        | Difference::Link(_)
        | Difference::Bundle { .. } => Err(RepairError::NotOurs),
    }
}

fn without_record(scope: &Scope, container: &str) -> Result<(), RepairError> {
    let id = ContainerId::try_from(container.to_owned());
    match id.is_ok_and(|id| record::exists(&scope.runtime_dir, &id)) {
        true => Err(RepairError::InUse),
        false => Ok(()),
    }
}

/// Kills a container by its first process, which must still be what it was seen to be.
fn end(scope: &Scope, container: &str, process: &Member) -> Result<(), RepairError> {
    let failed = |source| RepairError::Process {
        process: process.clone(),
        source,
    };
    let Some(pidfd) = process.process.open().map_err(failed)? else {
        return Ok(());
    };
    // Held by its descriptor: from here on its number cannot go to another.
    let containers = runtime_dir::containers(&kernel::real(&scope.runtime_dir));
    let pid = process.process.pid;
    let is_ours = kernel::runs_init(pid)
        && kernel::container_of(pid, &containers).as_deref() == Some(container);
    if !is_ours {
        return Err(RepairError::NotOurs);
    }
    sys::pidfd_send_signal(&pidfd, libc::SIGKILL).map_err(failed)?;
    until_gone(process)
}

fn until_gone(process: &Member) -> Result<(), RepairError> {
    let deadline = Instant::now() + PATIENCE;
    while process.process.lives() {
        if Instant::now() > deadline {
            return Err(RepairError::Stays {
                process: process.clone(),
            });
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn remove_cgroup(
    scope: &Scope,
    container: &str,
    directories: &[PathBuf],
) -> Result<(), RepairError> {
    let hierarchy = Arc::new(Hierarchy::detect(&scope.cgroups_hierarchy)?);
    let path = Path::new("/").join(&scope.cgroups_root).join(container);
    let cgroup = Cgroup::found(&hierarchy, &path);
    let deadline = Instant::now() + PATIENCE;
    loop {
        kill_all(directories);
        cgroup.let_die();
        match cgroup.remove() {
            Err(CgroupError::Busy { .. }) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            removed => return Ok(removed?),
        }
    }
}

/// Each by a descriptor that was in the cgroup when it was held: a number alone may be another's by now.
fn kill_all(cgroups: &[PathBuf]) {
    let pids = found::processes(cgroups);
    let held: Vec<_> = pids
        .into_iter()
        .filter_map(|pid| Some((pid, Identity::of(pid)?.open().ok()??)))
        .collect();
    let still = found::processes(cgroups);
    for (_, process) in held.iter().filter(|(pid, _)| still.contains(pid)) {
        // One that is gone needs no signal; the others show by the cgroup that cannot be removed.
        let _ = sys::pidfd_send_signal(process, libc::SIGKILL);
    }
}

/// Whole or not at all. A new reservation of an agent that runs fails where this link is.
fn reserve(container: &str, link: &Path) -> io::Result<()> {
    if let Some(directory) = link.parent() {
        fs::create_dir_all(directory)?;
    }
    match symlink(container, link) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let new = link.with_extension("new");
            match fs::remove_file(&new) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            symlink(container, &new)?;
            fs::rename(&new, link)
        }
        made => made,
    }
}
