//! One container of an engine: a task of the runtime watches it, everyone else asks.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use containerizer::{Observed, Snapshot, StatisticsError, Termination};
use engine::{Engine, ExecEnd, Inspected, Resources, Status};
use isolators::ContainerId;
use proto::error::chain;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::launch::DockerError;
use super::name;
use super::remover::Due;
use super::shared::Shared;
use crate::container::Begun;

/// How it is to end; a later one may only be harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    GoOn,
    Terminate,
    Kill,
}

/// A handle on one; clones name the same.
#[derive(Debug, Clone)]
pub struct Container(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub shared: Arc<Shared>,
    pub id: ContainerId,
    pub orders: watch::Sender<Order>,
    /// What the engine told last.
    pub seen: watch::Receiver<Option<Arc<Inspected>>>,
    pub end: watch::Receiver<Option<Termination>>,
    /// Once somebody wants its statistics.
    pub observed: OnceLock<Option<Observed>>,
}

impl Container {
    pub fn id(&self) -> &ContainerId {
        &self.0.id
    }

    pub fn inspected(&self) -> Option<Arc<Inspected>> {
        self.0.seen.borrow().clone()
    }

    pub fn pid(&self) -> u32 {
        self.inspected().map_or(0, |it| it.state.pid)
    }

    pub async fn wait(&self) -> Termination {
        let mut end = self.0.end.clone();
        match end.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(termination)) => termination,
            // It is left to another process, or the runtime is shutting down.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    pub async fn is_left(&self) -> bool {
        let mut end = self.0.end.clone();
        end.wait_for(Option::is_some).await.is_err()
    }

    pub fn terminate(&self) {
        self.order(Order::Terminate);
    }

    pub fn kill(&self) {
        self.order(Order::Kill);
    }

    fn order(&self, order: Order) {
        self.0.orders.send_if_modified(|now| {
            let is_harder = order > *now;
            if is_harder {
                *now = order;
            }
            is_harder
        });
    }

    /// The engine keeps it for a while, for who wants to look at it. Blocks.
    pub fn forget(&self) {
        let shared = &self.0.shared;
        shared.records.remove(self.id());
        let due = Due::after(name(self.id()), shared.settings.remove_delay);
        // Without anybody who removes it, the next agent does.
        let _ = shared.removals.send(due);
    }

    /// Changes what it may use. Blocks.
    pub fn update(&self, resources: &Resources) -> Result<(), DockerError> {
        let name = &*name(self.id());
        let ask = |engine: Engine| async move { engine.update(name, resources).await };
        Ok(Handle::current().block_on(self.0.shared.ask(ask))?)
    }

    /// A command beside its own; `most`: bytes of what it says. Who does not wait for its end leaves it to itself.
    pub async fn exec(
        &self,
        command: &[String],
        env: &[String],
        most: usize,
    ) -> Result<ExecEnd, DockerError> {
        let name = &*name(self.id());
        let ask = |engine: Engine| async move { engine.exec(name, command, env, most).await };
        Ok(self.0.shared.ask(ask).await?)
    }

    /// Does `work` in the container's network, on a thread of its own.
    pub async fn within_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let unknown = || io::Error::other("its engine does not tell its processes");
        let observed = self.observed().ok_or_else(unknown)?;
        observed.within_network(work).await
    }

    /// `None` of one whose processes are not known.
    pub fn snapshot(&self) -> Option<Result<Snapshot, StatisticsError>> {
        self.observed().map(Observed::snapshot)
    }

    fn observed(&self) -> Option<&Observed> {
        let pid = self.pid();
        if pid == 0 {
            return None;
        }
        let observe = || {
            let observed = self.0.shared.containerizer.as_ref()?.observe(pid);
            let observed = observed.inspect_err(
                |error| tracing::debug!(container = %self.id(), %error, "no statistics"),
            );
            observed.ok()
        };
        self.0.observed.get_or_init(observe).as_ref()
    }

    /// A launch that an earlier agent began goes on where it was cut.
    pub async fn begun(&self) -> Begun {
        let (shared, name) = (&self.0.shared, name(self.id()));
        let name = &*name;
        let inspected = match shared
            .insist(|engine: Engine| async move { engine.inspect(name).await })
            .await
        {
            Ok(inspected) => inspected,
            Err(error) if error.is_not_found() => return Begun::Cut,
            Err(error) => return Begun::Failed(chain(&error)),
        };
        if inspected.state.status != Status::Created {
            return Begun::Runs;
        }
        match shared
            .insist(|engine: Engine| async move { engine.start(name).await })
            .await
        {
            Ok(()) => {
                self.until_seen(Duration::from_secs(5)).await;
                Begun::Runs
            }
            Err(error) if error.is_not_found() => Begun::Cut,
            Err(error) => {
                self.kill();
                Begun::Failed(chain(&error))
            }
        }
    }

    /// Until the engine has told what is to be known of it while it runs.
    pub(super) async fn until_seen(&self, patience: Duration) {
        let mut seen = self.0.seen.clone();
        let is_known = |seen: &Option<Arc<Inspected>>| {
            let status = seen.as_ref().map(|it| it.state.status);
            status.is_some_and(|status| status != Status::Created)
        };
        let known = tokio::time::timeout(patience, seen.wait_for(is_known));
        // Without it a task runs all the same.
        let _ = known.await;
    }
}
