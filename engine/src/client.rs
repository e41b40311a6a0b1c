//! Who asks: bounded in time and in what is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::EngineError;
use crate::version::Version;

/// For an answer to begin, where the engine has nothing to wait for but itself.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Of an answer that is read as a whole. What an engine tells of one container is far less.
pub const MOST: usize = 16 << 20;

/// What it says of itself that matters here.
#[derive(Debug, Deserialize)]
struct About {
    #[serde(rename = "ApiVersion")]
    most: String,
    #[serde(rename = "MinAPIVersion", default)]
    least: Option<String>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    client: reqwest::Client,
    socket: PathBuf,
    version: Version,
    patience: Duration,
}

impl Engine {
    /// Asks which version of the API to speak.
    pub async fn connect(socket: &Path) -> Result<Self, EngineError> {
        Self::connect_within(socket, PATIENCE).await
    }

    /// `patience`: for every answer to begin that the engine need not wait for.
    pub async fn connect_within(socket: &Path, patience: Duration) -> Result<Self, EngineError> {
        let client = reqwest::Client::builder()
            .unix_socket(socket.to_owned())
            // Neither what the environment says of proxies nor where an answer points to is for a socket of this host.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(EngineError::Client)?;
        let mut engine = Self {
            client,
            socket: socket.to_owned(),
            version: crate::version::LEAST,
            patience,
        };
        let call = Call::get("tell its version", "version");
        let response = engine.begin(&call, "").await?;
        let about: About = decode(&call, &whole(&call, response).await?)?;
        let version = |text: &str| -> Result<Version, EngineError> {
            text.parse()
                .map_err(|_bad: crate::version::BadVersion| EngineError::BadStream {
                    what: "its version".to_owned(),
                    why: "it is no version",
                })
        };
        let most = version(&about.most)?;
        let least = about.least.as_deref().map_or(Ok(most), version)?;
        engine.version = Version::spoken(least.min(most), most).ok_or(EngineError::TooOld {
            socket: socket.to_owned(),
            speaks: most,
        })?;
        Ok(engine)
    }

    /// Errors: it is not there, or in no state to do anything.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.done(&Call::get("answer", "_ping")).await.map(drop)
    }

    /// For what takes that much longer.
    pub(crate) fn within(&self, more: Duration) -> Self {
        let mut engine = self.clone();
        engine.patience = self.patience.saturating_add(more);
        engine
    }

    /// That is spoken with it.
    pub fn version(&self) -> Version {
        self.version
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, EngineError> {
        decode(call, &self.bytes(call).await?)
    }

    pub(crate) async fn bytes(&self, call: &Call) -> Result<Bytes, EngineError> {
        let response = self.send(call).await?;
        let patience = self.patience;
        let read = tokio::time::timeout(patience, whole(call, response));
        read.await.map_err(|_elapsed| self.slow(call, patience))?
    }

    /// Of what has no answer but that it was done. `true`: it was so already.
    pub(crate) async fn done(&self, call: &Call) -> Result<bool, EngineError> {
        let response = self.send(call).await?;
        Ok(response.status() == StatusCode::NOT_MODIFIED)
    }

    /// Returns when the answer has begun.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, EngineError> {
        self.begin(call, &format!("v{}/", self.version)).await
    }

    async fn begin(&self, call: &Call, version: &str) -> Result<Response, EngineError> {
        // The host is for the protocol's sake.
        let url = format!("http://docker/{version}{}", call.path);
        let mut request = self.client.request(call.method.clone(), url);
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        if let Some(auth) = &call.registry_auth {
            request = request.header("x-registry-auth", auth);
        }
        if call.upgrades {
            request = request
                .header("connection", "Upgrade")
                .header("upgrade", "tcp");
        }
        let patience = self.patience;
        let sent = tokio::time::timeout(patience, request.send()).await;
        let sent = sent.map_err(|_elapsed| self.slow(call, patience))?;
        let response = sent.map_err(|source| EngineError::Unreachable {
            what: call.what.clone(),
            socket: self.socket.clone(),
            source,
        })?;
        let status = response.status();
        let is_fine = [StatusCode::NOT_MODIFIED, StatusCode::SWITCHING_PROTOCOLS];
        if status.is_success() || is_fine.contains(&status) {
            return Ok(response);
        }
        let said = tokio::time::timeout(patience, whole(call, response)).await;
        let said = said.map_err(|_elapsed| self.slow(call, patience))??;
        Err(EngineError::Refused {
            what: call.what.clone(),
            status: Some(status.as_u16()),
            message: refusal(&said),
        })
    }

    fn slow(&self, call: &Call, after: Duration) -> EngineError {
        EngineError::Slow {
            what: call.what.clone(),
            socket: self.socket.clone(),
            after,
        }
    }
}

pub fn decode<T: DeserializeOwned>(call: &Call, bytes: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(bytes).map_err(|source| EngineError::Nonsense {
        what: call.what.clone(),
        source,
    })
}

async fn whole(call: &Call, mut response: Response) -> Result<Bytes, EngineError> {
    let mut read = Vec::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|source| EngineError::Broken {
                what: call.what.clone(),
                source,
            })?;
        let Some(chunk) = chunk else {
            return Ok(read.into());
        };
        if read.len() + chunk.len() > MOST {
            return Err(EngineError::TooLong {
                what: call.what.clone(),
                limit: MOST,
            });
        }
        read.extend_from_slice(&chunk);
    }
}

/// `{"message": …}`, or what a proxy before the engine says.
fn refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said: Result<Said, _> = serde_json::from_slice(body);
    let text = said.map_or_else(
        |_other| String::from_utf8_lossy(body).into_owned(),
        |said| said.message,
    );
    match text.trim() {
        "" => "it does not say why".to_owned(),
        text => text.chars().take(1024).collect(),
    }
}
