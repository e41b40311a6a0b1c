//! The subscription with the master: one stream of events in, one ordered lane of calls out.
//!
//! Calls that find no subscription are dropped. The engine does not rely on them: with each new
//! subscription it asks about every task, repeats its kills and says anew what it wants.
//!
//! Invariant: whatever is waited for here, calls are taken meanwhile. Both lanes are bounded, and
//! the engine takes no events while it waits for room for its calls.

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
                // The engine may be waiting for room for calls, and then takes no event.
                tokio::select! {
                    told = events.send(event) => if told.is_err() { return },
                    () = discard(&mut calls) => return,
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{HeaderMap, Response, StatusCode};
    use axum::routing::post;
    use prost::Message as _;
    use proto::v1::scheduler::{Event as Heard, event};
    use tokio::sync::Notify;
    use tokio_stream::StreamExt as _;

    use super::*;

    fn subscribed() -> Heard {
        Heard {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(event::Subscribed {
                framework_id: v1::FrameworkId { value: "f".into() },
                heartbeat_interval_seconds: Some(15.0),
                master_info: None,
            }),
            ..Heard::default()
        }
    }

    fn update(number: usize) -> Heard {
        let status = v1::TaskStatus {
            task_id: v1::TaskId {
                value: number.to_string(),
            },
            state: v1::TaskState::TaskRunning.into(),
            ..v1::TaskStatus::default()
        };
        Heard {
            r#type: Some(event::Type::Update.into()),
            update: Some(event::Update { status }),
            ..Heard::default()
        }
    }

    /// Streams updates, answers no call, and drops the subscription when `end` says so.
    async fn deaf_master(end: Arc<Notify>) -> Master {
        let api = move |headers: HeaderMap| async move {
            let mut response = Response::new(Body::empty());
            if headers.contains_key("mesos-stream-id") {
                end.notified().await;
                *response.status_mut() = StatusCode::FORBIDDEN;
                return response;
            }
            let events = std::iter::once(subscribed()).chain((0..100).map(update));
            let records = events.map(|event| proto::recordio::encode(&event.encode_to_vec()));
            let stream = tokio_stream::iter(records).chain(tokio_stream::pending());
            *response.body_mut() = Body::from_stream(stream.map(Ok::<_, Infallible>));
            let stream_id = "1".parse().unwrap();
            response.headers_mut().insert("mesos-stream-id", stream_id);
            response
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/api/v1/scheduler", post(api));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address.into()
    }

    #[tokio::test]
    async fn an_engine_that_waits_for_room_for_calls_still_hears_that_the_master_is_lost() {
        let end = Arc::new(Notify::new());
        let master = deaf_master(Arc::clone(&end)).await;
        let identity = Identity {
            name: "marathon".into(),
            user: String::new(),
            role: "*".into(),
            hostname: "node-1".into(),
            webui_url: String::new(),
            failover_timeout: Duration::ZERO,
        };
        let (_id, known_id) = watch::channel(None);
        let (events, mut incoming) = mpsc::channel(1);
        let (calls, outgoing) = mpsc::channel(1);
        let client = endpoint::client().build().unwrap();
        let link = stay_subscribed(client, master, identity, known_id, events.clone(), outgoing);
        tokio::spawn(link);

        // As the engine does: it answers each event with a call, and takes no other before.
        let engine = async {
            while let Some(event) = incoming.recv().await {
                if matches!(event, Event::Disconnected) {
                    return;
                }
                let is_full = calls.capacity() == 0;
                let send = calls.send(vec![Call::Revive]);
                let both_are_full = async {
                    while !is_full || events.capacity() > 0 {
                        tokio::task::yield_now().await;
                    }
                    end.notify_one();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    sent = send => sent.unwrap(),
                    () = both_are_full => {}
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(8), engine).await;
        heard.expect("the engine and the link wait for each other");
    }
}
