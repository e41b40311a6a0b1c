//! Looks after what is there: rules that somebody has flushed come back at once, and so does a bridge that
//! somebody has deleted; and what containers had that are no more is free again. For plugins, which may take
//! long, nothing of that waits.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use containerizer::Containerizer;
use futures_util::future::select_all;
use isolators::ContainerId;
use network::Watch;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::Networks;

const INTERVAL: Duration = Duration::from_secs(60);
/// Looks from one to the next at which plugins take away what is nobody's.
const COLLECTING: u64 = 60;
/// Between two looks: who changes rules changes many of them.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells when there is something to be read, and reads it.
struct Sight {
    watch: Watch,
    readable: Vec<AsyncFd<OwnedFd>>,
}

fn open(table: &str) -> io::Result<Sight> {
    let watch = Watch::open(table)?;
    let copies = watch.descriptors().map(|fd| fd.try_clone_to_owned());
    let readable = copies.into_iter().map(|fd| {
        let readable = containerizer::readable(fd?);
        readable.map_err(|(_fd, error)| error)
    });
    let readable = readable.collect::<io::Result<_>>()?;
    Ok(Sight { watch, readable })
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Watching([JoinHandle<()>; 2]);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

pub fn watch(networks: &Networks, containerizer: Containerizer) -> Watching {
    let opened = open(&networks.0.table).inspect_err(|error| {
        tracing::warn!(%error, "who flushes the rules of tasks' ports is noticed a minute later only");
    });
    let bridge = run(networks.clone(), opened.ok(), containerizer.clone());
    let named = run_named(networks.clone(), containerizer);
    Watching([tokio::spawn(bridge), tokio::spawn(named)])
}

async fn run_named(networks: Networks, containerizer: Containerizer) {
    // What an earlier agent connected may have come loose while there was none.
    let (mut checks, mut collects) = (true, true);
    for round in 1_u64.. {
        let (networks, containerizer) = (networks.clone(), containerizer.clone());
        let looked = tokio::task::spawn_blocking(move || {
            if networks.is_left() {
                return true;
            }
            networks.look_after_named(|it| is_there(&containerizer, it), checks);
            networks.look_at_readiness();
            !collects || networks.collect_named()
        });
        let collected = looked.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look after the named networks of tasks");
            true
        });
        checks = false;
        collects = !collected || round % COLLECTING == 0;
        sleep(INTERVAL).await;
    }
}

fn is_there(containerizer: &Containerizer, container: &str) -> bool {
    let id = ContainerId::try_from(container.to_owned());
    id.is_ok_and(|id| containerizer.holds(&id))
}

async fn run(networks: Networks, sight: Option<Sight>, containerizer: Containerizer) {
    loop {
        let (networks, containerizer) = (networks.clone(), containerizer.clone());
        let looked = tokio::task::spawn_blocking(move || look(&networks, &containerizer));
        if let Err(error) = looked.await {
            tracing::warn!(%error, "cannot look after the networks of tasks");
        }
        sleep(PAUSE).await;
        let next = Instant::now() + INTERVAL;
        tokio::select! {
            () = lost(sight.as_ref()) => {}
            () = sleep_until(next) => {}
        }
    }
}

fn look(networks: &Networks, containerizer: &Containerizer) {
    if networks.is_left() {
        return;
    }
    networks.release_all_bridged_but(|container| is_there(containerizer, container));
    if let Err(error) = networks.0.node.mend() {
        let error = proto::error::chain(&error);
        tracing::warn!(error, "the ports of tasks may not be reached");
    }
}

/// Returns when something was deleted.
async fn lost(sight: Option<&Sight>) {
    let Some(sight) = sight else {
        return std::future::pending().await;
    };
    loop {
        let waiting = sight.readable.iter().map(|fd| Box::pin(fd.readable()));
        let (ready, ..) = select_all(waiting).await;
        match ready {
            // Before looking, so that what comes meanwhile is seen in the next round.
            Ok(mut ready) => ready.clear_ready(),
            Err(_the_runtime_ends) => return std::future::pending().await,
        }
        if sight.watch.has_seen_a_loss() {
            return;
        }
    }
}
