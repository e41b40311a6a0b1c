//! A framework of a test, on the v1 scheduler API in JSON.

use std::collections::{HashSet, VecDeque};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::PATIENCE;

/// The executor that tests bring, beside this test when the examples of its crate are built: see there what
/// it does.
pub fn executor() -> String {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples/executor");
    let path = built.display();
    assert!(
        built.is_file(),
        "no {path}: run `cargo build -p tests --examples`"
    );
    path.to_string()
}

#[derive(Debug)]
pub struct Framework {
    url: String,
    client: Client,
    stream_id: String,
    pub id: Value,
    response: Response,
    bytes: Vec<u8>,
    /// Heard, and not what was waited for.
    passed_over: VecDeque<Value>,
    /// By their UUIDs.
    acknowledged: HashSet<String>,
}

impl Framework {
    /// Subscribes to the master at this address; its tasks outlive their agent.
    pub async fn subscribe(master: &str, name: &str) -> Self {
        let url = format!("http://{master}/api/v1/scheduler");
        let client = Client::builder().no_proxy().build().unwrap();
        let call = json!({
            "type": "SUBSCRIBE",
            "subscribe": { "framework_info": {
                "user": "root",
                "name": name,
                "checkpoint": true,
                "failover_timeout": 600.0,
                "roles": ["*"],
                "capabilities": [{ "type": "MULTI_ROLE" }],
            } },
        });
        let request = client.post(&url).header("content-type", "application/json");
        let request = request.header("accept", "application/json");
        let response = request.body(call.to_string()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let stream_id = response.headers()["mesos-stream-id"].to_str().unwrap();
        let mut framework = Self {
            url,
            client,
            stream_id: stream_id.to_owned(),
            id: Value::Null,
            response,
            bytes: Vec::new(),
            passed_over: VecDeque::new(),
            acknowledged: HashSet::new(),
        };
        let subscribed = framework.hear("SUBSCRIBED").await;
        framework.id = subscribed["framework_id"].clone();
        framework
    }

    /// Fails unless the master takes it. `body` is what the call's type names.
    pub async fn call(&self, kind: &str, body: Value) {
        let mut call = json!({ "type": kind, "framework_id": self.id });
        call[kind.to_lowercase()] = body;
        let request = self.client.post(&self.url);
        let request = request.header("content-type", "application/json");
        let request = request.header("mesos-stream-id", &self.stream_id);
        let answer = request.body(call.to_string()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{call}: {text}");
    }

    /// What the next event of this kind says; others are kept for later.
    pub async fn hear(&mut self, kind: &str) -> Value {
        let of_kind = |event: &Value| event["type"] == kind;
        let body = |mut event: Value| event[kind.to_lowercase()].take();
        if let Some(at) = self.passed_over.iter().position(of_kind) {
            return body(self.passed_over.remove(at).unwrap());
        }
        loop {
            match self.next().await {
                event if of_kind(&event) => return body(event),
                event => self.passed_over.push_back(event),
            }
        }
    }

    /// The next update, acknowledged if it wants that. One that comes again, because an agent did not live
    /// to see that, is acknowledged again and passed over.
    pub async fn update(&mut self) -> Value {
        loop {
            let status = self.hear("UPDATE").await["status"].take();
            let Some(uuid) = status["uuid"].as_str() else {
                return status;
            };
            let acknowledge = json!({
                "agent_id": status["agent_id"],
                "task_id": status["task_id"],
                "uuid": uuid,
            });
            self.call("ACKNOWLEDGE", acknowledge).await;
            if self.acknowledged.insert(uuid.to_owned()) {
                return status;
            }
        }
    }

    /// Launches tasks with the next offer, which it gives back.
    pub async fn launch(&mut self, tasks: impl Fn(&Value) -> Vec<Value>) -> Value {
        self.accept(|offer| json!({ "type": "LAUNCH", "launch": { "task_infos": tasks(offer) } }))
            .await
    }

    /// The same as one group, with the executor that they are for.
    pub async fn launch_group(
        &mut self,
        executor: &Value,
        tasks: impl Fn(&Value) -> Vec<Value>,
    ) -> Value {
        self.accept(|offer| {
            json!({ "type": "LAUNCH_GROUP", "launch_group": {
                "executor": executor,
                "task_group": { "tasks": tasks(offer) },
            } })
        })
        .await
    }

    async fn accept(&mut self, operation: impl Fn(&Value) -> Value) -> Value {
        let offer = self.offer().await;
        let accept = json!({
            "offer_ids": [offer["id"]],
            "operations": [operation(&offer)],
            "filters": { "refuse_seconds": 0.0 },
        });
        self.call("ACCEPT", accept).await;
        offer
    }

    /// One that has not been taken back.
    async fn offer(&mut self) -> Value {
        loop {
            let offer = self.hear("OFFERS").await["offers"][0].take();
            let taken_back = |event: &Value| {
                event["type"] == "RESCIND" && event["rescind"]["offer_id"] == offer["id"]
            };
            if !self.passed_over.iter().any(taken_back) {
                return offer;
            }
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some(event) = self.whole() {
                return event;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_elapsed| {
                panic!("heard nothing, and before that {:#?}", self.passed_over)
            });
            self.bytes.extend(chunk.unwrap().unwrap());
        }
    }

    /// The first record, when all of it has come.
    fn whole(&mut self) -> Option<Value> {
        let line = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let length: usize = std::str::from_utf8(&self.bytes[..line])
            .unwrap()
            .parse()
            .unwrap();
        let end = line + 1 + length;
        let event = serde_json::from_slice(self.bytes.get(line + 1..end)?).unwrap();
        self.bytes.drain(..end);
        Some(event)
    }
}
