//! A running agent, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use failpoint::{Point, reach};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::checkpoint::{self, Durability};
use crate::ground::Ground;
use crate::networks::Watching;
use crate::supervisor::{Dismissal, Event, Farewell, Leaving};
use crate::task::launch::Host;

/// How long the last words to the master may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// A running agent. Dropping it does not end it: say `stop` or `destroy`.
#[derive(Debug)]
pub struct Handle {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) id: watch::Receiver<Option<String>>,
    pub(super) dismissal: watch::Receiver<Option<Dismissal>>,
    pub(super) supervisor: JoinHandle<()>,
    pub(super) link: JoinHandle<()>,
    pub(super) collector: JoinHandle<()>,
    /// Tells the collector that its next pause is its last.
    pub(super) rest: watch::Sender<bool>,
    pub(super) orphans: Vec<JoinHandle<()>>,
    pub(super) host: Arc<Host>,
    /// Ends with this.
    pub(super) _watching: Watching,
    pub(super) destroy_timeout: Duration,
    pub(super) ground: Ground,
}

impl Handle {
    /// Where the agent's HTTP API is reached.
    pub fn address(&self) -> SocketAddr {
        self.ground.address
    }

    pub(crate) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Given by the master; `None` before the first registration.
    pub fn agent_id(&self) -> Option<String> {
        self.id.borrow().clone()
    }

    /// Waits until the master has taken the agent, and returns its id; `None` if it never will.
    pub async fn registered(&self) -> Option<String> {
        let mut id = self.id.clone();
        let id = id.wait_for(Option::is_some).await.ok()?;
        id.clone()
    }

    /// Waits until the master dismisses the agent: one that was told to shut down is to be destroyed,
    /// one that was refused only stopped, for its tasks may belong to another master.
    pub async fn dismissed(&self) -> Option<Dismissal> {
        let mut dismissal = self.dismissal.clone();
        let dismissal = dismissal.wait_for(Option::is_some).await.ok()?;
        dismissal.clone()
    }

    /// The agent goes away. Tasks of frameworks that checkpoint keep running, for the next one.
    pub async fn stop(mut self) {
        self.leave(Leaving::Stop).await;
        self.host.docker.leave().await;
        self.link.abort();
        self.ground.abandon();
        self.collector.abort();
        reach(Point::Left);
        self.host.remove_cgroups_root().await;
        drop(self.ground);
    }

    /// Kills every task, waits until nothing is left of them, and leaves the cluster.
    pub async fn destroy(mut self) {
        let farewell = self.leave(Leaving::Destroy).await;
        let mut link = self.link;
        if farewell == Farewell::OnItsWay {
            // The link ends by itself once it has passed that on.
            let ended = tokio::time::timeout(FAREWELL, &mut link).await;
            tracing::debug!(
                in_time = ended.is_ok(),
                "told the master that this agent leaves"
            );
        }
        link.abort();
        self.ground.abandon();
        self.collector.abort();
        let orphans = futures_util::future::join_all(std::mem::take(&mut self.orphans));
        if tokio::time::timeout(self.destroy_timeout, orphans)
            .await
            .is_err()
        {
            tracing::error!("containers that belong to no task would not end in time");
        }
        self.host.docker.leave().await;
        // The id is spent: the next start is a new agent.
        let latest = self.host.paths.latest_agent();
        let forget = move || checkpoint::remove(&latest, Durability::Reboot);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(forget).await {
            let error = proto::error::chain(&error);
            tracing::warn!(error, "cannot forget the agent id");
        }
        self.host.remove_cgroups_root().await;
        drop(self.ground);
    }

    async fn leave(&mut self, how: Leaving) -> Farewell {
        let (done, left) = oneshot::channel();
        if self.events.send(Event::Leave { how, done }).await.is_err() {
            return Farewell::Unsaid;
        }
        let farewell = tokio::time::timeout(self.destroy_timeout, left).await;
        self.supervisor.abort();
        // It has a share in the lock. Ended or aborted, it is gone.
        let _ = (&mut self.supervisor).await;
        match farewell {
            Ok(farewell) => farewell.unwrap_or(Farewell::Unsaid),
            Err(_elapsed) => {
                tracing::error!("tasks of this agent would not end in time");
                Farewell::Unsaid
            }
        }
    }
}
