use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

pub struct Client {
    base: String,
    http: reqwest::Client,
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// Null when the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            base: format!("http://{address}"),
            http,
        }
    }

    pub async fn send(&self, method: &str, path: &str, body: &str, accept: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.base);
        let request = self.http.request(method, url).header("Accept", accept);
        let response = request.body(body.to_owned()).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    /// An answer that goes on.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.header("Accept", "text/event-stream");
        request.send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, "", "*/*").await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &body.to_string(), "*/*").await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &body.to_string(), "*/*").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", "*/*").await
    }

    /// Asks for `path` until `is` likes what it reads.
    pub async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let value = self.get(path).await;
            if is(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{path} is still {value}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until `app` has exactly `count` tasks, all running, and nothing is being deployed.
    pub async fn settled(&self, app: &str, count: usize) -> Vec<String> {
        self.until("/v2/deployments", |all| all.as_array().unwrap().is_empty())
            .await;
        let path = format!("/v2/apps{app}/tasks");
        let tasks = self
            .until(&path, |value| {
                let tasks = value["tasks"].as_array().unwrap();
                tasks.len() == count && tasks.iter().all(|t| t["state"] == "TASK_RUNNING")
            })
            .await;
        let id = |task: &Value| task["id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = tasks["tasks"].as_array().unwrap().iter().map(id).collect();
        ids.sort();
        ids
    }
}
