//! The one task that owns the engine. Everyone else sends.
//!
//! What has arrived together is handled together: one commit, and only after it calls and answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::app::Timestamp;
use crate::engine::{Call, Change, Checkup, Done, Effects, Engine, Event, Refusal};
use crate::events::Listeners;
use crate::store::{Store, StoreError};

/// How much is handled before it is committed.
const BATCH: usize = 256;

enum Request {
    Change(Box<Change>, Answer),
    View(Look),
}

type Look = Box<dyn FnOnce(&Engine, Timestamp) + Send>;
type Answer = oneshot::Sender<Result<Done, Refusal>>;

/// A door to the engine.
#[derive(Clone)]
pub struct Service {
    requests: mpsc::Sender<Request>,
}

/// The engine has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler has stopped (its log says why): it answers again once it is started anew")]
pub struct Stopped;

impl<T> From<mpsc::error::SendError<T>> for Stopped {
    fn from(_request: mpsc::error::SendError<T>) -> Self {
        Stopped
    }
}

impl From<oneshot::error::RecvError> for Stopped {
    fn from(_no_answer: oneshot::error::RecvError) -> Self {
        Stopped
    }
}

/// What the owner of the engine is connected with.
pub struct Wiring {
    pub store: Arc<Store>,
    pub events: mpsc::Receiver<Event>,
    pub calls: mpsc::Sender<Vec<Call>>,
    pub framework_id: watch::Sender<Option<String>>,
    pub checkups: mpsc::UnboundedSender<Checkup>,
    pub listeners: Listeners,
}

impl Service {
    /// The door, and the task behind it; that ends when the last door is gone or the store fails.
    pub fn new(
        engine: Engine,
        clock: Clock,
        wiring: Wiring,
    ) -> (Self, impl Future<Output = Result<(), StoreError>>) {
        let (requests, inbox) = mpsc::channel(BATCH);
        (Self { requests }, own(engine, clock, wiring, inbox))
    }

    /// Whether the engine has stopped: then nothing will be answered again.
    pub fn is_stopped(&self) -> bool {
        self.requests.is_closed()
    }

    /// Returns when the change is stored.
    pub async fn change(&self, change: Change) -> Result<Result<Done, Refusal>, Stopped> {
        let (answer, done) = oneshot::channel();
        let request = Request::Change(Box::new(change), answer);
        self.requests.send(request).await?;
        Ok(done.await?)
    }

    /// What `look` makes of the engine. It runs in the engine's task: no waiting, no long work.
    pub async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, seen) = oneshot::channel();
        let request = Request::View(Box::new(move |engine, now| {
            // Nobody waits any more: then nothing is lost.
            let _ = answer.send(look(engine, now));
        }));
        self.requests.send(request).await?;
        Ok(seen.await?)
    }
}

/// Wall time at start plus monotonic time since: never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Timestamp,
    since: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            began: Timestamp::now(),
            since: Instant::now(),
        }
    }

    pub fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.began.millis().saturating_add(millis))
    }

    fn until(&self, moment: Timestamp) -> Duration {
        let millis = moment.millis().saturating_sub(self.now().millis());
        // One more, since `now` is cut to the millisecond.
        Duration::from_millis(u64::try_from(millis).unwrap_or(0) + 1)
    }
}

async fn own(
    mut engine: Engine,
    clock: Clock,
    mut wiring: Wiring,
    mut inbox: mpsc::Receiver<Request>,
) -> Result<(), StoreError> {
    let mut first = Input::Event(Event::Tick);
    loop {
        let mut batch = Batch::default();
        batch.take(first, &mut engine, &clock);
        for _ in 1..BATCH {
            let request = || inbox.try_recv().ok().map(Input::Request);
            let more = wiring
                .events
                .try_recv()
                .ok()
                .map(Input::Event)
                .or_else(request);
            let Some(input) = more else { break };
            batch.take(input, &mut engine, &clock);
        }
        batch.commit(&engine, &wiring, clock.now()).await?;
        let alarm = engine.next_alarm().map_or(IDLE, |at| clock.until(at));
        first = tokio::select! {
            Some(event) = wiring.events.recv() => Input::Event(event),
            request = inbox.recv() => match request {
                Some(request) => Input::Request(request),
                None => return Ok(()),
            },
            () = tokio::time::sleep(alarm) => Input::Event(Event::Tick),
        };
    }
}

const IDLE: Duration = Duration::from_secs(3600);

enum Input {
    Event(Event),
    Request(Request),
}

/// What several inputs led to.
#[derive(Default)]
struct Batch {
    effects: Effects,
    answers: Vec<(Answer, Result<Done, Refusal>)>,
}

impl Batch {
    fn take(&mut self, input: Input, engine: &mut Engine, clock: &Clock) {
        let now = clock.now();
        match input {
            Input::Event(event) => self.effects.extend(engine.step(event, now)),
            Input::Request(Request::View(look)) => look(engine, now),
            Input::Request(Request::Change(change, answer)) => {
                let result = engine.change(*change, now).map(|(done, effects)| {
                    self.effects.extend(effects);
                    done
                });
                self.answers.push((answer, result));
            }
        }
    }

    async fn commit(
        self,
        engine: &Engine,
        wiring: &Wiring,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Effects {
            writes,
            calls,
            checkups,
            notices,
        } = self.effects;
        if !writes.is_empty() {
            let store = Arc::clone(&wiring.store);
            let written = tokio::task::spawn_blocking(move || store.apply(&writes)).await;
            match written {
                Ok(result) => result?,
                // Whether it was stored is unknown, so nothing may follow from it.
                Err(stopped) if stopped.is_panic() => {
                    std::panic::resume_unwind(stopped.into_panic())
                }
                // The runtime is shutting down: nothing was promised yet.
                Err(_cancelled) => return Ok(()),
            }
        }
        let id = engine.framework_id();
        wiring.framework_id.send_if_modified(|known| {
            let is_new = known.as_deref() != id;
            if is_new {
                *known = id.map(str::to_owned);
            }
            is_new
        });
        if !calls.is_empty() && wiring.calls.send(calls).await.is_err() {
            tracing::debug!("no connection to the master is kept any more");
        }
        for checkup in checkups {
            // Whoever makes them ends with the runtime.
            let _ = wiring.checkups.send(checkup);
        }
        wiring.listeners.tell(&notices, now);
        for (answer, result) in self.answers {
            // A client that hung up misses its answer, nothing else.
            let _ = answer.send(result);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use clap::Parser as _;
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;
    use serde_json::json;

    use super::*;
    use crate::app::App;

    /// A disk that is full from some moment on.
    #[derive(Debug)]
    struct Disk {
        memory: InMemoryBackend,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            match self.is_full.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.memory.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.memory.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room().and_then(|()| self.memory.set_len(len))
        }
        fn sync_data(&self) -> io::Result<()> {
            self.room().and_then(|()| self.memory.sync_data())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.memory.write(offset, data))
        }
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: crate::Flags,
    }

    #[tokio::test]
    async fn a_full_disk_ends_the_engine_and_its_door_shows_it() {
        let is_full = Arc::new(AtomicBool::new(false));
        let disk = Disk {
            memory: InMemoryBackend::new(),
            is_full: Arc::clone(&is_full),
        };
        let store = Arc::new(Store::on(disk).unwrap());
        let flags = Cli::parse_from(["scheduler", "--master=127.0.0.1:5050"]).flags;
        let clock = Clock::start();
        let snapshot = store.load().unwrap();
        let engine = Engine::new(flags.engine(), rand::random(), snapshot, clock.now());
        let (_events, incoming) = mpsc::channel(1);
        let (calls, _outgoing) = mpsc::channel(1);
        let wiring = Wiring {
            store,
            events: incoming,
            calls,
            framework_id: watch::Sender::new(None),
            checkups: mpsc::unbounded_channel().0,
            listeners: Listeners::default(),
        };
        let (service, owner) = Service::new(engine, clock, wiring);
        let owner = tokio::spawn(owner);
        let create = |id: &str| Change::Create {
            app: Box::new(App::create(&json!({"id": id, "cmd": "true"})).unwrap()),
            force: false,
        };
        service.change(create("/a")).await.unwrap().unwrap();
        assert!(!service.is_stopped());

        is_full.store(true, Ordering::SeqCst);
        assert!(service.change(create("/b")).await.is_err());
        let outcome = owner.await.unwrap();
        assert!(matches!(outcome, Err(StoreError::Write { .. })));
        assert!(service.is_stopped());
    }
}
