//! One subscription, from SUBSCRIBE to the end of its stream.

use std::sync::OnceLock;
use std::time::Duration;

use prost::Message as _;
use proto::error::chain;
use proto::recordio::Messages;
use proto::v1;
use proto::v1::scheduler;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use tokio::sync::mpsc;

use super::call;
use crate::engine::{Call, Event};

const PROTOBUF: &str = "application/x-protobuf";
const STREAM_ID: &str = "Mesos-Stream-Id";
/// A record holds the offers of the whole cluster at most.
const MAX_RECORD: usize = 64 << 20;
/// In bytes; it goes to the log.
const MAX_EXPLANATION: usize = 4 << 10;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Heartbeats missed until the master is taken for gone.
const MISSED_HEARTBEATS: f64 = 5.0;
const DEFAULT_HEARTBEAT: f64 = 15.0;

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    NoMaster(#[from] endpoint::NoMaster),
    #[error("the leading master is {0}")]
    Elsewhere(String),
    #[error("cannot reach the master at {url}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the master at {url} did not answer within {ANSWER_TIMEOUT:?}")]
    Silent { url: String },
    #[error("the master at {url} refused the subscription: {status} {message}")]
    Status {
        url: String,
        status: u16,
        message: String,
    },
    #[error("the answer from {url} has no {STREAM_ID} header (does --master name a master?)")]
    NoStreamId { url: String },
}

/// Why a stream is over.
pub enum End {
    Lost,
    /// The master has removed our framework: its id is used up.
    Removed,
}

/// A subscription that the master has accepted.
pub struct Session {
    reader: Reader,
    speaker: Speaker,
}

struct Reader {
    response: reqwest::Response,
    messages: Messages<scheduler::Event>,
    silence: Duration,
}

struct Speaker {
    client: reqwest::Client,
    url: String,
    stream_id: String,
}

impl Session {
    pub async fn subscribe(
        client: &reqwest::Client,
        master: &str,
        info: v1::FrameworkInfo,
    ) -> Result<Self, Refused> {
        let url = format!("http://{master}/api/v1/scheduler");
        let body = call::subscribe(info).encode_to_vec();
        let request = client
            .post(&url)
            .header(CONTENT_TYPE, PROTOBUF)
            .header(ACCEPT, PROTOBUF);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, request.body(body).send()).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(source)) => return Err(Refused::Unreachable { url, source }),
            Err(_elapsed) => return Err(Refused::Silent { url }),
        };
        if response.status().is_redirection() {
            let location = header(&response, LOCATION.as_str());
            if let Some(leader) = location.as_deref().and_then(authority) {
                return Err(Refused::Elsewhere(leader));
            }
        }
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let message = explanation(response).await;
            return Err(Refused::Status {
                url,
                status,
                message,
            });
        }
        let Some(stream_id) = header(&response, STREAM_ID) else {
            return Err(Refused::NoStreamId { url });
        };
        let silence = Duration::from_secs_f64(DEFAULT_HEARTBEAT * MISSED_HEARTBEATS);
        Ok(Self {
            reader: Reader {
                response,
                messages: Messages::new(MAX_RECORD),
                silence,
            },
            speaker: Speaker {
                client: client.clone(),
                url,
                stream_id,
            },
        })
    }

    /// Passes events and calls on until the stream ends. Both at the same time: while the engine
    /// waits for room for its calls, it takes no events.
    pub async fn run(
        mut self,
        events: &mpsc::Sender<Event>,
        calls: &mut mpsc::Receiver<Vec<Call>>,
    ) -> End {
        let framework_id = OnceLock::new();
        tokio::select! {
            end = self.reader.run(events, &framework_id) => end,
            () = self.speaker.run(calls, &framework_id) => End::Lost,
        }
    }
}

impl Reader {
    async fn run(
        &mut self,
        events: &mpsc::Sender<Event>,
        framework_id: &OnceLock<v1::FrameworkId>,
    ) -> End {
        loop {
            match tokio::time::timeout(self.silence, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.messages.push(&bytes),
                Ok(Ok(None)) => {
                    tracing::warn!("the master closed the stream");
                    return End::Lost;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the stream from the master broke");
                    return End::Lost;
                }
                Err(_) => {
                    tracing::warn!(silence = ?self.silence, "no heartbeat from the master");
                    return End::Lost;
                }
            }
            if let Some(end) = self.take_records(events, framework_id).await {
                return end;
            }
        }
    }

    async fn take_records(
        &mut self,
        events: &mpsc::Sender<Event>,
        framework_id: &OnceLock<v1::FrameworkId>,
    ) -> Option<End> {
        loop {
            let event = match self.messages.next() {
                Ok(event) => event?,
                Err(error) => {
                    tracing::error!(error = chain(&error), "the master's stream cannot be read");
                    return Some(End::Lost);
                }
            };
            match self.understand(event, framework_id) {
                Heard::Event(event) => {
                    if events.send(event).await.is_err() {
                        return Some(End::Lost);
                    }
                }
                Heard::Nothing => {}
                Heard::End(end) => return Some(end),
            }
        }
    }

    fn understand(
        &mut self,
        event: scheduler::Event,
        framework_id: &OnceLock<v1::FrameworkId>,
    ) -> Heard {
        if let Some(subscribed) = event.subscribed {
            let heartbeat = subscribed
                .heartbeat_interval_seconds
                .unwrap_or(DEFAULT_HEARTBEAT);
            let silence = Duration::try_from_secs_f64(heartbeat * MISSED_HEARTBEATS);
            self.silence = silence.unwrap_or(self.silence).max(Duration::from_secs(1));
            let id = subscribed.framework_id.value.clone();
            framework_id.get_or_init(|| subscribed.framework_id);
            return Heard::Event(Event::Subscribed { framework_id: id });
        }
        if let Some(offers) = event.offers {
            return Heard::Event(Event::Offers(offers.offers));
        }
        if let Some(update) = event.update {
            return Heard::Event(Event::Update(Box::new(update.status)));
        }
        if let Some(error) = event.error {
            tracing::error!(message = error.message, "the master ended the subscription");
            // The protocol has no code for it: "Framework has been removed", in several wordings.
            let is_removed = error.message.to_ascii_lowercase().contains("removed");
            return Heard::End(if is_removed { End::Removed } else { End::Lost });
        }
        // Offers are answered as they come, so a rescinded one is none of ours any more; whether an
        // agent is lost shows in the states of its tasks.
        Heard::Nothing
    }
}

impl Speaker {
    /// Returns when the master cannot be spoken to any more, or there is nobody left to speak.
    async fn run(
        &self,
        calls: &mut mpsc::Receiver<Vec<Call>>,
        framework_id: &OnceLock<v1::FrameworkId>,
    ) {
        while let Some(batch) = calls.recv().await {
            for call in batch {
                // Before SUBSCRIBED only calls to an earlier stream can come.
                let Some(id) = framework_id.get() else {
                    continue;
                };
                if !self.say(call::encode(call, id.clone())).await {
                    return;
                }
            }
        }
    }

    async fn say(&self, message: scheduler::Call) -> bool {
        let kind = message.r#type();
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, PROTOBUF)
            .header(STREAM_ID, &self.stream_id)
            .timeout(ANSWER_TIMEOUT)
            .body(message.encode_to_vec());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                let status = answer.status().as_u16();
                let message = explanation(answer).await;
                tracing::warn!(call = kind.as_str_name(), status, message, "call refused");
                // 403: this subscription is not the master's any more.
                status != 403
            }
            Err(error) => {
                tracing::warn!(call = kind.as_str_name(), %error, "call failed");
                false
            }
        }
    }
}

/// What a refusal says, or the beginning of it.
async fn explanation(mut response: reqwest::Response) -> String {
    let mut text = Vec::new();
    let read = async {
        while text.len() < MAX_EXPLANATION
            && let Ok(Some(bytes)) = response.chunk().await
        {
            text.extend_from_slice(&bytes);
        }
    };
    // Whoever is slow to explain is quoted with what arrived.
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, read).await;
    text.truncate(MAX_EXPLANATION);
    String::from_utf8_lossy(&text).into_owned()
}

enum Heard {
    Event(Event),
    Nothing,
    End(End),
}

fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response
        .headers()
        .get(name)?
        .to_str()
        .ok()
        .map(str::to_owned)
}

/// `host:port` of a location, which may lack its scheme.
fn authority(location: &str) -> Option<String> {
    let (_, rest) = location.split_once("//")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    (!authority.is_empty()).then(|| authority.to_owned())
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn a_redirect_names_the_leader_with_or_without_scheme() {
        for location in ["//10.0.0.1:5050/api/v1/scheduler", "http://10.0.0.1:5050"] {
            assert_eq!(authority(location).as_deref(), Some("10.0.0.1:5050"));
        }
        assert_eq!(authority("/api/v1/scheduler"), None);
    }
}
