//! The cluster's own HTTP APIs, as any client would use them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// Answers come from this machine, or one nearby.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    /// `host:port`
    address: String,
}

/// A server said no.
#[derive(Debug)]
pub struct Refused {
    pub status: StatusCode,
    body: Value,
}

impl Api {
    pub fn at(address: impl fmt::Display) -> anyhow::Result<Api> {
        // A proxy for the outside world must not see what goes to the cluster.
        let client = Client::builder().no_proxy().timeout(PATIENCE).build();
        Ok(Api {
            client: client.context("cannot set up an HTTP client")?,
            address: address.to_string(),
        })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, None).await
    }

    /// The answer, or a [`Refused`] among the causes of the error.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.client.request(method.clone(), &url);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let failed = || format!("no answer to {method} {url}");
        let answer = request.send().await.with_context(failed)?;
        let status = answer.status();
        let text = answer.text().await.with_context(failed)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if !status.is_success() {
            bail!(Refused { status, body });
        }
        Ok(body)
    }
}

/// The status with which a server refused, if that is what went wrong.
pub fn refusal(error: &anyhow::Error) -> Option<StatusCode> {
    error
        .downcast_ref::<Refused>()
        .map(|refused| refused.status)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match &self.body {
            Value::String(text) if !text.trim().is_empty() => text.trim(),
            body => match body["message"].as_str() {
                Some(message) => message,
                None => return write!(f, "the server answered {}", self.status),
            },
        };
        f.write_str(message)?;
        match &self.body["details"] {
            Value::String(details) => write!(f, ": {details}"),
            Value::Array(details) => {
                for detail in details {
                    let path = detail["path"].as_str().unwrap_or("/");
                    let errors = detail["errors"].as_array().into_iter().flatten();
                    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
                    // A word of the protocol says less than the sentence that may follow it.
                    let explained = errors.iter().any(|error| error.starts_with("got "));
                    let is_word = |error: &str| error.starts_with("error.");
                    for error in errors.into_iter().filter(|e| !(explained && is_word(e))) {
                        write!(f, "\n    {path}: {}", in_words(error))?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

/// The words of the protocol for parse errors, in English.
fn in_words(error: &str) -> &str {
    match error {
        "error.path.missing" => "is missing",
        "error.expected.jsstring" => "must be a text in double quotes",
        "error.expected.jsnumber" => "must be a number (whole where it counts things)",
        "error.expected.jsboolean" => "must be true or false",
        "error.expected.jsarray" => "must be a list: [ … ]",
        "error.expected.jsobject" => "must be an object: { … }",
        "error.min" => "is too small",
        "error.max" => "is too large",
        "error.unknown.enum.literal" => "is none of the words that are known here",
        // The expression itself helps nobody.
        id if id.starts_with("must fully match regular expression") => {
            "may hold lower-case letters, digits and, between them, - . and /"
        }
        other => other,
    }
}

/// Percent-encodes what has a meaning of its own in a query.
pub fn encode(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/-_.~".contains(&c);
    text.bytes()
        .map(|c| {
            if plain(c) {
                char::from(c).to_string()
            } else {
                format!("%{c:02X}")
            }
        })
        .collect()
}

/// What answers at an address where we cannot listen.
pub async fn identify(address: SocketAddr) -> Option<&'static str> {
    let api = Api {
        client: Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .ok()?,
        address: address.to_string(),
    };
    if let Ok(info) = api.get("/v2/info").await
        && info["name"] == "marathon"
    {
        return Some("a longshore (or Marathon)");
    }
    let version = api.get("/version").await.ok()?;
    version["version"]
        .is_string()
        .then_some("a longshore (or Mesos)")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(body: Value) -> String {
        Refused {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            body,
        }
        .to_string()
    }

    #[test]
    fn paths_survive_in_a_query() {
        assert_eq!(encode("/a b/c&d=ü"), "/a%20b/c%26d%3D%C3%BC");
    }

    #[test]
    fn refusals_are_shown_for_people() {
        let details = json!([{"path": "/cmd", "errors": ["error.expected.jsstring"]},
                             {"path": "/", "errors": ["Port names must be unique."]}]);
        assert_eq!(
            shown(json!({"message": "Invalid JSON", "details": details})),
            "Invalid JSON\n    /cmd: must be a text in double quotes\n    /: Port names must be \
             unique."
        );
        let details =
            json!([{"path": "/cpus", "errors": ["error.min", "got -1, expected 0 or more"]}]);
        assert_eq!(
            shown(json!({"message": "Invalid JSON", "details": details})),
            "Invalid JSON\n    /cpus: got -1, expected 0 or more"
        );
        assert_eq!(shown(json!({"message": "no"})), "no");
        assert_eq!(shown(json!("plain")), "plain");
        assert_eq!(
            shown(json!({})),
            "the server answered 422 Unprocessable Entity"
        );
    }
}
