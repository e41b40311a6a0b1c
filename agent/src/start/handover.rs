//! The agent lets go of what runs, for another process to take over; or takes it up again.

use std::time::Duration;

use proto::link::to_agent::Message as Order;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Entry, Handle, Prepared, StartError, begin};
use crate::ground::Ground;
use crate::supervisor::{Dismissal, Event};

/// A launch that hangs is given up after its own time; what comes then is short.
const AFTER_LAUNCHES: Duration = Duration::from_secs(10);

/// For the last records, a look at the node, and rotations: each takes some milliseconds, on a machine
/// that is busy some more.
const LETTING_GO: Duration = Duration::from_secs(20);

/// A master that has taken another link ends the one before at once.
const HEARING_OUT: Duration = Duration::from_secs(5);

/// Why not all is as it should be that was let go of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clinging {
    /// Something may be half done.
    Late,
    /// Something that is known is not on the disk.
    Unwritten(String),
}

/// The agent, when nothing that runs is in its hands any more. It answers for what it knew then.
#[derive(Debug)]
pub struct Relieved {
    pub ground: Ground,
    pub orders: Orders,
    supervisor: JoinHandle<()>,
}

/// What the master says to an agent that does not act any more.
#[derive(Debug)]
pub struct Orders {
    events: mpsc::Sender<Event>,
    link: JoinHandle<()>,
}

impl Handle {
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    pub fn ground_mut(&mut self) -> &mut Ground {
        &mut self.ground
    }

    /// For how long `settle` may be waited for.
    pub fn settling(&self) -> Duration {
        self.host.start_timeout + AFTER_LAUNCHES
    }

    /// Begins no task any more. What is returned says when no launch is under way.
    pub async fn settle(&self) -> oneshot::Receiver<()> {
        let (settled, says) = oneshot::channel();
        // An agent that has gone answers nothing.
        let _ = self.events.send(Event::Settle(settled)).await;
        says
    }

    /// Writes down what is only known to this process. What is returned says when that is done, or why it
    /// cannot be: then nothing has changed but what there was room for.
    pub async fn write_down(&self) -> oneshot::Receiver<Result<(), String>> {
        let (written, says) = oneshot::channel();
        // An agent that has gone answers nothing.
        let _ = self.events.send(Event::WriteDown(written)).await;
        says
    }

    /// Carries out `first`, and then what was held back.
    pub async fn resume(&self, first: Vec<Order>) {
        let _ = self.events.send(Event::Resume(first)).await;
    }

    /// Whether the master knows of it now.
    pub async fn is_registered(&self) -> bool {
        let (ask, answer) = oneshot::channel();
        let _ = self.events.send(Event::Snapshot(ask)).await;
        answer.await.is_ok_and(|book| book.master.is_some())
    }

    /// Waits until the master has taken this agent, which it may have known long before.
    pub async fn registered_anew(&self) -> Result<(), Dismissal> {
        let mut id = self.id.clone();
        tokio::select! {
            // Without a supervisor the agent is dismissed, or broken.
            Ok(()) = id.changed() => Ok(()),
            Some(dismissal) = self.dismissed() => Err(dismissal),
        }
    }

    /// Lets go of all that runs, when nothing is half done.
    pub async fn relieve(self) -> (Relieved, Result<(), Clinging>) {
        let Handle {
            events,
            supervisor,
            link,
            collector,
            rest,
            orphans,
            host,
            ground,
            ..
        } = self;
        orphans.iter().for_each(JoinHandle::abort);
        rest.send_replace(true);
        host.containerizer.leave();
        host.networks.leave();
        let let_go = async {
            host.docker.leave().await;
            let (relieved, says) = oneshot::channel();
            let _ = events.send(Event::Relieve(relieved)).await;
            // Only with the supervisor this is not answered.
            let written = says.await.unwrap_or(Ok(()));
            host.keeper.rest().await;
            // One that broke off has ended, too.
            let _ = collector.await;
            written.map_err(Clinging::Unwritten)
        };
        let let_go = tokio::time::timeout(LETTING_GO, let_go).await;
        let relieved = Relieved {
            ground,
            orders: Orders { events, link },
            supervisor,
        };
        (relieved, let_go.unwrap_or(Err(Clinging::Late)))
    }
}

impl Orders {
    /// What the master has ordered since the agent began to let go. The link ends with the master's taking
    /// another; if it does not, whatever is still on it is lost.
    pub async fn hear_out(&mut self) -> Vec<Order> {
        match tokio::time::timeout(HEARING_OUT, self.all()).await {
            Ok(orders) => orders,
            Err(_elapsed) => {
                self.link.abort();
                let down = Event::Link(crate::link::Event::Down);
                // Without a supervisor there is nothing to hear.
                let _ = self.events.send(down).await;
                self.all().await
            }
        }
    }

    async fn all(&self) -> Vec<Order> {
        let (ask, answer) = oneshot::channel();
        let _ = self.events.send(Event::HearOut(ask)).await;
        answer.await.unwrap_or_default()
    }
}

impl Relieved {
    /// Takes everything up again. `taken` are orders that were taken out already.
    pub async fn recover(
        self,
        prepared: Prepared,
        taken: Vec<Order>,
    ) -> Result<Handle, StartError> {
        let Relieved {
            ground,
            mut orders,
            supervisor,
        } = self;
        if let Err(error) = ground.lock.own() {
            tracing::warn!(%error, "cannot write this process into the agent's locks");
        }
        // The link of the new life first: the master ends the one before with it.
        let handle = begin(prepared, ground, Entry::Relief).await?;
        let held = orders.hear_out().await;
        supervisor.abort();
        handle.resume(taken.into_iter().chain(held).collect()).await;
        Ok(handle)
    }
}
