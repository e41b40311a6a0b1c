//! The subscription with the master: one stream of events in, one ordered lane of calls out.
//!
//! Calls that find no subscription are dropped. The engine does not rely on them: with each new
//! subscription it asks about every task, repeats its kills and says anew what it wants.

mod call;
mod session;

use std::time::Duration;

use proto::address::Master;
use proto::error::chain;
use proto::v1;
use tokio::sync::{mpsc, watch};

use crate::engine::{Call, Event};
use session::{End, Refused, Session};

/// Who we are to the master.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: String,
    pub user: String,
    pub role: String,
    pub hostname: String,
    pub webui_url: String,
    /// How long the master keeps our tasks while nobody is subscribed.
    pub failover_timeout: Duration,
}

impl Identity {
    fn framework_info(&self, id: Option<&str>) -> v1::FrameworkInfo {
        use v1::framework_info::capability::Type;
        let capability = |kind: Type| v1::framework_info::Capability {
            r#type: Some(kind.into()),
        };
        v1::FrameworkInfo {
            user: self.user.clone(),
            name: self.name.clone(),
            id: id.map(|id| v1::FrameworkId {
                value: id.to_owned(),
            }),
            failover_timeout: Some(self.failover_timeout.as_secs_f64()),
            checkpoint: Some(true),
            roles: vec![self.role.clone()],
            hostname: Some(self.hostname.clone()),
            webui_url: Some(self.webui_url.clone()),
            capabilities: [
                Type::MultiRole,
                Type::PartitionAware,
                Type::TaskKillingState,
                Type::ReservationRefinement,
            ]
            .map(capability)
            .into(),
            ..v1::FrameworkInfo::default()
        }
    }
}

/// Keeps us subscribed at `master` until the receiver of events is gone.
pub async fn stay_subscribed(
    client: reqwest::Client,
    master: Master,
    identity: Identity,
    framework_id: watch::Receiver<Option<String>>,
    events: mpsc::Sender<Event>,
    mut calls: mpsc::Receiver<Vec<Call>>,
) {
    let mut delay = FIRST_DELAY;
    // Where a master sent us, until that one is not there either.
    let mut leader: Option<String> = None;
    loop {
        let id = framework_id.borrow().clone();
        let info = identity.framework_info(id.as_deref());
        let attempt = tokio::select! {
            attempt = attempt(&client, &master, leader.as_deref(), info) => attempt,
            () = discard(&mut calls) => return,
        };
        match attempt {
            Ok(session) => {
                tracing::info!(%master, leader, "subscribed");
                delay = FIRST_DELAY;
                let event = match session.run(&events, &mut calls).await {
                    End::Removed => Event::Removed,
                    End::Lost => Event::Disconnected,
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Err(Refused::Elsewhere(other)) => {
                tracing::info!(leader = other, "redirected to the leading master");
                leader = Some(other);
            }
            Err(error) => {
                tracing::warn!(%master, error = chain(&error), "cannot subscribe");
                leader = None;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = discard(&mut calls) => return,
        }
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

async fn attempt(
    client: &reqwest::Client,
    master: &Master,
    leader: Option<&str>,
    info: v1::FrameworkInfo,
) -> Result<Session, Refused> {
    let address = match leader {
        Some(leader) => leader.to_owned(),
        None => endpoint::locate(master).await?,
    };
    Session::subscribe(client, &address, info).await
}

/// Drops what is said to nobody. Returns when the engine is gone.
async fn discard(calls: &mut mpsc::Receiver<Vec<Call>>) {
    while calls.recv().await.is_some() {}
}

// A master in the same process is ready within milliseconds.
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
