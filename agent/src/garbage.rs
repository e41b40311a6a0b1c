//! Looks after the node from time to time: sandboxes that are due for removal, and what is not as it is
//! recorded.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::Auditor;
use crate::flags::Flags;
use crate::gc;
use crate::http::Site;
use crate::paths::{Paths, Run};
use crate::provisioning::Images;
use crate::quota::Quotas;
use crate::supervisor::Event;
use crate::task::turns::Turns;

pub struct Collector {
    pub flags: Flags,
    pub paths: Paths,
    pub events: mpsc::Sender<Event>,
    pub site: Arc<Site>,
    /// Containers that keep their sandboxes.
    pub spared: BTreeSet<String>,
    pub auditor: Auditor,
    pub quotas: Arc<Quotas>,
    pub images: Arc<Images>,
    /// Set when the next pause is to be the last.
    pub resting: watch::Receiver<bool>,
    pub ages: gc::Ages,
    pub turns: Arc<Turns>,
}

impl Collector {
    pub async fn run(mut self) {
        let policy = gc::Policy {
            delay: self.flags.gc_delay,
            headroom: self.flags.gc_disk_headroom,
        };
        // A zero interval would be a busy loop.
        let interval = self.flags.disk_watch_interval.max(Duration::from_secs(1));
        // What an earlier agent left, and then what comes about: never while garbage is collected.
        let mut repairs = true;
        loop {
            match self.auditor.round(repairs).await {
                Some(tally) => self.site.audited(tally),
                None => return,
            }
            repairs = false;
            // A start among many tasks leaves much of it.
            containerizer::release_unused_memory();
            if self.pause(interval).await.is_break() {
                return;
            }
            match self.collect(&policy).await {
                Ok(Some(collected)) => {
                    self.site.collected(&collected);
                    let (quotas, images) = (Arc::clone(&self.quotas), Arc::clone(&self.images));
                    // An agent that goes leaves them to the next.
                    let looked_after = tokio::task::spawn_blocking(move || {
                        quotas.sweep();
                        images.relieve();
                    });
                    let _ = looked_after.await;
                }
                Ok(None) => return,
                Err(error) => tracing::warn!(%error, "cannot look for sandboxes to remove"),
            }
        }
    }

    /// `Break` when there is to be no other.
    async fn pause(&mut self, interval: Duration) -> ControlFlow<()> {
        let mut due = pin!(tokio::time::sleep(interval));
        loop {
            tokio::select! {
                () = rest(&mut self.resting) => return ControlFlow::Break(()),
                () = &mut due => return ControlFlow::Continue(()),
                // What launches took is several times what is kept of their tasks.
                () = self.turns.burst_over() => containerizer::release_unused_memory(),
            }
        }
    }

    /// `None` once the agent has gone.
    async fn collect(&mut self, policy: &gc::Policy) -> io::Result<Option<gc::Collected>> {
        let listed = self.paths.clone();
        let mut candidates = tokio::task::spawn_blocking(move || gc::candidates(&listed)).await??;
        candidates
            .runs
            .retain(|candidate| !self.spared.contains(&candidate.run.container));
        let (ask, answer) = oneshot::channel();
        if self.events.send(Event::Snapshot(ask)).await.is_err() {
            return Ok(None);
        }
        let Ok(book) = answer.await else {
            return Ok(None);
        };
        let live: BTreeSet<Run> = book
            .executors()
            .map(|(_, executor)| executor.run.clone())
            .collect();
        candidates.runs.retain(|it| !live.contains(&it.run));
        self.ages.correct(&mut candidates.runs, Instant::now());
        let (policy, paths) = (policy.clone(), self.paths.clone());
        let collect = move || gc::collect(&paths, &policy, candidates, &live);
        Ok(Some(tokio::task::spawn_blocking(collect).await??))
    }
}

async fn rest(resting: &mut watch::Receiver<bool>) {
    // An error means that there is nobody who could ask for it.
    if resting.wait_for(|rests| *rests).await.is_err() {
        std::future::pending::<()>().await;
    }
}
