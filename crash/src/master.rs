//! A master that says what it is told to say, and passes on what it hears: one for each agent.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use prost::Message as _;
use proto::link::{FromAgent, LINK_ID, PATH, Register, Registered, ToAgent, from_agent, to_agent};
use proto::v1;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that wait for one side.
const QUEUE: usize = 1024;

pub struct Master {
    tell: mpsc::Sender<Arrival>,
    arrivals: mpsc::Receiver<Arrival>,
    link: Option<mpsc::Sender<ToAgent>>,
    /// Each was opened for the agents of one life.
    doors: Vec<JoinHandle<()>>,
}

pub enum Heard {
    Register(Box<Register>),
    Said(Box<from_agent::Message>),
}

enum Arrival {
    /// By which door.
    Link(usize, Box<Register>, mpsc::Sender<ToAgent>),
    Said(Box<from_agent::Message>),
}

#[derive(Clone)]
struct Door {
    number: usize,
    tell: mpsc::Sender<Arrival>,
}

impl Master {
    pub fn new() -> Master {
        let (tell, arrivals) = mpsc::channel(QUEUE);
        Master {
            tell,
            arrivals,
            link: None,
            doors: Vec::new(),
        }
    }

    /// Where the agents of the next life register. What those of earlier ones have asked for by another door,
    /// and comes late, is not taken for theirs: they do not hear any more.
    pub async fn open_door(&mut self) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("cannot listen as a master")?;
        let address = listener.local_addr()?;
        let door = Door {
            number: self.doors.len() + 1,
            tell: self.tell.clone(),
        };
        let router = Router::new().route(PATH, post(on_post)).with_state(door);
        self.doors.push(tokio::spawn(async move {
            // It ends with the trial.
            let _ = axum::serve(listener, router).await;
        }));
        self.link = None;
        Ok(address)
    }

    /// What an agent says next. Cancel safe.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match self.arrivals.recv().await {
                Some(Arrival::Link(door, ..)) if door != self.doors.len() => {}
                Some(Arrival::Link(_, register, link)) => {
                    self.link = Some(link);
                    return Heard::Register(register);
                }
                Some(Arrival::Said(message)) => return Heard::Said(message),
                // The other end is here, too.
                None => std::future::pending().await,
            }
        }
    }

    /// To the agent that registered last, which may have died since.
    pub fn say(&self, message: to_agent::Message) {
        let message = Some(message);
        if let Some(link) = &self.link {
            let _ = link.try_send(ToAgent { message });
        }
    }

    /// Takes the agent as `id`.
    pub fn accept(&self, id: &str) {
        self.say(to_agent::Message::Registered(Registered {
            agent_id: v1::AgentId { value: id.into() },
            master: v1::MasterInfo {
                id: "M".into(),
                ..Default::default()
            },
            ping_timeout: v1::DurationInfo {
                nanoseconds: 600_000_000_000,
            },
        }));
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.doors.iter().for_each(JoinHandle::abort);
    }
}

async fn on_post(
    State(Door { number, tell }): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message = FromAgent::decode(body).ok().and_then(|it| it.message);
    match (headers.get(LINK_ID), message) {
        (None, Some(from_agent::Message::Register(register))) => {
            let (say, said) = mpsc::channel(QUEUE);
            let told = tell
                .send(Arrival::Link(number, Box::new(register), say))
                .await;
            if told.is_err() {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            let records = futures_util::stream::unfold(said, |mut said| async move {
                let message: ToAgent = said.recv().await?;
                let record = proto::recordio::encode(&message.encode_to_vec());
                Some((Ok::<_, Infallible>(record), said))
            });
            let id = uuid::Uuid::new_v4().to_string();
            ([(LINK_ID, id)], Body::from_stream(records)).into_response()
        }
        (Some(_), Some(message)) => match tell.send(Arrival::Said(Box::new(message))).await {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(_) => StatusCode::GONE.into_response(),
        },
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}
