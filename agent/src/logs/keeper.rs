//! Looks after the logs of all tasks that run here: one owner, who knows when to look at which.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use proto::error::chain;
use tokio::sync::{Semaphore, mpsc};

use super::limits::{Limit, Limits};
use super::pace;
use super::rotate::{Done, RotateError, attend};
use crate::complaint::{Complaint, Untold};

/// Logs that are rotated at one time: it takes the disk, and tasks want that, too.
const HANDS: usize = 2;

/// Logs that one hand attends to in a row: those of an earlier agent come all at once, and most need nothing.
const AT_ONCE: usize = 64;

/// Those that are due within this time are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);

/// All of this process.
#[derive(Debug, Default)]
pub struct Counters {
    pub rotations: AtomicU64,
    pub rotated: AtomicU64,
    pub dropped: AtomicU64,
    pub failures: AtomicU64,
}

/// Where the keeper hears of tasks. Never waits.
#[derive(Debug, Clone)]
pub struct Keeper {
    words: mpsc::UnboundedSender<Word>,
    hands: Arc<Semaphore>,
}

/// What there is about a task whose logs are to be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    Now,
    /// By an agent that may have died in the middle of a rotation.
    Earlier,
}

#[derive(Debug)]
enum Word {
    Watch {
        sandbox: PathBuf,
        limits: Limits,
        begun: Begun,
    },
    Release {
        sandbox: PathBuf,
    },
    Looked(Vec<(Key, Look)>),
    Attended(Vec<(Key, Result<Done, RotateError>)>),
}

/// A log of a sandbox.
type Key = (Arc<Path>, &'static str);

/// How large a log is; `None` when it is not there.
type Look = Option<u64>;

#[derive(Debug)]
struct Watched {
    limit: Limit,
    /// Where its bytes began when it was rotated last.
    start: u64,
    size: u64,
    looked: Instant,
    due: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// It is being looked at, or rotated.
    Busy,
    /// The same, and its task has ended meanwhile: it is looked after once more.
    Ending,
    /// That is for the last time.
    Last,
}

impl Keeper {
    /// Ends when the last copy of the keeper has gone.
    pub fn start(counters: Arc<Counters>) -> Keeper {
        let (tell, words) = mpsc::unbounded_channel();
        let own = tell.downgrade();
        let hands = Arc::new(Semaphore::new(HANDS));
        let watch = Watch {
            logs: HashMap::new(),
            due: BTreeSet::new(),
            wanting: Vec::new(),
            counters,
            complaint: Complaint::default(),
            own,
            hands: Arc::clone(&hands),
        };
        tokio::spawn(watch.run(words));
        Keeper { words: tell, hands }
    }

    /// Touches no log any more once this has returned: another process looks after them.
    pub async fn rest(&self) {
        // Whoever rotates has one, and comes to an end first.
        let all = self.hands.acquire_many(HANDS as u32).await;
        self.hands.close();
        drop(all);
    }

    pub fn watch(&self, sandbox: &Path, limits: Limits, begun: Begun) {
        self.tell(Word::Watch {
            sandbox: sandbox.to_owned(),
            limits,
            begun,
        });
    }

    /// Its task writes no more: one look, and no other.
    pub fn release(&self, sandbox: &Path) {
        let sandbox = sandbox.to_owned();
        self.tell(Word::Release { sandbox });
    }

    fn tell(&self, word: Word) {
        if self.words.send(word).is_err() {
            tracing::debug!("nobody looks after logs any more");
        }
    }
}

impl Counters {
    fn count(&self, done: &Done) {
        self.rotations.fetch_add(done.rotations, Relaxed);
        self.rotated.fetch_add(done.rotated, Relaxed);
        self.dropped.fetch_add(done.dropped, Relaxed);
    }
}

struct Watch {
    logs: HashMap<Key, Watched>,
    due: BTreeSet<(Instant, Key)>,
    /// To be attended to, and given to no hand yet.
    wanting: Vec<(Key, Limit)>,
    counters: Arc<Counters>,
    /// Of all logs: what keeps one from being rotated keeps others, too.
    complaint: Complaint,
    own: mpsc::WeakUnboundedSender<Word>,
    hands: Arc<Semaphore>,
}

impl Watch {
    async fn run(mut self, mut words: mpsc::UnboundedReceiver<Word>) {
        let mut heard = Vec::new();
        loop {
            let next = self.due.first().map(|(due, _)| *due);
            tokio::select! {
                count = words.recv_many(&mut heard, AT_ONCE) => match count {
                    0 => return,
                    _ => heard.drain(..).for_each(|word| self.on_word(word)),
                },
                () = until(next) => self.look(),
            }
            self.hand_out();
        }
    }

    fn on_word(&mut self, word: Word) {
        match word {
            Word::Watch {
                sandbox,
                limits,
                begun,
            } => self.begin(&sandbox, &limits, begun),
            Word::Release { sandbox } => self.end(&sandbox),
            Word::Looked(looked) => {
                looked
                    .iter()
                    .for_each(|(key, look)| self.on_looked(key, *look));
            }
            Word::Attended(attended) => {
                for (key, attended) in attended {
                    self.on_attended(&key, attended);
                }
            }
        }
    }

    fn begin(&mut self, sandbox: &Path, limits: &Limits, begun: Begun) {
        let sandbox: Arc<Path> = sandbox.into();
        for (log, limit) in [("stdout", limits.stdout), ("stderr", limits.stderr)] {
            let Some(limit) = limit else { continue };
            let (key, now) = ((Arc::clone(&sandbox), log), Instant::now());
            let watched = Watched {
                limit,
                start: 0,
                size: 0,
                looked: now,
                due: now,
                state: State::Waiting,
            };
            self.logs.insert(key.clone(), watched);
            match begun {
                Begun::Now => self.schedule(&key, pace::SHORTEST),
                Begun::Earlier => self.attend(&key),
            }
        }
    }

    fn end(&mut self, sandbox: &Path) {
        let sandbox: Arc<Path> = sandbox.into();
        for log in ["stdout", "stderr"] {
            let key = (Arc::clone(&sandbox), log);
            let Some(watched) = self.logs.get_mut(&key) else {
                continue;
            };
            self.due.remove(&(watched.due, key.clone()));
            match watched.state {
                State::Waiting => {
                    watched.state = State::Last;
                    self.attend(&key);
                }
                State::Busy => watched.state = State::Ending,
                State::Ending | State::Last => {}
            }
        }
    }

    fn schedule(&mut self, key: &Key, wait: Duration) {
        let Some(watched) = self.logs.get_mut(key) else {
            return;
        };
        match watched.state {
            State::Waiting | State::Busy => {
                watched.state = State::Waiting;
                watched.due = Instant::now() + wait;
                self.due.insert((watched.due, key.clone()));
            }
            State::Ending => {
                watched.state = State::Last;
                self.attend(key);
            }
            State::Last => drop(self.logs.remove(key)),
        }
    }

    /// At all that are due.
    fn look(&mut self) {
        let until = Instant::now() + TOGETHER;
        let mut keys = Vec::new();
        while self.due.first().is_some_and(|(due, _)| *due <= until) {
            let Some((_, key)) = self.due.pop_first() else {
                break;
            };
            if let Some(watched) = self.logs.get_mut(&key) {
                watched.state = State::Busy;
                keys.push(key);
            }
        }
        let Some(own) = self.own.upgrade() else {
            return;
        };
        tokio::task::spawn_blocking(move || {
            let look = |key: Key| {
                let look = size(&key);
                (key, look)
            };
            // The keeper may have gone.
            let _ = own.send(Word::Looked(keys.into_iter().map(look).collect()));
        });
    }

    fn on_looked(&mut self, key: &Key, look: Look) {
        let Some(watched) = self.logs.get_mut(key) else {
            return;
        };
        let (now, size) = (Instant::now(), look.unwrap_or(0));
        let grown = size.saturating_sub(watched.size);
        let waited = now.duration_since(watched.looked);
        (watched.looked, watched.size) = (now, size);
        // A file that is shorter was emptied, or is another one.
        let left = size.checked_sub(watched.start);
        match left.and_then(|bytes| watched.limit.size.checked_sub(bytes)) {
            Some(left) if left > 0 => self.schedule(key, pace::next(left, grown, waited)),
            _ => self.attend(key),
        }
    }

    fn on_attended(&mut self, key: &Key, attended: Result<Done, RotateError>) {
        let Some(watched) = self.logs.get_mut(key) else {
            return;
        };
        watched.looked = Instant::now();
        let wait = match attended {
            Ok(done) => {
                (watched.start, watched.size) = (done.start, done.size);
                self.counters.count(&done);
                pace::SHORTEST
            }
            Err(error) => {
                self.counters.failures.fetch_add(1, Relaxed);
                let error = chain(&error);
                match self.complaint.renew(Instant::now()) {
                    Some(Untold(untold)) => {
                        tracing::warn!(error, untold, "a log is not rotated; tried again");
                    }
                    None => tracing::debug!(error, "a log is not rotated; tried again"),
                }
                pace::LONGEST
            }
        };
        self.schedule(key, wait);
    }

    fn attend(&mut self, key: &Key) {
        let Some(watched) = self.logs.get_mut(key) else {
            return;
        };
        if watched.state == State::Waiting {
            watched.state = State::Busy;
        }
        self.wanting.push((key.clone(), watched.limit));
    }

    /// To all hands, so that each has as few as there can be.
    fn hand_out(&mut self) {
        let Some(own) = self.own.upgrade() else {
            return;
        };
        let mut wanting = std::mem::take(&mut self.wanting);
        let share = wanting.len().div_ceil(HANDS).min(AT_ONCE);
        while !wanting.is_empty() {
            let rest = wanting.split_off(share.min(wanting.len()));
            let logs = std::mem::replace(&mut wanting, rest);
            let (own, hands) = (own.clone(), Arc::clone(&self.hands));
            tokio::spawn(async move {
                // The keeper rests.
                let Ok(hand) = hands.acquire_owned().await else {
                    return;
                };
                tokio::task::spawn_blocking(move || {
                    let attended = |(key, limit): (Key, Limit)| {
                        let attended = attend(&key.0, key.1, limit);
                        (key, attended)
                    };
                    let attended = logs.into_iter().map(attended).collect();
                    drop(hand);
                    // The keeper may have gone.
                    let _ = own.send(Word::Attended(attended));
                });
            });
        }
    }
}

/// Of a log that is a plain file.
fn size((sandbox, log): &Key) -> Look {
    let metadata = fs::symlink_metadata(sandbox.join(log)).ok()?;
    metadata.is_file().then_some(metadata.len())
}

async fn until(next: Option<Instant>) {
    match next {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
