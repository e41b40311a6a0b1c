//! Refusals as clients read them. Source: spec/marathon-api.md, section 1.3.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::{AppId, BadAppId, BadTimestamp, Invalid};
use crate::deployment::plan::Cyclic;
use crate::engine::Refusal;
use crate::instance::BadTaskId;
use crate::service::Stopped;

/// A status of 400 or above, and its JSON body.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub body: Value,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            body: json!({"message": message.into()}),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn no_app(id: &AppId) -> Self {
        Self::not_found(format!("App '{id}' does not exist"))
    }

    pub fn no_group(id: &str) -> Self {
        Self::not_found(format!("Group '{id}' does not exist"))
    }

    pub fn no_task(id: &str) -> Self {
        Self::not_found(format!("Task '{id}' does not exist"))
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        let status = StatusCode::from_u16(invalid.status);
        Self {
            status: status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
            body: invalid.body(),
        }
    }
}

impl From<BadAppId> for ApiError {
    fn from(bad: BadAppId) -> Self {
        Invalid::rules(vec![("/id".to_owned(), vec![bad.to_string()])]).into()
    }
}

impl From<BadTimestamp> for ApiError {
    fn from(bad: BadTimestamp) -> Self {
        Invalid::argument(bad.to_string()).into()
    }
}

impl From<BadTaskId> for ApiError {
    fn from(bad: BadTaskId) -> Self {
        Self::bad_request(bad.to_string())
    }
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Invalid(invalid) => invalid.into(),
            Refusal::Exists(_) | Refusal::GroupExists(_) | Refusal::PathExists(_) => {
                Self::new(StatusCode::CONFLICT, message)
            }
            Refusal::AppAndGroup(_) | Refusal::Cyclic(Cyclic) => {
                Invalid::rules(vec![("/".to_owned(), vec![message])]).into()
            }
            Refusal::NoApp(_)
            | Refusal::NoGroup(_)
            | Refusal::NoGroupVersion(..)
            | Refusal::NoVersion(..)
            | Refusal::NoDeployment(_)
            | Refusal::NotQueued(_) => Self::not_found(message),
            Refusal::Locked(locks) => {
                let locks: Vec<Value> = locks
                    .iter()
                    .map(|id| json!({"id": id.to_string()}))
                    .collect();
                let body = json!({"message": message, "deployments": locks});
                Self {
                    status: StatusCode::CONFLICT,
                    body,
                }
            }
            Refusal::TooManyDeployments(_) => Self::new(StatusCode::FORBIDDEN, message),
            Refusal::NoPorts(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, message),
        }
    }
}
