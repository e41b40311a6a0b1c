//! Queries in, answers out: JSON with an optional `jsonp`, and failures in plain words.

use std::io;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::route::ROUTES;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("there is no {0:?} here; there is: {routes}", routes = routes())]
    NoSuchRoute(String),
    #[error("{path} does not take {method}: use GET")]
    Method { method: Method, path: String },
    #[error("the query of the URL cannot be read: write name=value pairs joined by '&'")]
    Query(#[source] axum::extract::rejection::QueryRejection),
    #[error("Expecting '{0}=value' in query.")]
    Missing(&'static str),
    #[error("query parameter {name}={value:?} is not a number: give a whole number, -1 or more")]
    NotANumber { name: &'static str, value: String },
    #[error(
        "query parameter jsonp={0:?} is not the name of a function: use letters, digits, '_', '$' \
         and '.'"
    )]
    Jsonp(String),
    #[error("{0}")]
    Selection(&'static str),
    #[error("there is no file at {0:?}: see /files/debug for where sandboxes are")]
    NoSuchFile(String),
    #[error("{0:?} is a directory: use /files/browse")]
    IsDirectory(String),
    #[error("{0:?} is neither a file nor a directory, and is not read")]
    NotAFile(String),
    #[error("{0:?} leads out of its sandbox: name a path inside it, without \"..\" or such a link")]
    Escape(String),
    #[error("{0:?} may not be read")]
    Forbidden(String),
    #[error("cannot read {path:?}")]
    Io { path: String, source: io::Error },
    #[error("the request was interrupted: see the agent's log")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("the agent is still recovering: try again")]
    Recovering,
    #[error("the agent is going away")]
    Leaving,
}

fn routes() -> String {
    ROUTES
        .iter()
        .map(|(path, _)| *path)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::NoSuchRoute(_) | Failure::NoSuchFile(_) => StatusCode::NOT_FOUND,
            Failure::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Failure::Query(_)
            | Failure::Missing(_)
            | Failure::NotANumber { .. }
            | Failure::Jsonp(_)
            | Failure::Selection(_)
            | Failure::IsDirectory(_)
            | Failure::NotAFile(_)
            | Failure::Escape(_) => StatusCode::BAD_REQUEST,
            Failure::Forbidden(_) => StatusCode::FORBIDDEN,
            Failure::Io { .. } | Failure::Interrupted(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Failure::Recovering | Failure::Leaving => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn into_response(self) -> Response {
        let text = crate::task::launch::chain(&self);
        let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        match self {
            Failure::Method { .. } => {
                (self.status(), [(ALLOW, "GET")], plain, text).into_response()
            }
            _ => (self.status(), plain, text).into_response(),
        }
    }
}

pub fn empty() -> Response {
    Response::new(Body::empty())
}

/// `value` as JSON, or as a call of the function `jsonp`.
pub fn json(value: &Value, jsonp: Option<&str>) -> Result<Response, Failure> {
    let text = value.to_string();
    Ok(match jsonp {
        None => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Some(name) => (
            [(CONTENT_TYPE, "text/javascript")],
            format!("{name}({text});"),
        )
            .into_response(),
    })
}

/// The parameters of a URL.
#[derive(Debug, Clone)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(uri: &Uri) -> Result<Query, Failure> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        Ok(Query(pairs.map_err(Failure::Query)?.0))
    }

    /// The first of that name; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub fn required(&self, name: &'static str) -> Result<String, Failure> {
        self.get(name)
            .map(str::to_owned)
            .ok_or(Failure::Missing(name))
    }

    /// `None` for the -1 that stands for "not given", too.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, Failure> {
        match self.get(name) {
            None | Some("-1") => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Failure::NotANumber {
                    name,
                    value: text.to_owned(),
                }),
            },
        }
    }

    /// What stands there becomes code in a browser, so nothing but a name is taken.
    pub fn jsonp(&self) -> Result<Option<&str>, Failure> {
        let Some(name) = self.get("jsonp") else {
            return Ok(None);
        };
        let is_name = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.'));
        match is_name {
            true => Ok(Some(name)),
            false => Err(Failure::Jsonp(name.to_owned())),
        }
    }
}
