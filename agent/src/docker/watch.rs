//! Watches one container until its end, and has it end when that is asked for.

use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use containerizer::Termination;
use engine::{Engine, EngineError, Inspected, Status};
use isolators::ContainerId;
use nix::libc;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::container::{Container, Inner, Order};
use super::ending::termination;
use super::name;
use super::output::{self, Follow};
use super::shared::{Hand, Shared};

/// Between two looks at one of which nothing else tells that it has changed.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Now,
    /// An earlier process has begun it, and may not have come to start it.
    Earlier,
}

struct Watcher {
    shared: Arc<Shared>,
    id: ContainerId,
    name: String,
    since: Since,
    orders: watch::Receiver<Order>,
    seen: watch::Sender<Option<Arc<Inspected>>>,
    _hand: Hand,
}

pub fn begin(shared: &Arc<Shared>, id: ContainerId, sandbox: PathBuf, since: Since) -> Container {
    let (orders, ordered) = watch::channel(Order::GoOn);
    let (tell, seen) = watch::channel(None);
    let (ended, end) = watch::channel(None);
    let watcher = Watcher {
        shared: Arc::clone(shared),
        name: name(&id),
        id: id.clone(),
        since,
        orders: ordered,
        seen: tell,
        _hand: shared.hand(),
    };
    tokio::spawn(async move {
        if let Some(termination) = watcher.run(sandbox).await {
            ended.send_replace(Some(termination));
        }
    });
    Container(Arc::new(Inner {
        shared: Arc::clone(shared),
        id,
        orders,
        seen,
        end,
        observed: OnceLock::new(),
    }))
}

impl Watcher {
    /// `None` when it is left to another process.
    async fn run(self, sandbox: PathBuf) -> Option<Termination> {
        let (over, is_over) = watch::channel(false);
        let follow = Follow {
            shared: Arc::clone(&self.shared),
            id: self.id.clone(),
            name: self.name.clone(),
            sandbox,
            is_over,
        };
        let following = tokio::spawn(output::follow(follow));
        let ended = tokio::select! {
            ended = self.until_ended() => Some(ended),
            () = self.shared.is_left() => None,
        };
        over.send_replace(true);
        if let Err(error) = following.await {
            tracing::warn!(container = %self.id, %error, "nobody follows the output of a container");
        }
        ended
    }

    async fn until_ended(&self) -> Termination {
        tokio::select! {
            termination = self.look() => termination,
            // Never ends.
            () = self.obey() => pending().await,
        }
    }

    /// What the engine says, until it says that it has ended.
    async fn look(&self) -> Termination {
        loop {
            let inspected = match self.inspect().await {
                Ok(inspected) => Arc::new(inspected),
                Err(error) if error.is_not_found() => return termination(None),
                Err(error) => {
                    self.shared.complain(&error);
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let status = inspected.state.status;
            self.seen.send_replace(Some(Arc::clone(&inspected)));
            if status.has_ended() {
                return termination(Some(&inspected));
            }
            if status == Status::Created && self.since == Since::Earlier {
                // Nobody else will start or remove it, but for who asks how its launch went.
                if *self.orders.borrow() == Order::Kill {
                    self.remove().await;
                }
                sleep(PAUSE).await;
                continue;
            }
            let name = &*self.name;
            match self
                .shared
                .ask(|engine: Engine| async move { engine.wait(name).await })
                .await
            {
                Ok(_status) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => self.shared.complain(&error),
            }
            // One that the engine is slow to tell about is not asked for all the time.
            sleep(PAUSE / 10).await;
        }
    }

    async fn inspect(&self) -> Result<Inspected, EngineError> {
        let name = &*self.name;
        let ask = |engine: Engine| async move { engine.inspect(name).await };
        self.shared.insist(ask).await
    }

    async fn remove(&self) {
        let name = &*self.name;
        let ask = |engine: Engine| async move { engine.remove(name).await };
        if let Err(error) = self.shared.insist(ask).await {
            tracing::debug!(container = %self.id, %error, "an engine keeps a container for now");
        }
    }

    /// Never ends.
    async fn obey(&self) {
        let mut orders = self.orders.clone();
        loop {
            let order = *orders.borrow_and_update();
            let carried_out = async {
                self.carry_out(order).await;
                pending::<()>().await;
            };
            tokio::select! {
                // A harder one does not wait for the engine to have heard the one before.
                Ok(()) = orders.changed() => {}
                // Also when nobody is left who could ask for another.
                () = carried_out => {}
            }
        }
    }

    async fn carry_out(&self, order: Order) {
        match order {
            Order::GoOn => {}
            Order::Terminate => self.signal(self.stop_signal()).await,
            Order::Kill => self.signal(libc::SIGKILL).await,
        }
    }

    /// Until the engine has heard it.
    async fn signal(&self, signal: i32) {
        let name = &*self.name;
        let ask = |engine: Engine| async move { engine.kill(name, signal).await };
        match self.shared.insist(ask).await {
            Ok(()) => {}
            // It has ended.
            Err(error) if error.is_conflict() || error.is_not_found() => {}
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(container = %self.id, signal, error, "cannot signal a container");
            }
        }
    }

    /// That its image names, or the task.
    fn stop_signal(&self) -> i32 {
        let seen = self.seen.borrow();
        let named = seen
            .as_ref()
            .and_then(|it| it.whole.pointer("/Config/StopSignal"));
        stop_signal(named.and_then(Value::as_str).unwrap_or_default())
    }
}

/// A name, with or without SIG, or a number.
fn stop_signal(text: &str) -> i32 {
    let number = text.parse().ok().filter(|number| (1..=64).contains(number));
    number.unwrap_or_else(|| {
        let name = text.trim_start_matches("SIG");
        let known: Option<Signal> = format!("SIG{name}").parse().ok();
        known.unwrap_or(Signal::SIGTERM) as i32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_may_name_the_signal_that_ends_it() {
        let table = [
            ("", libc::SIGTERM),
            ("SIGQUIT", libc::SIGQUIT),
            ("INT", libc::SIGINT),
            ("10", 10),
            ("0", libc::SIGTERM),
            ("nonsense", libc::SIGTERM),
        ];
        for (text, signal) in table {
            assert_eq!(stop_signal(text), signal, "{text}");
        }
    }
}
