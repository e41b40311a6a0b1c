//! `POST /api/v1/executor`: how custom executors talk to the agent. Source: spec/mesos-agent.md section 9.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use endpoint::{BodyError, MAX_BODY_BYTES, bounded_body};
use proto::media::{self, DecodeError, Encoding, MediaError, MediaType};
use proto::recordio;
use proto::v1::executor::{Call, Event as Word, call, event};
use tokio::sync::oneshot;

use super::Site;
use super::forward::Successor;
use crate::executor::Key;
use crate::executor::authentication::{Impostor, Unknown};
use crate::executor::calls::{self, Asked, BadCall};
use crate::executor::connection;
use crate::executor::messages::{Answer, Door, Request};
use crate::executor::token::Claims;
use crate::supervisor::Event;

const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");
const MESSAGE_CONTENT_TYPE: HeaderName = HeaderName::from_static("message-content-type");

/// Keeps what lies between from taking the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

/// Source: spec/mesos-agent.md section 6.
const REALM: &str = "mesos-agent-executor";

/// Who says to be an executor.
struct Sender {
    key: Key,
    /// What that is proved with; `None` where nobody asks for it.
    claims: Option<Claims>,
}

impl Sender {
    fn may_speak(&self, container: Option<&str>) -> Result<(), Impostor> {
        let claims = self.claims.as_ref();
        claims.map_or(Ok(()), |claims| claims.may_speak_for(&self.key, container))
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{path} does not take {method}: use POST")]
    Method { method: Method, path: String },
    #[error(transparent)]
    Unauthenticated(#[from] Unknown),
    #[error(transparent)]
    Impostor(#[from] Impostor),
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
    #[error("the agent is going away, or another process takes its place just now: try again")]
    Leaving,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Failure::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Failure::Media(error) => {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Failure::Body(error) => error.status(),
            Failure::Call(BadCall::UnknownType) => StatusCode::NOT_IMPLEMENTED,
            Failure::Decode(_) | Failure::Call(_) | Failure::Unknown(_) => StatusCode::BAD_REQUEST,
            Failure::NotSubscribed(_) | Failure::Impostor(_) => StatusCode::FORBIDDEN,
            Failure::Recovering | Failure::Leaving => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

pub async fn serve(site: &Site, request: HttpRequest) -> Response {
    let answered = answer(site, request).await;
    answered.unwrap_or_else(|failure| refuse(&failure))
}

/// To the process that is the agent now; but a subscription would be passed on for as long as its executor lives,
/// and hold this process here. Who asks for one is to ask again, by another connection.
pub async fn lead_on(successor: &Successor, request: HttpRequest) -> Response {
    let (head, body) = request.into_parts();
    let body = match bounded_body(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(error) => return refuse(&error.into()),
    };
    let encoding = media::request_encoding(header(&head.headers, CONTENT_TYPE));
    // What nobody understands is for the other to refuse.
    let call = encoding.ok().and_then(|it| it.decode::<Call>(&body).ok());
    if call.is_some_and(|call| call.r#type() == call::Type::Subscribe) {
        let mut response = refuse(&Failure::Leaving);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        return response;
    }
    let request = HttpRequest::from_parts(head, Body::from(body));
    successor.answer(request).await
}

fn refuse(failure: &Failure) -> Response {
    let text = proto::error::chain(failure);
    let mut response = (failure.status(), text).into_response();
    response.headers_mut().extend(remedy(failure));
    response
}

/// A header that says what would do.
fn remedy(failure: &Failure) -> Option<(HeaderName, HeaderValue)> {
    match failure {
        Failure::Method { .. } => Some((ALLOW, HeaderValue::from_static("POST"))),
        Failure::Unauthenticated(unknown) => {
            let challenge = challenge(*unknown);
            Some((WWW_AUTHENTICATE, HeaderValue::try_from(challenge).ok()?))
        }
        _ => None,
    }
}

/// Source: RFC 6750 section 3; spec/mesos-agent.md section 6 for the name of the realm.
fn challenge(unknown: Unknown) -> String {
    match unknown {
        Unknown::Nobody => format!("Bearer realm=\"{REALM}\""),
        Unknown::Token(why) => format!(
            "Bearer realm=\"{REALM}\", error=\"invalid_token\", error_description=\"{why}\""
        ),
    }
}

async fn answer(site: &Site, request: HttpRequest) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let credentials = header(&head.headers, AUTHORIZATION);
    let claims = site
        .authentication()
        .admit(credentials, SystemTime::now())?;
    if head.method != Method::POST {
        return Err(Failure::Method {
            method: head.method,
            path: head.uri.path().to_owned(),
        });
    }
    let encoding = media::request_encoding(header(&head.headers, CONTENT_TYPE))?;
    let body = bounded_body(body, MAX_BODY_BYTES).await?;
    let call: Call = encoding.decode(&body)?;
    let sender = Sender {
        key: calls::sender(&call),
        claims,
    };
    // Who it is not has no business with what there is.
    sender.may_speak(None)?;
    if call.r#type() == call::Type::Subscribe {
        return subscribe(site, &head.headers, encoding, sender, call).await;
    }
    let asked = calls::check(call)?;
    pass_on(site, sender, asked, None).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn subscribe(
    site: &Site,
    headers: &HeaderMap,
    encoding: Encoding,
    sender: Sender,
    call: Call,
) -> Result<Response, Failure> {
    let (accept, records) = (header(headers, ACCEPT), header(headers, MESSAGE_ACCEPT));
    let stream_type = media::stream_type(accept, records, MediaType::from(encoding))?;
    let asked = calls::check(call)?;
    let (connection, stream) = connection::open(stream_type.records);
    pass_on(site, sender, asked, Some(connection)).await?;
    let beat = Word {
        r#type: Some(event::Type::Heartbeat as i32),
        ..Word::default()
    };
    let beat = recordio::encode(&stream_type.records.encode(&beat));
    let stream = stream.with_heartbeat(HEARTBEAT, beat.into());
    let mut response = Response::new(Body::from_stream(stream));
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
    sender: Sender,
    asked: Asked,
    connection: Option<connection::Connection>,
) -> Result<(), Failure> {
    let found = door(site, &sender.key).await?;
    let found = found.ok_or_else(|| Failure::Unknown(sender.key.clone()))?;
    sender.may_speak(Some(&found.container))?;
    let (answer, answered) = oneshot::channel();
    let request = Request {
        asked,
        connection,
        answer,
    };
    // One that has been passed on and gets no answer was not taken, either.
    let _ = found.requests.send(request).await;
    match answered.await {
        Ok(Answer::Taken) => Ok(()),
        Ok(Answer::NotSubscribed) => Err(Failure::NotSubscribed(sender.key)),
        // It has ended, or goes on in other hands: executors give up on the first, and must not on the other.
        Err(_gone) => match door(site, &sender.key).await? {
            None => Err(Failure::Unknown(sender.key)),
            Some(_) => Err(Failure::Leaving),
        },
    }
}

async fn door(site: &Site, key: &Key) -> Result<Option<Door>, Failure> {
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
