//! The link to the master: register, listen, speak; again whenever it breaks.
//!
//! One long answer carries what the master says; what the agent says is one POST each, in order, on
//! one other connection. Every link has its own queue for that, so nothing meant for an earlier one
//! is ever said to a later. Source: link.proto; spec/mesos-agent.md sections 2.2 and 14.

use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt as _;
use prost::Message as _;
use proto::address::Master;
use proto::link::{
    FromAgent, LINK_ID, MAX_MESSAGE_BYTES, PATH, Ping, Pong, Register, Registered, ToAgent,
    from_agent, to_agent,
};
use proto::recordio::{Messages, MessagesError};
use rand::Rng as _;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::{mpsc, oneshot};

use crate::supervisor;

const PROTOBUF: &str = "application/x-protobuf";

/// For an answer from a master that is there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Messages on their way to the master; senders wait when it is full.
const QUEUE: usize = 256;

/// Where messages to the master go, as long as this link holds.
pub type Outgoing = mpsc::Sender<FromAgent>;

#[derive(Debug)]
pub enum Event {
    /// The link is about to register: with what?
    Register(oneshot::Sender<Register>),
    Up {
        registered: Box<Registered>,
        outgoing: Outgoing,
    },
    Message(Box<to_agent::Message>),
    Down,
    /// The master will never take this agent.
    Refused(String),
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    NoMaster(#[from] endpoint::NoMaster),
    #[error("cannot reach the master at {url}")]
    Connect { url: String, source: reqwest::Error },
    #[error("the master at {url} answered {status} instead of {wanted}: is it a Longshore master?")]
    Status {
        url: String,
        status: StatusCode,
        wanted: StatusCode,
    },
    #[error("the master's answer has no {LINK_ID} header: is it a Longshore master?")]
    NoLinkId,
    #[error("the master's first word was not whether the agent is registered")]
    NotRegistered,
    #[error("the master said nothing for {0:?}")]
    Silent(Duration),
    #[error("the master ended the link")]
    Closed,
    #[error("the master sees this agent as disconnected")]
    Disconnected,
    #[error("the stream from the master broke")]
    Stream(#[source] reqwest::Error),
    #[error("the stream from the master cannot be read")]
    Messages(#[from] MessagesError),
    #[error("the agent is going away")]
    AgentGone,
}

/// How a link ended for good.
enum End {
    Refused(String),
    Unregistered,
}

pub struct Link {
    client: reqwest::Client,
    master: Master,
    backoff_factor: Duration,
    supervisor: mpsc::Sender<supervisor::Event>,
}

impl Link {
    pub fn new(
        master: Master,
        backoff_factor: Duration,
        supervisor: mpsc::Sender<supervisor::Event>,
    ) -> Result<Link, reqwest::Error> {
        let client = endpoint::client().build()?;
        Ok(Link {
            client,
            master,
            backoff_factor,
            supervisor,
        })
    }

    /// Keeps the agent registered until it is refused, has unregistered, or has gone.
    ///
    /// The first attempt is made at once: agents start when they are started, but when their master comes
    /// back they all find that at the same moment.
    pub async fn run(self) {
        let mut attempt = 0;
        let mut wait = Duration::ZERO;
        loop {
            tokio::time::sleep(wait).await;
            attempt += 1;
            let mut up = false;
            let end = self.session(&mut up).await;
            if up {
                attempt = 0;
                if self.tell(Event::Down).await.is_err() {
                    return;
                }
            }
            match end {
                Ok(End::Unregistered) | Err(LinkError::AgentGone) => return,
                Ok(End::Refused(message)) => {
                    tracing::error!(message, "the master refuses this agent");
                    // Nobody is left to tell when this fails.
                    let _ = self.tell(Event::Refused(message)).await;
                    return;
                }
                Err(error) => {
                    let error = proto::error::chain(&error);
                    tracing::warn!(error, attempt, "no link to the master; will try again");
                }
            }
            wait = backoff(self.backoff_factor, attempt, rand::rng().random());
        }
    }

    async fn session(&self, up: &mut bool) -> Result<End, LinkError> {
        let url = format!("http://{}{PATH}", endpoint::locate(&self.master).await?);
        let (ask, answer) = oneshot::channel();
        self.tell(Event::Register(ask)).await?;
        let register = answer.await.map_err(|_dropped| LinkError::AgentGone)?;
        let request = self
            .client
            .post(&url)
            .header(CONTENT_TYPE, PROTOBUF)
            .body(message(from_agent::Message::Register(register)))
            .send();
        let response =
            within(ANSWER_TIMEOUT, request)
                .await?
                .map_err(|source| LinkError::Connect {
                    url: url.clone(),
                    source,
                })?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(LinkError::Status {
                url,
                status,
                wanted: StatusCode::OK,
            });
        }
        let id = response
            .headers()
            .get(LINK_ID)
            .ok_or(LinkError::NoLinkId)?
            .clone();
        let mut records = Records::new(response);
        let registered = match within(ANSWER_TIMEOUT, records.next()).await?? {
            to_agent::Message::Registered(registered) => registered,
            to_agent::Message::Refused(refused) => return Ok(End::Refused(refused.message)),
            _ => return Err(LinkError::NotRegistered),
        };
        let silence = crate::task::duration(&registered.ping_timeout);
        let (outgoing, queue) = mpsc::channel(QUEUE);
        *up = true;
        let pongs = outgoing.clone();
        self.tell(Event::Up {
            registered: Box::new(registered),
            outgoing,
        })
        .await?;
        tokio::select! {
            end = self.listen(&mut records, silence, pongs) => end,
            end = self.speak(&url, &id, queue) => end,
        }
    }

    async fn listen(
        &self,
        records: &mut Records,
        silence: Duration,
        pongs: Outgoing,
    ) -> Result<End, LinkError> {
        loop {
            match within(silence, records.next()).await?? {
                to_agent::Message::Ping(Ping { connected: true }) => {
                    let pong = FromAgent {
                        message: Some(from_agent::Message::Pong(Pong {})),
                    };
                    // With so much else to say, the master hears that we are alive anyway.
                    let _ = pongs.try_send(pong);
                }
                to_agent::Message::Ping(Ping { connected: false }) => {
                    return Err(LinkError::Disconnected);
                }
                to_agent::Message::Refused(refused) => return Ok(End::Refused(refused.message)),
                message => {
                    if self.tell(Event::Message(Box::new(message))).await.is_err() {
                        // The agent may have last words in the queue, which ends when all who
                        // could still speak have gone.
                        drop(pongs);
                        return pending().await;
                    }
                }
            }
        }
    }

    async fn speak(
        &self,
        url: &str,
        id: &reqwest::header::HeaderValue,
        mut queue: mpsc::Receiver<FromAgent>,
    ) -> Result<End, LinkError> {
        while let Some(message) = queue.recv().await {
            let request = self
                .client
                .post(url)
                .header(CONTENT_TYPE, PROTOBUF)
                .header(LINK_ID, id)
                .body(message.encode_to_vec())
                .send();
            let response =
                within(ANSWER_TIMEOUT, request)
                    .await?
                    .map_err(|source| LinkError::Connect {
                        url: url.to_owned(),
                        source,
                    })?;
            if response.status() != StatusCode::ACCEPTED {
                let (url, status) = (url.to_owned(), response.status());
                return Err(LinkError::Status {
                    url,
                    status,
                    wanted: StatusCode::ACCEPTED,
                });
            }
            if matches!(message.message, Some(from_agent::Message::Unregister(_))) {
                return Ok(End::Unregistered);
            }
        }
        Err(LinkError::AgentGone)
    }

    async fn tell(&self, event: Event) -> Result<(), LinkError> {
        let told = self.supervisor.send(supervisor::Event::Link(event)).await;
        told.map_err(|_closed| LinkError::AgentGone)
    }
}

/// The messages in one long answer of the master.
struct Records {
    response:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    messages: Messages<ToAgent>,
}

impl Records {
    fn new(response: reqwest::Response) -> Records {
        Records {
            response: Box::pin(response.bytes_stream()),
            messages: Messages::new(MAX_MESSAGE_BYTES),
        }
    }

    /// Skips messages that a newer master may send and we do not know.
    async fn next(&mut self) -> Result<to_agent::Message, LinkError> {
        loop {
            while let Some(record) = self.messages.next()? {
                if let Some(message) = record.message {
                    return Ok(message);
                }
            }
            let chunk = self.response.next().await.ok_or(LinkError::Closed)?;
            self.messages.push(&chunk.map_err(LinkError::Stream)?);
        }
    }
}

fn message(message: from_agent::Message) -> Vec<u8> {
    FromAgent {
        message: Some(message),
    }
    .encode_to_vec()
}

async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, LinkError> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_elapsed| LinkError::Silent(limit))
}

/// Before attempt `n` (from 0): a part of `factor` times 2^n, at most a minute; `random` is in
/// [0, 1).
fn backoff(factor: Duration, n: u32, random: f64) -> Duration {
    let most = factor
        .saturating_mul(2_u32.saturating_pow(n))
        .min(MAX_BACKOFF);
    most.mul_f64(random)
}

#[cfg(test)]
pub(crate) mod fake_master;
#[cfg(test)]
mod tests;
