//! What all containers of an engine have in common.

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use containerizer::Containerizer;
use engine::{Engine, EngineError};
use tokio::sync::{SetOnce, mpsc};
use tokio::time::{Instant, sleep};

use super::record::Records;
use super::remover::Due;
use crate::complaint::{Complaint, Untold};

/// For an answer to begin, where the engine has nothing to wait for but itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether an engine is there at all, a launch asks; who runs a task is not to depend on more.
const REACHING: Duration = Duration::from_secs(2);

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Settings {
    pub socket: PathBuf,
    pub remove_delay: Duration,
    pub kills_orphans: bool,
    pub owner: String,
}

#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub records: Records,
    /// Who looks at what a container uses.
    pub containerizer: Option<Containerizer>,
    /// What is to be removed, and when.
    pub removals: mpsc::UnboundedSender<Due>,
    /// For who carries them out.
    pub(super) due: Mutex<Option<mpsc::UnboundedReceiver<Due>>>,
    engine: Mutex<Option<Engine>>,
    complaint: Complaint,
    /// Another process has the containers from now on.
    left: SetOnce<()>,
    /// One for each thing that is done for a container.
    hands: Mutex<Option<mpsc::Sender<Infallible>>>,
    idle: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

/// Somebody does something for a container that another process must not do at the same time.
#[derive(Debug, Clone)]
pub struct Hand(
    #[expect(dead_code, reason = "it is held, and that is all")] Option<mpsc::Sender<Infallible>>,
);

impl Shared {
    pub fn new(
        settings: Settings,
        records: Records,
        containerizer: Option<Containerizer>,
    ) -> Arc<Shared> {
        let (removals, due) = mpsc::unbounded_channel();
        let (hand, idle) = mpsc::channel(1);
        Arc::new(Shared {
            settings,
            records,
            containerizer,
            removals,
            due: Mutex::new(Some(due)),
            engine: Mutex::default(),
            complaint: Complaint::default(),
            left: SetOnce::new(),
            hands: Mutex::new(Some(hand)),
            idle: tokio::sync::Mutex::new(idle),
        })
    }

    pub async fn is_left(&self) {
        self.left.wait().await;
    }

    pub async fn leave(&self) {
        // A second time changes nothing.
        let _ = self.left.set(());
        drop(lock(&self.hands).take());
        while self.idle.lock().await.recv().await.is_some() {}
    }

    pub fn hand(&self) -> Hand {
        Hand(lock(&self.hands).clone())
    }

    pub async fn is_reachable(&self) -> bool {
        let answers = async { self.connected(REACHING).await?.ping().await };
        match tokio::time::timeout(REACHING, answers).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let error = proto::error::chain(&error);
                tracing::debug!(error, "no Docker Engine");
                false
            }
            Err(_elapsed) => false,
        }
    }

    async fn connected(&self, patience: Duration) -> Result<Engine, EngineError> {
        if let Some(engine) = lock(&self.engine).clone() {
            return Ok(engine);
        }
        let connecting = Engine::connect_within(&self.settings.socket, PATIENCE);
        let engine = match tokio::time::timeout(patience, connecting).await {
            Ok(engine) => engine?,
            Err(_elapsed) => {
                return Err(EngineError::Slow {
                    what: "tell its version".to_owned(),
                    socket: self.settings.socket.clone(),
                    after: patience,
                });
            }
        };
        *lock(&self.engine) = Some(engine.clone());
        Ok(engine)
    }

    /// Asks once.
    pub async fn ask<T, F>(&self, ask: impl Fn(Engine) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let answer = match self.connected(PATIENCE).await {
            Ok(engine) => ask(engine).await,
            Err(error) => Err(error),
        };
        if answer.as_ref().is_err_and(EngineError::is_passing) {
            // Who comes back may be another version.
            lock(&self.engine).take();
        }
        answer
    }

    /// Asks until there is an answer, however long that takes.
    pub async fn insist<T, F>(&self, ask: impl Fn(Engine) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        loop {
            match self.ask(&ask).await {
                Err(error) if error.is_passing() => self.complain(&error),
                answer => {
                    self.is_well_again();
                    return answer;
                }
            }
            sleep(AGAIN).await;
        }
    }

    fn is_well_again(&self) {
        if let Some(Untold(untold)) = self.complaint.settle() {
            tracing::info!(untold, "the Docker Engine answers again");
        }
    }

    /// Of all containers: what keeps one from an answer keeps others, too.
    pub fn complain(&self, error: &EngineError) {
        let error = proto::error::chain(error);
        match self.complaint.renew(Instant::now().into_std()) {
            Some(Untold(untold)) => tracing::warn!(
                error,
                untold,
                "the Docker Engine does not answer: it is asked again, and its containers go on"
            ),
            None => tracing::debug!(error, "the Docker Engine does not answer"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each is changed at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
