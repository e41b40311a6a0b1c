//! A master that does as a test says: it takes registrations, and passes on what is said.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use prost::Message as _;
use proto::link::{FromAgent, Register, Registered, ToAgent, from_agent, to_agent};
use proto::v1;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{LINK_ID, PATH};

/// Longer than anything here takes, on an emulated machine beside a busy one, too.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct FakeMaster {
    pub address: SocketAddr,
    links: mpsc::Receiver<FakeLink>,
}

/// The master's end of one link.
pub struct FakeLink {
    pub register: Register,
    say: mpsc::Sender<ToAgent>,
    heard: mpsc::Receiver<from_agent::Message>,
}

#[derive(Clone)]
struct Shared {
    links: mpsc::Sender<FakeLink>,
    listeners: Arc<Mutex<HashMap<String, mpsc::Sender<from_agent::Message>>>>,
}

impl FakeMaster {
    pub async fn start() -> FakeMaster {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, links) = mpsc::channel(8);
        let shared = Shared {
            links: sender,
            listeners: Arc::default(),
        };
        let router = Router::new().route(PATH, post(on_post)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        FakeMaster { address, links }
    }

    pub async fn link(&mut self) -> FakeLink {
        tokio::time::timeout(PATIENCE, self.links.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// The next link, with the agent taken as `id`.
    pub async fn accept(&mut self, id: &str) -> FakeLink {
        let mut link = self.link().await;
        link.say(to_agent::Message::Registered(registered(id)))
            .await;
        link
    }
}

pub fn registered(id: &str) -> Registered {
    Registered {
        agent_id: v1::AgentId { value: id.into() },
        master: v1::MasterInfo {
            id: "M".into(),
            ..Default::default()
        },
        ping_timeout: v1::DurationInfo {
            nanoseconds: 60_000_000_000,
        },
    }
}

impl FakeLink {
    pub async fn say(&mut self, message: to_agent::Message) {
        self.say
            .send(ToAgent {
                message: Some(message),
            })
            .await
            .unwrap();
    }

    pub async fn hear(&mut self) -> from_agent::Message {
        tokio::time::timeout(PATIENCE, self.heard.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// The next status update, acknowledged.
    pub async fn update(&mut self) -> v1::TaskStatus {
        loop {
            let from_agent::Message::Update(update) = self.hear().await else {
                continue;
            };
            let acknowledge = proto::link::Acknowledge {
                framework_id: update.framework_id,
                task_id: update.status.task_id.clone(),
                uuid: update.status.uuid().to_vec(),
            };
            self.say(to_agent::Message::Acknowledge(acknowledge)).await;
            return update.status;
        }
    }
}

async fn on_post(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let message = FromAgent::decode(body).unwrap().message.unwrap();
    match (headers.get(LINK_ID), message) {
        (None, from_agent::Message::Register(register)) => {
            let (say, said) = mpsc::channel(64);
            let (tell, heard) = mpsc::channel(64);
            let id = uuid::Uuid::new_v4().to_string();
            shared.listeners.lock().unwrap().insert(id.clone(), tell);
            shared
                .links
                .send(FakeLink {
                    register,
                    say,
                    heard,
                })
                .await
                .unwrap();
            let records = futures_util::stream::unfold(said, |mut said| async move {
                let message: ToAgent = said.recv().await?;
                let record = proto::recordio::encode(&message.encode_to_vec());
                Some((Ok::<_, std::convert::Infallible>(record), said))
            });
            ([(LINK_ID, id)], Body::from_stream(records)).into_response()
        }
        (Some(id), message) => {
            let listener = shared
                .listeners
                .lock()
                .unwrap()
                .get(id.to_str().unwrap())
                .cloned();
            match listener.unwrap().send(message).await {
                Ok(()) => StatusCode::ACCEPTED.into_response(),
                Err(_) => StatusCode::GONE.into_response(),
            }
        }
        (None, _) => StatusCode::BAD_REQUEST.into_response(),
    }
}
