//! Removes containers that have ended, some time after that, and those of this agent that belong to nobody.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use engine::{Engine, EngineError, Listed};
use isolators::ContainerId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::shared::Shared;
use super::{CONTAINER, OWNER, name};

/// Between two looks at all that the engine has of ours. One may come to be after nobody wanted it any more.
const LOOK: Duration = Duration::from_secs(600);

/// A first look, and one soon after it: an earlier process may just have asked for something.
const SOON: Duration = Duration::from_secs(20);

/// A container that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    at: Instant,
    name: String,
}

impl Due {
    pub fn after(name: String, delay: Duration) -> Due {
        // Further than any clock goes is never.
        let far = Duration::from_secs(100 * 365 * 24 * 3600);
        Due {
            at: Instant::now() + delay.min(far),
            name,
        }
    }
}

/// Works until the containers are left to another process. Only the first call does anything.
pub fn start(shared: &Arc<Shared>) {
    let due = shared
        .due
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(due) = due else { return };
    let (shared, hand) = (Arc::clone(shared), shared.hand());
    tokio::spawn(async move {
        let _hand = hand;
        tokio::select! {
            () = shared.is_left() => {}
            () = remove_all(&shared, due) => {}
        }
    });
}

async fn remove_all(shared: &Arc<Shared>, mut news: mpsc::UnboundedReceiver<Due>) {
    let mut waiting: Vec<Due> = Vec::new();
    let mut look = Instant::now();
    let mut pause = SOON;
    loop {
        let next = waiting.iter().map(|due| due.at).min();
        let wake = next.map_or(look, |next| next.min(look));
        tokio::select! {
            due = news.recv() => match due {
                Some(due) => waiting.push(due),
                None => return,
            },
            () = sleep_until(wake) => {}
        }
        let now = Instant::now();
        if look <= now {
            look_around(shared, &mut waiting).await;
            (look, pause) = (now + pause, LOOK);
        }
        let is_due = |due: &mut Due| due.at <= now;
        for due in waiting.extract_if(.., is_due) {
            remove(shared, &due.name).await;
        }
    }
}

/// Until the engine has done it.
pub async fn remove(shared: &Shared, name: &str) {
    let ask = |engine: Engine| async move { engine.remove(name).await };
    loop {
        match shared.insist(ask).await {
            Ok(()) => return,
            Err(error) if error.is_not_found() => return,
            // Somebody else is removing it.
            Err(error) if error.is_conflict() => sleep(Duration::from_secs(1)).await,
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(name, error, "an ended container stays with its engine");
                return;
            }
        }
    }
}

/// Once more what every container of this agent is to the agent.
async fn look_around(shared: &Arc<Shared>, waiting: &mut Vec<Due>) {
    let owner = &*shared.settings.owner;
    let ask = |engine: Engine| async move { engine.list(&[(OWNER, Some(owner))]).await };
    let listed = match shared.insist(ask).await {
        Ok(listed) => listed,
        Err(error) => return tracing::warn!(%error, "an engine's containers cannot be listed"),
    };
    for found in listed {
        let id = found.labels.get(CONTAINER).cloned();
        let Some(id) = id.and_then(|id| ContainerId::try_from(id).ok()) else {
            continue;
        };
        let records = Arc::clone(shared);
        let of = id.clone();
        let is_watched = tokio::task::spawn_blocking(move || records.records.has(&of)).await;
        let name = name(&id);
        // What cannot be told is left alone.
        if is_watched.unwrap_or(true) || waiting.iter().any(|due| due.name == name) {
            continue;
        }
        match fate(&found.state, shared.settings.kills_orphans) {
            Fate::Stays => {}
            Fate::Orphan => {
                tracing::info!(container = %id, "removing a container that belongs to no task");
                waiting.push(Due::after(name, Duration::ZERO));
            }
            Fate::Ended => {
                let left = left(shared, &found).await;
                waiting.push(Due::after(name, left));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Orphan,
    Ended,
}

/// Of one that nobody watches.
fn fate(state: &str, kills_orphans: bool) -> Fate {
    match state {
        "exited" | "dead" => Fate::Ended,
        // Somebody does already.
        "removing" => Fate::Stays,
        _ if kills_orphans => Fate::Orphan,
        _ => Fate::Stays,
    }
}

/// Of the time that it stays after its end.
async fn left(shared: &Shared, found: &Listed) -> Duration {
    let (id, delay) = (&*found.id, shared.settings.remove_delay);
    let ask = |engine: Engine| async move { engine.inspect(id).await };
    let ended: Result<_, EngineError> = shared.ask(ask).await;
    let ended = ended
        .ok()
        .and_then(|it| super::output::nanoseconds(&it.state.finished_at));
    let now = crate::clock::Clock::read().wall_ms();
    let since = ended.map_or(0, |ended| now.saturating_sub(ended / 1_000_000));
    delay.saturating_sub(Duration::from_millis(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_for_nobody_goes_and_what_has_ended_stays_a_while() {
        let table = [
            ("running", true, Fate::Orphan),
            ("created", true, Fate::Orphan),
            ("paused", true, Fate::Orphan),
            ("running", false, Fate::Stays),
            ("exited", false, Fate::Ended),
            ("dead", true, Fate::Ended),
            ("removing", true, Fate::Stays),
        ];
        for (state, kills_orphans, wanted) in table {
            assert_eq!(fate(state, kills_orphans), wanted, "{state}");
        }
    }
}
