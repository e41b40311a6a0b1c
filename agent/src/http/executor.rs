//! `POST /api/v1/executor`: how custom executors talk to the agent. Source: spec/mesos-agent.md section 9.

use std::time::Duration;

use axum::extract::Request as HttpRequest;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use endpoint::{BodyError, MAX_BODY_BYTES, bounded_body};
use proto::media::{self, DecodeError, Encoding, MediaError, MediaType};
use proto::recordio;
use proto::v1::executor::{Call, Event as Word, call, event};
use tokio::sync::{mpsc, oneshot};

use super::Site;
use crate::executor::Key;
use crate::executor::calls::{self, Asked, BadCall};
use crate::executor::connection;
use crate::executor::messages::{Answer, Request};
use crate::supervisor::Event;

const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");
const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");

/// Keeps what lies between from taking the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{path} does not take {method}: use POST")]
    Method { method: Method, path: String },
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Call(#[from] BadCall),
    #[error("there is no executor {0} here")]
    Unknown(Key),
    #[error("executor {0} has not subscribed: send SUBSCRIBE first, on another connection")]
    NotSubscribed(Key),
    #[error("the agent is still recovering: try again")]
    Recovering,
    #[error("the agent is going away")]
    Leaving,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Failure::Media(error) => {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Failure::Body(error) => error.status(),
            Failure::Call(BadCall::UnknownType) => StatusCode::NOT_IMPLEMENTED,
            Failure::Decode(_) | Failure::Call(_) | Failure::Unknown(_) => StatusCode::BAD_REQUEST,
            Failure::NotSubscribed(_) => StatusCode::FORBIDDEN,
            Failure::Recovering | Failure::Leaving => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

pub async fn serve(site: &Site, request: HttpRequest) -> Response {
    match answer(site, request).await {
        Ok(response) => response,
        Err(failure) => {
            let text = proto::error::chain(&failure);
            let mut response = (failure.status(), text).into_response();
            if let Failure::Method { .. } = failure {
                let post = HeaderValue::from_static("POST");
                response.headers_mut().insert(ALLOW, post);
            }
            response
        }
    }
}

async fn answer(site: &Site, request: HttpRequest) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return Err(Failure::Method {
            method: head.method,
            path: head.uri.path().to_owned(),
        });
    }
    let encoding = media::request_encoding(header(&head.headers, CONTENT_TYPE))?;
    let body = bounded_body(body, MAX_BODY_BYTES).await?;
    let call: Call = encoding.decode(&body)?;
    let key = calls::sender(&call);
    if call.r#type() == call::Type::Subscribe {
        return subscribe(site, &head.headers, encoding, key, call).await;
    }
    let asked = calls::check(call)?;
    pass_on(site, key, asked, None).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn subscribe(
    site: &Site,
    headers: &HeaderMap,
    encoding: Encoding,
    key: Key,
    call: Call,
) -> Result<Response, Failure> {
    let (accept, records) = (header(headers, ACCEPT), header(headers, MESSAGE_ACCEPT));
    let stream_type = media::stream_type(accept, records, MediaType::from(encoding))?;
    let asked = calls::check(call)?;
    let (connection, stream) = connection::open(stream_type.records);
    pass_on(site, key, asked, Some(connection)).await?;
    let beat = Word {
        r#type: Some(event::Type::Heartbeat as i32),
        ..Word::default()
    };
    let beat = recordio::encode(&stream_type.records.encode(&beat));
    let stream = stream.with_heartbeat(HEARTBEAT, beat.into());
    let mut response = Response::new(axum::body::Body::from_stream(stream));
    let headers = response.headers_mut();
    let content_type = stream_type.content_type.as_str();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(records) = stream_type.message_content_type() {
        headers.insert(MESSAGE_CONTENT_TYPE, HeaderValue::from_static(records));
    }
    Ok(response)
}

/// An executor that says more than its agent can write down waits here.
async fn pass_on(
    site: &Site,
    key: Key,
    asked: Asked,
    connection: Option<connection::Connection>,
) -> Result<(), Failure> {
    let door = door(site, &key).await?;
    let door = door.ok_or_else(|| Failure::Unknown(key.clone()))?;
    let (answer, answered) = oneshot::channel();
    let request = Request {
        asked,
        connection,
        answer,
    };
    // It ended a moment ago.
    let gone = || Failure::Unknown(key.clone());
    door.send(request).await.map_err(|_ended| gone())?;
    match answered.await.map_err(|_ended| gone())? {
        Answer::Taken => Ok(()),
        Answer::NotSubscribed => Err(Failure::NotSubscribed(key)),
    }
}

async fn door(site: &Site, key: &Key) -> Result<Option<mpsc::Sender<Request>>, Failure> {
    let events = site.events().ok_or(Failure::Recovering)?;
    let (answer, found) = oneshot::channel();
    let key = key.clone();
    let asked = events.send(Event::Door { key, answer }).await;
    asked.map_err(|_closed| Failure::Leaving)?;
    found.await.map_err(|_dropped| Failure::Leaving)
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
