//! `POST /api/v1/scheduler`: how frameworks talk to the master.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use endpoint::{MAX_BODY_BYTES, RecordStream};
use proto::error::chain;
use proto::media::{self, Encoding, MediaType};
use proto::recordio;
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::Type;
use uuid::Uuid;

use super::reply::{self, Answer, Early, MESSAGE_ACCEPT, MESSAGE_CONTENT_TYPE, STREAM_ID};
use super::stream::Guard;
use crate::cluster::{Event, HEARTBEAT_SECONDS, heartbeat};
use crate::driver::{End, Owner};

pub async fn serve(owner: &Owner, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let content_type = reply::header(&head.headers, CONTENT_TYPE);
    let encoding = media::request_encoding(content_type).map_err(|e| refuse_media(&e))?;
    let body = reply::body(body, MAX_BODY_BYTES).await?;
    let call: Call = encoding
        .decode(&body)
        .map_err(|e| reply::bad_request(chain(&e)))?;
    match call.r#type() {
        Type::Subscribe => subscribe(owner, &head.headers, encoding, call).await,
        Type::Unknown if call.r#type.is_none() => Err(reply::bad_request(
            "the call has no type, or one that is not known here",
        )),
        kind => {
            let stream = stream_id(&head.headers)?;
            let event = Event::Call {
                stream,
                call: Box::new(call),
            };
            let outcome = owner.step(event).await.map_err(reply::stopped)?;
            outcome.map_err(|refusal| reply::refused(&refusal))?;
            // This one call is answered when it has happened.
            Ok(match kind {
                Type::UpdateFramework => StatusCode::OK.into_response(),
                _ => StatusCode::ACCEPTED.into_response(),
            })
        }
    }
}

async fn subscribe(owner: &Owner, headers: &HeaderMap, encoding: Encoding, call: Call) -> Answer {
    if headers.contains_key(STREAM_ID) {
        return Err(reply::bad_request(
            "SUBSCRIBE must not carry the header Mesos-Stream-Id",
        ));
    }
    let Some(subscribe) = call.subscribe else {
        return Err(reply::bad_request(
            "a call of type SUBSCRIBE needs the field \"subscribe\"",
        ));
    };
    let accept = reply::header(headers, ACCEPT);
    let records = reply::header(headers, MESSAGE_ACCEPT);
    let stream_type = media::stream_type(accept, records, MediaType::from(encoding))
        .map_err(|e| refuse_media(&e))?;

    let id = Uuid::new_v4();
    let guard = Guard::new(owner, End::Stream(id));
    let event = Event::Subscribe {
        stream: id,
        id: call.framework_id,
        subscribe: Box::new(subscribe),
    };
    let records = owner
        .subscribe(id, stream_type.records, event)
        .await
        .map_err(reply::stopped)?;
    let beat = recordio::encode(&stream_type.records.encode(&heartbeat()));
    let body = RecordStream::new(records, guard)
        .with_heartbeat(Duration::from_secs(HEARTBEAT_SECONDS), beat.into());

    let mut response = Response::new(axum::body::Body::from_stream(body));
    let headers = response.headers_mut();
    let content_type = stream_type.content_type.as_str();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(STREAM_ID, reply::id_header(id));
    if let Some(records) = stream_type.message_content_type() {
        headers.insert(MESSAGE_CONTENT_TYPE, HeaderValue::from_static(records));
    }
    Ok(response)
}

/// `None` when there is none; the cluster says whether that is wrong.
fn stream_id(headers: &HeaderMap) -> Result<Option<Uuid>, Early> {
    let Some(given) = reply::header(headers, STREAM_ID) else {
        return Ok(None);
    };
    let parsed = given.parse().ok();
    let why = || format!("Mesos-Stream-Id {given:?} is not one that SUBSCRIBE answered with");
    Ok(Some(parsed.ok_or_else(|| reply::bad_request(why()))?))
}

fn refuse_media(error: &media::MediaError) -> Early {
    reply::refuse(reply::status(error.status()), error.to_string())
}
