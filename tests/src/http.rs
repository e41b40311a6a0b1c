//! JSON over HTTP, as a client of Mesos or Marathon would speak it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// An answer with any status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| {
            panic!("not JSON ({error}), status {}: {}", self.status, self.text)
        })
    }
}

/// The address of one service: `127.0.0.1:5050`.
#[derive(Debug, Clone)]
pub struct Service {
    pub address: String,
    client: Client,
}

impl Service {
    pub fn at(port: u16) -> Self {
        Self {
            address: format!("127.0.0.1:{port}"),
            // A proxy of the machine that runs the tests has no business here, and a server ends a connection that is
            // idle for 30 s: one that is used at that moment fails.
            client: Client::builder()
                .no_proxy()
                .pool_idle_timeout(Duration::from_secs(10))
                .build()
                .unwrap(),
        }
    }

    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    /// An error is one of the connection: whatever the server answered is an `Answer`.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        Ok(Answer { status, text })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await.unwrap()
    }

    /// Fails unless the answer is 200.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await.unwrap()
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await.unwrap()
    }

    /// Until `/health` says yes.
    pub async fn ready(&self, path: &str) {
        let what = format!("{} is ready", self.address);
        crate::eventually(&what, || async {
            let answer = self.ask(Method::GET, path, None).await?;
            match answer.status.is_success() {
                true => Ok(()),
                false => Err(format!("{}: {}", answer.status, answer.text)),
            }
        })
        .await;
    }
}

/// A port that nobody listens on, each time another one. It is below those that the kernel gives to
/// connections (ip_local_port_range in ip(7)), where one would soon be taken by somebody else.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Test programs that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no port from {FIRST} on is free");
        let port = FIRST + begin.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
