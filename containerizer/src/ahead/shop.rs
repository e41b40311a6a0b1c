//! What is ready, what is short, and who waits for what.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Ipc, Network, Recipe};

/// Of each at one time. More would only help launches that come faster than they can be made.
const READY: usize = 3;
/// Recipes at one time. Where each task wants another, nothing is made for none of them.
const RECIPES: usize = 8;
/// Who has just taken something is about to launch a container: the next is not made at the same time, on
/// the same processor.
const LATER: Duration = Duration::from_millis(5);
/// After a failure, which may be one of the moment: too many open files.
const PAUSE: Duration = Duration::from_secs(10);
/// Failures in a row, after which it is taken to be in vain.
const TRIES: u32 = 100;

#[derive(Debug, Default)]
pub struct Shop {
    shelves: Mutex<Shelves>,
    changed: Condvar,
}

#[derive(Debug)]
pub enum Work {
    Network,
    Ipc,
    Mount(Recipe),
}

#[derive(Debug, Default)]
struct Shelves {
    /// Empty until the first is asked for.
    networks: Option<Shelf<Network>>,
    ipcs: Option<Shelf<Ipc>>,
    /// The one that was asked for last comes last.
    mounts: Vec<(Recipe, Shelf<OwnedFd>)>,
    is_closed: bool,
    /// The worker sleeps until it is told of a change.
    waits: bool,
}

#[derive(Debug)]
struct Shelf<T> {
    ready: Vec<T>,
    /// Times it was asked for, up to `READY`.
    asked: usize,
    failed: u32,
    not_before: Option<Instant>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            asked: 0,
            failed: 0,
            not_before: None,
        }
    }
}

impl<T> Shelf<T> {
    fn take(&mut self) -> Option<T> {
        self.asked = READY.min(self.asked + 1);
        self.ready.pop()
    }

    fn put(&mut self, made: io::Result<T>, now: Instant) {
        match made {
            Ok(made) => {
                self.ready.push(made);
                self.failed = 0;
                self.not_before = None;
            }
            Err(error) => {
                tracing::debug!(%error, "something cannot be made ahead");
                self.failed += 1;
                self.not_before = Some(now + PAUSE);
            }
        }
    }

    fn is_short(&self) -> bool {
        self.ready.len() < READY && self.failed < TRIES
    }

    /// After a failure.
    fn next_try(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.is_short())
    }

    fn is_due(&self, now: Instant) -> bool {
        self.is_short() && self.not_before.is_none_or(|at| at <= now)
    }
}

impl Shelves {
    /// What there is least of comes first.
    fn due(&self, now: Instant) -> Option<Work> {
        let networks = self.networks.iter().filter(|shelf| shelf.is_due(now));
        let networks = networks.map(|shelf| (shelf.ready.len(), Work::Network));
        let ipcs = self.ipcs.iter().filter(|shelf| shelf.is_due(now));
        let ipcs = ipcs.map(|shelf| (shelf.ready.len(), Work::Ipc));
        // One that is asked for a second time will be so again.
        let mounts = (self.mounts.iter()).filter(|(_, shelf)| shelf.asked > 1 && shelf.is_due(now));
        let mounts = mounts.map(|(recipe, shelf)| (shelf.ready.len(), Work::Mount(recipe.clone())));
        let all = networks.chain(ipcs).chain(mounts);
        all.min_by_key(|(ready, _)| *ready).map(|(_, work)| work)
    }

    /// Of those that failed, the first that may be tried again.
    fn next_try(&self) -> Option<Instant> {
        let networks = self.networks.iter().map(Shelf::next_try);
        let ipcs = self.ipcs.iter().map(Shelf::next_try);
        let mounts = self.mounts.iter().map(|(_, shelf)| shelf.next_try());
        networks.chain(ipcs).chain(mounts).flatten().min()
    }
}

impl Shop {
    pub fn take_network(&self) -> Option<Network> {
        let mut shelves = self.shelves();
        let taken = shelves.networks.get_or_insert_default().take();
        self.wake(&mut shelves);
        taken
    }

    pub fn take_ipc(&self) -> Option<Ipc> {
        let mut shelves = self.shelves();
        let taken = shelves.ipcs.get_or_insert_default().take();
        self.wake(&mut shelves);
        taken
    }

    pub fn take_mount(&self, recipe: &Recipe) -> Option<OwnedFd> {
        let mut shelves = self.shelves();
        let mounts = &mut shelves.mounts;
        let known = mounts.iter().position(|(known, _)| known == recipe);
        let (recipe, mut shelf) = match known {
            Some(at) => mounts.remove(at),
            None => (recipe.clone(), Shelf::default()),
        };
        let taken = shelf.take();
        mounts.push((recipe, shelf));
        let forgotten = (mounts.len() > RECIPES).then(|| mounts.remove(0));
        self.wake(&mut shelves);
        drop(shelves);
        // The kernel takes its time to let go of file systems.
        drop(forgotten);
        taken
    }

    pub fn put_network(&self, made: io::Result<Network>) {
        let mut shelves = self.shelves();
        let shelf = shelves.networks.get_or_insert_default();
        shelf.put(made, Instant::now());
    }

    pub fn put_ipc(&self, made: io::Result<Ipc>) {
        let mut shelves = self.shelves();
        let shelf = shelves.ipcs.get_or_insert_default();
        shelf.put(made, Instant::now());
    }

    /// Of a recipe that is forgotten meanwhile, it is let go.
    pub fn put_mount(&self, recipe: &Recipe, made: io::Result<OwnedFd>) {
        let mut shelves = self.shelves();
        let mut mounts = shelves.mounts.iter_mut();
        if let Some((_, shelf)) = mounts.find(|(known, _)| known == recipe) {
            shelf.put(made, Instant::now());
        }
    }

    /// What is to be made next, when its time has come. `None` when nobody will ask any more.
    pub fn next(&self) -> Option<Work> {
        let mut shelves = self.shelves();
        while !shelves.is_closed {
            let now = Instant::now();
            match shelves.due(now) {
                Some(work) => return Some(work),
                None => shelves = self.wait(shelves, now),
            }
        }
        None
    }

    fn wait<'a>(
        &'a self,
        mut shelves: MutexGuard<'a, Shelves>,
        now: Instant,
    ) -> MutexGuard<'a, Shelves> {
        shelves.waits = true;
        let mut shelves = match shelves.next_try() {
            None => (self.changed.wait(shelves)).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let patience = at.saturating_duration_since(now);
                let woken = self.changed.wait_timeout(shelves, patience);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        shelves.waits = false;
        drop(shelves);
        thread::sleep(LATER);
        self.shelves()
    }

    pub fn close(&self) {
        let mut shelves = self.shelves();
        shelves.is_closed = true;
        self.wake(&mut shelves);
    }

    /// Once, however much is taken before the worker comes to look.
    fn wake(&self, shelves: &mut Shelves) {
        if std::mem::take(&mut shelves.waits) {
            self.changed.notify_one();
        }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // No panic leaves them half changed.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
