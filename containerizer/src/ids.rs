//! Ids of the host for the user namespaces of containers: no two containers have one in common, or each
//! could do to the other what a user can do to itself.
//!
//! Each range that was given away is a link in the runtime directory, from its first id to the container.
//! A link is written before the container exists, and is as good as none once that is gone: so nobody
//! has to give ids back.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use failpoint::{Point, reach};
use isolators::{ContainerId, IdRange};

use crate::runtime_dir;

/// As many as a container has of its own: what ordinary images and programs expect.
pub const EACH: u32 = 1 << 16;

#[derive(Debug, thiserror::Error)]
pub enum IdsError {
    #[error(
        "all ids for user namespaces are taken ({} from {} on, {EACH} for each container): give the agent \
         more", .0.count, .0.first
    )]
    Exhausted(IdRange),
    #[error("cannot {attempt} {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Ranges that are given away at this moment, by their first ids.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<BTreeSet<u32>>);

/// Keeps a range until its container is there, or is not going to be.
#[derive(Debug)]
pub struct Reserved<'a> {
    pub ids: IdRange,
    reservations: &'a Reservations,
}

impl Reservations {
    /// `holds`: whether a container is there or underway.
    pub fn reserve(
        &self,
        runtime_dir: &Path,
        id: &ContainerId,
        pool: IdRange,
        holds: impl Fn(&ContainerId) -> bool,
    ) -> Result<Reserved<'_>, IdsError> {
        let directory = runtime_dir::ids(runtime_dir);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.map_err(failed("create", &directory))?;
        let mut reserved = self.lock();
        for first in firsts(pool) {
            if reserved.contains(&first) {
                continue;
            }
            let link = directory.join(first.to_string());
            if take(&link, id, &holds).map_err(failed("write", &link))? {
                reserved.insert(first);
                return Ok(Reserved {
                    ids: IdRange { first, count: EACH },
                    reservations: self,
                });
            }
        }
        Err(IdsError::Exhausted(pool))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        // No panic leaves a set half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.reservations.lock().remove(&self.ids.first);
    }
}

/// The first id of each whole range in the pool.
fn firsts(pool: IdRange) -> impl Iterator<Item = u32> {
    let whole = pool.count / EACH;
    (0..whole).filter_map(move |n| pool.first.checked_add(n * EACH))
}

/// Whether nobody has it: then `id` has it now.
fn take(link: &Path, id: &ContainerId, holds: impl Fn(&ContainerId) -> bool) -> io::Result<bool> {
    use std::os::unix::fs::symlink;
    match symlink(id.as_str(), link) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            reach(Point::IdsTaken);
            return made.map(|()| true);
        }
    }
    let owner = fs::read_link(link)?.to_string_lossy().into_owned();
    if ContainerId::try_from(owner).is_ok_and(|owner| owner != *id && holds(&owner)) {
        return Ok(false);
    }
    fs::remove_file(link)?;
    reach(Point::IdsFreed);
    symlink(id.as_str(), link).map(|()| true)
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdsError {
    move |source| IdsError::File {
        attempt,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: IdRange = IdRange {
        first: 1_000_000,
        count: 3 * EACH - 1,
    };

    fn id(name: &str) -> ContainerId {
        ContainerId::try_from(name.to_owned()).expect("a good id")
    }

    #[test]
    fn no_two_containers_have_an_id_in_common() {
        let directory = tempfile::tempdir().expect("a directory");
        let reservations = Reservations::default();
        let none = |_: &ContainerId| false;
        let reserve = |name: &str| reservations.reserve(directory.path(), &id(name), POOL, none);
        let a = reserve("a").expect("free");
        let b = reserve("b").expect("free");
        assert_eq!((a.ids.first, b.ids.first), (1_000_000, 1_000_000 + EACH));
        // The third range is not whole.
        let error = reserve("c").expect_err("none left").to_string();
        assert!(
            error.starts_with("all ids for user namespaces are taken"),
            "{error}"
        );
        drop(a);
        assert_eq!(reserve("c").expect("free again").ids.first, 1_000_000);
    }

    #[test]
    fn a_range_stays_with_its_container_across_restarts_until_that_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let reserve = |reservations: &Reservations, name: &str, held: &str| {
            let held = id(held);
            let holds = |other: &ContainerId| *other == held;
            let reserved = reservations.reserve(directory.path(), &id(name), POOL, holds);
            reserved.expect("free").ids.first
        };
        assert_eq!(reserve(&Reservations::default(), "a", "none"), 1_000_000);
        let later = Reservations::default();
        assert_eq!(reserve(&later, "b", "a"), 1_000_000 + EACH);
        assert_eq!(reserve(&later, "c", "b"), 1_000_000);
    }
}
