//! How a drain is begun, gone on with, taken back, and told.

use failpoint::{Point, reach};
use proto::error::chain;
use proto::link::{FromAgent, from_agent};
use proto::v1;

use super::{Event, Supervisor};
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::drain::{Drain, Moment, Wish};
use crate::executor::messages::Order;
use crate::task::actor::Message;
use crate::task::machine::Requester;

#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    #[error("this agent has never been registered, so there is nothing to drain: stop it instead")]
    NoAgent,
    #[error("cannot write down the drain, so it has not begun")]
    Checkpoint(#[from] CheckpointError),
    #[error("the agent is going away")]
    Leaving,
    #[error("the agent is handed over to another process just now: try again")]
    HandedOver,
}

impl Supervisor {
    /// On disk before anything is refused or killed: who was told of a drain can rely on it.
    pub(super) async fn on_drain(&mut self, wish: Option<Wish>) -> Result<(), DrainError> {
        // It may have read already whether it is to drain.
        if !self.is_the_agent() {
            return Err(DrainError::HandedOver);
        }
        let agent = self.book.info.id.as_ref().ok_or(DrainError::NoAgent)?;
        let file = self.host.paths.drain_config(&agent.value);
        let drain = wish.map(|wish| Drain::begun(&wish, &Moment::now()));
        let record = drain.clone();
        let written = tokio::task::spawn_blocking(move || match record {
            Some(record) => checkpoint::write(&file, &record, Durability::Reboot),
            None => checkpoint::remove(&file, Durability::Reboot),
        });
        written
            .await
            .map_err(|_interrupted| DrainError::Leaving)??;
        reach(Point::DrainWritten);
        match drain {
            Some(drain) => {
                tracing::info!(deadline = ?drain.left(&Moment::now()), "draining: no new tasks are taken");
                self.go_on_draining(drain);
            }
            None => {
                tracing::info!("the drain is taken back: tasks are taken again");
                self.book.drain = None;
            }
        }
        Ok(())
    }

    /// Also for what an earlier process of this agent has begun.
    pub fn go_on_draining(&mut self, drain: Drain) {
        let left = drain.left(&Moment::now());
        self.book.drain = Some(drain);
        match left {
            Some(left) if left.is_zero() => self.kill_for_drain(),
            Some(left) => {
                let events = self.events.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = tokio::time::sleep(left) => drop(events.send(Event::DrainDue).await),
                        () = events.closed() => {}
                    }
                });
            }
            None => {}
        }
    }

    /// The deadline of a drain, which may have been taken back since, or begun anew.
    pub(super) fn on_drain_due(&mut self) {
        let left = self.book.drain.as_ref().map(|it| it.left(&Moment::now()));
        match left {
            Some(Some(left)) if left.is_zero() => self.kill_for_drain(),
            // It is another's: that has its own.
            Some(_) | None => {}
        }
    }

    fn kill_for_drain(&self) {
        let Some(drain) = &self.book.drain else {
            return;
        };
        let max_grace = drain.max_grace();
        reach(Point::DrainDue);
        tracing::warn!(
            tasks = self.book.tasks_left(),
            "the deadline of the drain has come: killing what still runs"
        );
        for resident in self.tasks.values() {
            resident.tell(Message::Drain { max_grace });
        }
        let order = || Order::ShutDown {
            by: Requester::Drain,
            grace: max_grace,
        };
        self.tell_executors(|_| true, order);
        reach(Point::DrainKilled);
    }

    pub(super) fn drain_info(&self) -> Option<v1::DrainInfo> {
        let drain = self.book.drain.as_ref()?;
        Some(drain.info(self.book.tasks_left()))
    }

    /// Tells the master when that has changed: it offers nothing of an agent that drains.
    pub(super) fn tell_of_drain(&mut self) {
        let info = self.drain_info();
        if info == self.told_drain {
            return;
        }
        let Some(outgoing) = &self.outgoing else {
            return;
        };
        let message = FromAgent {
            message: Some(from_agent::Message::Drain(proto::link::Drain {
                drain_info: info,
            })),
        };
        match outgoing.try_send(message) {
            Ok(()) => {
                let state = info.as_ref().map(|info| info.state().as_str_name());
                tracing::info!(state, "told the master of the drain");
                self.told_drain = info;
                reach(Point::DrainTold);
            }
            // It is tried again with the next event, and with the next registration.
            Err(error) => tracing::debug!(error = chain(&error), "cannot tell of the drain yet"),
        }
    }
}
