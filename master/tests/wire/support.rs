//! A master on a free port, and an agent and a framework that speak to it as real ones do.

use std::time::Duration;

use master::{Flags, Handle};
use prost::Message as _;
use proto::link::{FromAgent, Register, StatusUpdate, ToAgent, from_agent, to_agent};
use proto::recordio::{self, Decoder};
use proto::resources::Resources;
use proto::v1::scheduler::call::{self, Type};
use proto::v1::scheduler::{Call, Event};
use proto::v1::{self, TaskState};

/// Longer than anything here takes; a test that waits this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/x-protobuf";

pub fn flags(arguments: &[&str]) -> Flags {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }
    let program = ["master", "--port=0"];
    let all = program.iter().chain(arguments);
    <Cli as clap::Parser>::try_parse_from(all)
        .map(|cli| cli.flags)
        .expect("flags")
}

pub async fn master(arguments: &[&str]) -> Handle {
    let all: Vec<&str> = ["--registry=in_memory"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    master::start(flags(&all)).await.expect("the master starts")
}

pub fn url(master: &Handle, path: &str) -> String {
    format!("http://{}{path}", master.address())
}

pub async fn get(master: &Handle, path: &str) -> serde_json::Value {
    let response = reqwest::get(url(master, path)).await.expect(path);
    assert_eq!(response.status(), 200, "{path}");
    let body = response.bytes().await.expect(path);
    serde_json::from_slice(&body).expect(path)
}

/// One answer that is a stream of records.
pub struct Records {
    response: reqwest::Response,
    decoder: Decoder,
}

impl Records {
    pub fn of(response: reqwest::Response) -> Self {
        Self {
            response,
            decoder: Decoder::new(1 << 20),
        }
    }

    /// `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(record) = self.decoder.next().expect("records are well formed") {
                return Some(record);
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk()).await;
            match chunk
                .expect("a record comes in time")
                .expect("the stream is readable")
            {
                Some(chunk) => self.decoder.push(&chunk),
                None => return None,
            }
        }
    }
}

pub struct FakeAgent {
    records: Records,
    url: String,
    link: String,
    pub id: v1::AgentId,
}

pub fn agent_info(resources: &str) -> v1::AgentInfo {
    v1::AgentInfo {
        hostname: "node1".to_owned(),
        resources: Resources::parse(resources, "*")
            .expect("resources")
            .to_protos(),
        attributes: proto::attributes::parse("rack:1;disk:hdd").expect("attributes"),
        ..v1::AgentInfo::default()
    }
}

pub fn register(info: v1::AgentInfo) -> Register {
    let ip = Some("127.0.0.1".to_owned());
    Register {
        agent: info,
        address: v1::Address {
            hostname: Some("node1".to_owned()),
            ip,
            port: 5051,
        },
        version: proto::MESOS_VERSION.to_owned(),
        ..Register::default()
    }
}

impl FakeAgent {
    pub async fn join(master: &Handle, register: Register) -> Self {
        let url = url(master, "/api/v1/link");
        let message = from_agent::Message::Register(register);
        let response = post_link(&url, None, message).await;
        assert_eq!(response.status(), 200);
        let link = response.headers()["longshore-link-id"]
            .to_str()
            .expect("ascii")
            .to_owned();
        let mut agent = Self {
            records: Records::of(response),
            url,
            link,
            id: v1::AgentId::default(),
        };
        match agent.next().await {
            to_agent::Message::Registered(registered) => agent.id = registered.agent_id,
            other => panic!("{other:?} instead of a welcome"),
        }
        agent
    }

    /// The next message that is no ping; pings are answered.
    pub async fn next(&mut self) -> to_agent::Message {
        loop {
            let record = self.records.next().await.expect("the link is open");
            let message = ToAgent::decode(record.as_slice())
                .expect("a message")
                .message;
            match message.expect("a message") {
                to_agent::Message::Ping(_) => {
                    self.say(from_agent::Message::Pong(proto::link::Pong {}))
                        .await;
                }
                message => return message,
            }
        }
    }

    pub async fn is_closed(&mut self) -> bool {
        while let Some(record) = self.records.next().await {
            let _ping_or_not = record;
        }
        true
    }

    pub async fn say(&self, message: from_agent::Message) {
        let response = post_link(&self.url, Some(&self.link), message).await;
        assert_eq!(response.status(), 202);
    }

    pub async fn report(&self, framework: &v1::FrameworkId, task: &str, state: TaskState) {
        let status = v1::TaskStatus {
            task_id: v1::TaskId {
                value: task.to_owned(),
            },
            state: state.into(),
            agent_id: Some(self.id.clone()),
            uuid: Some(uuid::Uuid::new_v4().as_bytes().to_vec()),
            timestamp: Some(1e9),
            ..v1::TaskStatus::default()
        };
        let update = StatusUpdate {
            framework_id: framework.clone(),
            status,
            latest_state: state.into(),
            ..StatusUpdate::default()
        };
        self.say(from_agent::Message::Update(update)).await;
    }
}

pub async fn post_link(
    url: &str,
    link: Option<&str>,
    message: from_agent::Message,
) -> reqwest::Response {
    let body = FromAgent {
        message: Some(message),
    }
    .encode_to_vec();
    let request = reqwest::Client::new()
        .post(url)
        .header("Content-Type", PROTOBUF)
        .body(body);
    let request = match link {
        Some(link) => request.header("Longshore-Link-Id", link),
        None => request,
    };
    request.send().await.expect("the master answers")
}

pub struct FakeFramework {
    pub records: Records,
    url: String,
    pub stream: String,
    pub id: v1::FrameworkId,
}

pub fn framework_info() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".to_owned(),
        name: "demo".to_owned(),
        checkpoint: Some(true),
        failover_timeout: Some(600.0),
        ..v1::FrameworkInfo::default()
    }
}

pub fn subscribe_call(info: v1::FrameworkInfo) -> Call {
    Call {
        framework_id: info.id.clone(),
        r#type: Some(Type::Subscribe.into()),
        subscribe: Some(call::Subscribe {
            framework_info: info,
            ..call::Subscribe::default()
        }),
        ..Call::default()
    }
}

impl FakeFramework {
    /// Subscribes, and reads SUBSCRIBED and the heartbeat after it.
    pub async fn subscribe(master: &Handle, info: v1::FrameworkInfo) -> Self {
        let url = url(master, "/master/api/v1/scheduler");
        let body = subscribe_call(info).encode_to_vec();
        let client = reqwest::Client::new();
        let response = client
            .post(&url)
            .header("Content-Type", PROTOBUF)
            .header("Accept", PROTOBUF)
            .body(body)
            .send()
            .await
            .expect("sent");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], PROTOBUF);
        let stream = response.headers()["mesos-stream-id"]
            .to_str()
            .expect("ascii")
            .to_owned();
        let records = Records::of(response);
        let mut framework = Self {
            records,
            url,
            stream,
            id: v1::FrameworkId::default(),
        };
        let subscribed = framework
            .event()
            .await
            .subscribed
            .expect("SUBSCRIBED is first");
        assert_eq!(subscribed.heartbeat_interval_seconds, Some(15.0));
        framework.id = subscribed.framework_id;
        let beat = framework.event().await;
        assert_eq!(beat.r#type(), v1::scheduler::event::Type::Heartbeat);
        framework
    }

    pub async fn event(&mut self) -> Event {
        let record = self.records.next().await.expect("the stream is open");
        Event::decode(record.as_slice()).expect("an event")
    }

    pub async fn offer(&mut self) -> v1::Offer {
        let offers = self.event().await.offers.expect("offers").offers;
        offers.into_iter().next().expect("an offer")
    }

    pub async fn status(&mut self) -> v1::TaskStatus {
        self.event().await.update.expect("an update").status
    }

    pub async fn call(&self, call: Call) -> reqwest::Response {
        let call = Call {
            framework_id: Some(self.id.clone()),
            ..call
        };
        let request = reqwest::Client::new()
            .post(&self.url)
            .header("Content-Type", PROTOBUF);
        let request = request.header("Mesos-Stream-Id", &self.stream);
        request
            .body(call.encode_to_vec())
            .send()
            .await
            .expect("the master answers")
    }

    pub async fn launch(&self, offer: &v1::Offer, task: &str, resources: &str) {
        let info = v1::TaskInfo {
            name: task.to_owned(),
            task_id: v1::TaskId {
                value: task.to_owned(),
            },
            agent_id: offer.agent_id.clone(),
            resources: Resources::parse(resources, "*")
                .expect("resources")
                .to_protos(),
            command: Some(v1::CommandInfo {
                value: Some("sleep 9".to_owned()),
                ..Default::default()
            }),
            ..v1::TaskInfo::default()
        };
        let launch = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch {
                task_infos: vec![info],
            }),
            ..v1::offer::Operation::default()
        };
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![launch],
            filters: Some(v1::Filters {
                refuse_seconds: Some(3600.0),
            }),
        };
        let call = Call {
            r#type: Some(Type::Accept.into()),
            accept: Some(accept),
            ..Call::default()
        };
        assert_eq!(self.call(call).await.status(), 202);
    }

    pub async fn acknowledge(&self, status: &v1::TaskStatus) {
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().expect("an agent"),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().expect("a uuid"),
        };
        let call = Call {
            r#type: Some(Type::Acknowledge.into()),
            acknowledge: Some(acknowledge),
            ..Call::default()
        };
        assert_eq!(self.call(call).await.status(), 202);
    }
}

/// A record as it is framed.
pub fn framed(record: &str) -> Vec<u8> {
    recordio::encode(record.as_bytes())
}
