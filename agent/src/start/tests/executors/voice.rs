//! What an executor says and hears.

use std::time::Duration;

use proto::media::{Encoding, MediaType};
use proto::recordio::Decoder;
use proto::v1::executor::event::Type;
use proto::v1::executor::{Call, Event, call};
use proto::v1::task_status::Source;
use proto::v1::{ExecutorId, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus};
use reqwest::{Response, StatusCode};

use super::super::Handle;

/// Longer than anything here takes, on an emulated machine beside a busy one, too.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Voice {
    url: String,
    encoding: Encoding,
    client: reqwest::Client,
    token: Option<String>,
}

pub struct Ears {
    response: Response,
    decoder: Decoder,
    encoding: Encoding,
}

pub fn status(task: &str, state: TaskState, uuid: u8) -> TaskStatus {
    TaskStatus {
        task_id: TaskId { value: task.into() },
        state: state as i32,
        source: Some(Source::Executor as i32),
        uuid: Some(vec![uuid; 16]),
        ..Default::default()
    }
}

impl Voice {
    pub fn of(handle: &Handle, encoding: Encoding) -> Voice {
        Voice {
            url: format!("http://{}/api/v1/executor", handle.address()),
            encoding,
            client: reqwest::Client::new(),
            token: None,
        }
    }

    pub fn with_token(self, token: &str) -> Voice {
        Voice {
            token: Some(token.to_owned()),
            ..self
        }
    }

    pub fn call(&self, fill: impl FnOnce(&mut Call)) -> Call {
        let mut call = Call {
            executor_id: ExecutorId { value: "E".into() },
            framework_id: FrameworkId { value: "F".into() },
            ..Default::default()
        };
        fill(&mut call);
        call
    }

    pub async fn send(&self, call: &Call) -> Response {
        let name = MediaType::from(self.encoding).as_str();
        let request = self.client.post(&self.url).body(self.encoding.encode(call));
        let request = request.header("Content-Type", name).header("Accept", name);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    pub async fn post(&self, call: &Call) -> (StatusCode, String) {
        let response = self.send(call).await;
        (response.status(), response.text().await.unwrap())
    }

    pub async fn update(&self, task: &str, state: TaskState, uuid: u8) -> StatusCode {
        let status = status(task, state, uuid);
        let update = self.call(|call| {
            call.r#type = Some(call::Type::Update as i32);
            call.update = Some(call::Update { status });
        });
        self.post(&update).await.0
    }

    pub async fn message(&self, data: &[u8]) -> StatusCode {
        let data = data.to_vec();
        let message = self.call(|call| {
            call.r#type = Some(call::Type::Message as i32);
            call.message = Some(call::Message { data });
        });
        self.post(&message).await.0
    }

    pub fn subscription(&self, held: &[&str], updates: &[TaskStatus]) -> Call {
        let task = |id: &&str| TaskInfo {
            task_id: TaskId {
                value: (*id).into(),
            },
            ..Default::default()
        };
        let updates = updates.iter().cloned();
        let subscribe = call::Subscribe {
            unacknowledged_tasks: held.iter().map(task).collect(),
            unacknowledged_updates: updates.map(|status| call::Update { status }).collect(),
        };
        self.call(|call| {
            call.r#type = Some(call::Type::Subscribe as i32);
            call.subscribe = Some(subscribe);
        })
    }

    /// Until there is such an executor.
    pub async fn subscribe(&self, held: &[&str], updates: &[TaskStatus]) -> Ears {
        let subscription = self.subscription(held, updates);
        let subscribed = async {
            loop {
                let response = self.send(&subscription).await;
                if response.status() == StatusCode::OK {
                    return response;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let response = tokio::time::timeout(PATIENCE, subscribed).await.unwrap();
        let name = MediaType::from(self.encoding).as_str();
        assert_eq!(response.headers()["content-type"], name);
        Ears {
            response,
            decoder: Decoder::new(1 << 20),
            encoding: self.encoding,
        }
    }
}

impl Ears {
    /// `None` once the agent has closed the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(record) = self.decoder.next().unwrap() {
                return Some(self.encoding.decode(&record).unwrap());
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            // The agent may end its streams in the middle of nothing.
            let chunk = chunk.unwrap().ok().flatten()?;
            self.decoder.push(&chunk);
        }
    }

    /// The next event that is of this kind; others are passed over.
    pub async fn hear(&mut self, kind: Type) -> Event {
        let mut others = Vec::new();
        loop {
            match self.next().await {
                Some(event) if event.r#type() == kind => return event,
                Some(event) => others.push(event),
                None => panic!("no {kind:?}, but {others:?}"),
            }
        }
    }

    /// What is said until the stream ends, but for what was said to be stored.
    pub async fn until_closed(&mut self) -> Vec<Event> {
        let mut said = Vec::new();
        while let Some(event) = self.next().await {
            if event.r#type() != Type::Acknowledged {
                said.push(event);
            }
        }
        said
    }
}
