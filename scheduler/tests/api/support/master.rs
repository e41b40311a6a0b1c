use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use prost::Message as _;
use proto::v1;
use proto::v1::scheduler::{Call, Event, call, event};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

pub struct FakeMaster {
    address: SocketAddr,
    state: Shared,
}

type Shared = Arc<Mutex<Cluster>>;

#[derive(Default)]
struct Cluster {
    stream: Option<mpsc::Sender<Vec<u8>>>,
    stream_id: u32,
    frameworks: u32,
    offers: u32,
    tasks: BTreeMap<String, v1::TaskState>,
    subscriptions: Vec<Option<String>>,
    /// Types of all calls but SUBSCRIBE and ACKNOWLEDGE, in order.
    calls: Vec<call::Type>,
}

impl FakeMaster {
    pub async fn start() -> Self {
        let state = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .route("/api/v1/scheduler", post(api))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The framework id of each subscription.
    pub fn subscriptions(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().subscriptions.clone()
    }

    pub fn calls(&self) -> Vec<call::Type> {
        self.state.lock().unwrap().calls.clone()
    }

    pub fn running(&self) -> usize {
        self.state.lock().unwrap().tasks.len()
    }

    /// Ends a task on its own account.
    pub fn end(&self, task: &str, state: v1::TaskState) {
        self.state.lock().unwrap().report(task, state);
    }

    /// Breaks the stream, as a dying master would.
    pub fn hang_up(&self) {
        self.state.lock().unwrap().stream = None;
    }
}

async fn api(State(state): State<Shared>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let call = proto::wire::decode::<Call>(&body).unwrap();
    let mut cluster = state.lock().unwrap();
    if let Some(subscribe) = &call.subscribe {
        assert!(!headers.contains_key("mesos-stream-id"));
        return cluster.subscribe(subscribe);
    }
    let stream_id = headers["mesos-stream-id"].to_str().unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    if stream_id != cluster.stream_id.to_string() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    }
    assert!(call.framework_id.is_some());
    cluster.hear(call);
    response
}

impl Cluster {
    fn subscribe(&mut self, subscribe: &call::Subscribe) -> Response<Body> {
        let known = subscribe
            .framework_info
            .id
            .as_ref()
            .map(|id| id.value.clone());
        self.subscriptions.push(known.clone());
        let id = known.unwrap_or_else(|| {
            self.frameworks += 1;
            format!("framework-{}", self.frameworks)
        });
        let (sender, receiver) = mpsc::channel(4096);
        self.stream = Some(sender);
        self.stream_id += 1;
        let subscribed = event::Subscribed {
            framework_id: v1::FrameworkId { value: id },
            heartbeat_interval_seconds: Some(15.0),
            master_info: None,
        };
        let kind = event::Type::Subscribed.into();
        self.say(Event {
            r#type: Some(kind),
            subscribed: Some(subscribed),
            ..Event::default()
        });
        let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>));
        let mut response = Response::new(body);
        let stream_id = self.stream_id.to_string().parse().unwrap();
        response.headers_mut().insert("mesos-stream-id", stream_id);
        response
    }

    fn say(&mut self, event: Event) {
        if let Some(stream) = &self.stream {
            stream
                .try_send(proto::recordio::encode(&event.encode_to_vec()))
                .unwrap();
        }
    }

    fn hear(&mut self, call: Call) {
        let kind = call.r#type();
        if kind == call::Type::Acknowledge {
            return;
        }
        self.calls.push(kind);
        if call.revive.is_some() {
            self.offer();
        }
        for operation in call.accept.iter().flat_map(|a| &a.operations) {
            for task in operation.launch.iter().flat_map(|l| &l.task_infos) {
                self.report(&task.task_id.value, v1::TaskState::TaskStarting);
                self.report(&task.task_id.value, v1::TaskState::TaskRunning);
            }
        }
        if let Some(kill) = call.kill {
            self.report(&kill.task_id.value, v1::TaskState::TaskKilled);
        }
        if let Some(reconcile) = call.reconcile {
            let asked: Vec<String> = reconcile
                .tasks
                .into_iter()
                .map(|t| t.task_id.value)
                .collect();
            for task in asked {
                let state = self.tasks.get(&task).copied();
                self.update(&task, state.unwrap_or(v1::TaskState::TaskGone), None);
            }
        }
    }

    fn report(&mut self, task: &str, state: v1::TaskState) {
        if proto::task::is_terminal(state) {
            self.tasks.remove(task);
        } else {
            self.tasks.insert(task.to_owned(), state);
        }
        self.update(task, state, Some(vec![1; 16]));
    }

    fn update(&mut self, task: &str, state: v1::TaskState, uuid: Option<Vec<u8>>) {
        let status = v1::TaskStatus {
            task_id: v1::TaskId {
                value: task.to_owned(),
            },
            agent_id: Some(v1::AgentId {
                value: "agent-1".into(),
            }),
            state: state.into(),
            message: Some("as the test wants it".into()),
            uuid,
            ..v1::TaskStatus::default()
        };
        let kind = event::Type::Update.into();
        let update = Some(event::Update { status });
        self.say(Event {
            r#type: Some(kind),
            update,
            ..Event::default()
        });
    }

    /// One agent that never runs short of anything.
    fn offer(&mut self) {
        self.offers += 1;
        let range = vec![v1::value::Range {
            begin: 31000,
            end: 32000,
        }];
        let resource = |name: &str, value| v1::Resource {
            name: name.into(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            ..v1::Resource::default()
        };
        let ports = v1::Resource {
            name: "ports".into(),
            r#type: v1::value::Type::Ranges.into(),
            ranges: Some(v1::value::Ranges { range }),
            ..v1::Resource::default()
        };
        let offer = v1::Offer {
            id: v1::OfferId {
                value: format!("offer-{}", self.offers),
            },
            framework_id: v1::FrameworkId {
                value: "framework-1".into(),
            },
            agent_id: v1::AgentId {
                value: "agent-1".into(),
            },
            hostname: "node-1".into(),
            resources: vec![resource("cpus", 16.0), resource("mem", 64_000.0), ports],
            ..v1::Offer::default()
        };
        let offers = Some(event::Offers {
            offers: vec![offer],
        });
        let kind = event::Type::Offers.into();
        self.say(Event {
            r#type: Some(kind),
            offers,
            ..Event::default()
        });
    }
}
