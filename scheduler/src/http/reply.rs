//! Answers and the headers that every one of them carries.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, LOCATION, PRAGMA,
};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::app::Timestamp;
use crate::deployment::DeploymentId;

/// What an endpoint answers.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub content: Content,
    pub deployment: Option<DeploymentId>,
    pub location: Option<String>,
    pub allow: Option<&'static str>,
}

#[derive(Debug)]
pub enum Content {
    Empty,
    Json(Value),
    Text(String),
    /// Server-sent, for as long as somebody reads.
    Events(Body),
}

impl Reply {
    pub fn new(status: StatusCode, content: Content) -> Self {
        Self {
            status,
            content,
            deployment: None,
            location: None,
            allow: None,
        }
    }

    pub fn json(value: Value) -> Self {
        Self::new(StatusCode::OK, Content::Json(value))
    }

    pub fn text(text: String) -> Self {
        Self::new(StatusCode::OK, Content::Text(text))
    }

    pub fn empty(status: StatusCode) -> Self {
        Self::new(status, Content::Empty)
    }

    /// The result of a change.
    pub fn deployed(version: Timestamp, id: DeploymentId) -> Self {
        let body = json!({"version": version.to_string(), "deploymentId": id.to_string()});
        Self {
            deployment: Some(id),
            ..Self::json(body)
        }
    }

    pub fn created_at(self, location: String) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: Some(location),
            ..self
        }
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("this resource knows only the methods {allow}");
        let body = Content::Json(json!({"message": message}));
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, body)
        }
    }

    pub fn options(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::empty(StatusCode::OK)
        }
    }

    pub fn into_response(self, leader: &HeaderValue) -> Response<Body> {
        let (kind, body) = match self.content {
            Content::Empty => (None, Body::empty()),
            Content::Json(value) => (Some("application/json"), Body::from(value.to_string())),
            Content::Events(events) => (Some("text/event-stream"), events),
            Content::Text(text) => (Some("text/plain; charset=utf-8"), Body::from(text)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in FIXED {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(HeaderName::from_static("x-marathon-leader"), leader.clone());
        let deployment = self.deployment.map(|id| id.to_string());
        let optional = [
            (CONTENT_TYPE, kind.map(str::to_owned)),
            (
                HeaderName::from_static("marathon-deployment-id"),
                deployment,
            ),
            (LOCATION, self.location),
            (ALLOW, self.allow.map(str::to_owned)),
        ];
        for (name, value) in optional {
            // Ids are plain ASCII, so this always is a header value.
            if let Some(value) = value.and_then(|v| HeaderValue::try_from(v).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

const FIXED: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    (PRAGMA, "no-cache"),
    (EXPIRES, "0"),
    (HeaderName::from_static("x-frame-options"), "DENY"),
    (HeaderName::from_static("x-xss-protection"), "1; mode=block"),
];

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Self::new(error.status, Content::Json(error.body))
    }
}
