//! Parameters that must be right, and failures in plain words.

use std::io;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use endpoint::Query;

use super::route::{ROUTES, Route};
use crate::supervisor::DrainError;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("there is no {0:?} here; there is: {routes}", routes = routes())]
    NoSuchRoute(String),
    #[error("{path} does not take {method}: use {}", allowed(.path))]
    Method { method: Method, path: String },
    #[error("the body must be JSON, and said to be: Content-Type: application/json")]
    NotJson,
    #[error("the body must be like {{\"deadline\": {{\"nanoseconds\": 600000000000}}}}")]
    Drain(#[from] serde_json::Error),
    #[error(transparent)]
    Body(#[from] endpoint::BodyError),
    #[error(transparent)]
    NoDrain(#[from] DrainError),
    #[error("Expecting '{0}=value' in query.")]
    Missing(&'static str),
    #[error("query parameter {name}={value:?} must be a whole number, -1 or more")]
    NotANumber { name: &'static str, value: String },
    #[error(transparent)]
    Jsonp(#[from] endpoint::jsonp::BadCallback),
    #[error("{0}")]
    Selection(&'static str),
    #[error(
        "no task and no container {0:?} runs here: ids of tasks are in /state, of containers in \
         /containers"
    )]
    NotHere(String),
    #[error("{id:?} is a task of several frameworks, so name its container: {choices}")]
    Ambiguous { id: String, choices: String },
    #[error(
        "task {0:?} has no container now: it is being launched, or has ended (see its state in \
         /state)"
    )]
    NoContainer(String),
    #[error("there is no file at {0:?}: see /files/debug for where sandboxes are")]
    NoSuchFile(String),
    #[error("{0:?} is a directory: use /files/browse")]
    IsDirectory(String),
    #[error("{0:?} is not a directory: use /files/read")]
    NotADirectory(String),
    #[error("{0:?} is neither a file nor a directory, and is not read")]
    NotAFile(String),
    #[error("{0:?} leads out of its sandbox: name a path inside it, without \"..\" or such a link")]
    Escape(String),
    #[error("{0:?} may not be read")]
    Forbidden(String),
    #[error("{0:?} is leased by a process that writes it, which is asked to let go: try again")]
    Leased(String),
    #[error("too many requests for files are waiting: try again")]
    Crowded,
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

/// What a path takes that takes something.
fn allowed(path: &str) -> &'static str {
    match Route::of(path) {
        Some(Route::Drain) => "GET, POST, DELETE",
        _ => "GET",
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            // Clients take 404 for "no such directory"; spec/mesos-agent.md section 7.4.
            Failure::NoSuchRoute(_)
            | Failure::NoSuchFile(_)
            | Failure::NotADirectory(_)
            | Failure::NotHere(_)
            | Failure::NoContainer(_) => StatusCode::NOT_FOUND,
            Failure::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Failure::Missing(_)
            | Failure::NotANumber { .. }
            | Failure::Jsonp(_)
            | Failure::Drain(_)
            | Failure::Selection(_)
            | Failure::Ambiguous { .. }
            | Failure::IsDirectory(_)
            | Failure::NotAFile(_)
            | Failure::Escape(_) => StatusCode::BAD_REQUEST,
            Failure::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Failure::Body(error) => error.status(),
            Failure::NoDrain(DrainError::NoAgent) => StatusCode::CONFLICT,
            Failure::NoDrain(DrainError::Checkpoint(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Failure::Forbidden(_) => StatusCode::FORBIDDEN,
            Failure::Io { .. } | Failure::Interrupted(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Failure::Recovering
            | Failure::NoDrain(DrainError::Leaving | DrainError::HandedOver)
            | Failure::Leaving
            | Failure::Leased(_)
            | Failure::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn into_response(self) -> Response {
        let text = proto::error::chain(&self);
        let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        match self {
            Failure::Method { ref path, .. } => {
                let allowed = allowed(path);
                (self.status(), [(ALLOW, allowed)], plain, text).into_response()
            }
            _ => (self.status(), plain, text).into_response(),
        }
    }
}

pub fn empty() -> Response {
    Response::new(Body::empty())
}

/// A parameter that must be there.
pub fn required(query: &Query, name: &'static str) -> Result<String, Failure> {
    let value = query.value(name).map(str::to_owned);
    value.ok_or(Failure::Missing(name))
}

/// `None` for the -1 that stands for "not given", too.
pub fn number(query: &Query, name: &'static str) -> Result<Option<u64>, Failure> {
    match query.value(name) {
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
