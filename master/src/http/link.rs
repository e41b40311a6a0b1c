//! `POST /api/v1/link`: how agents talk to the master. The transport is described in link.proto.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use endpoint::RecordStream;
use proto::error::chain;
use proto::link::{FromAgent, MAX_MESSAGE_BYTES, from_agent};
use proto::media::{Encoding, MediaType};
use uuid::Uuid;

use super::reply::{self, Answer, LINK_ID, MESSAGE_CONTENT_TYPE};
use super::stream::Guard;
use crate::cluster::Event;
use crate::driver::{End, Owner};

pub async fn serve(owner: &Owner, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let content_type = reply::header(&head.headers, CONTENT_TYPE);
    if content_type.and_then(MediaType::parse) != Some(MediaType::Protobuf) {
        let why = "the link speaks application/x-protobuf only";
        return Err(reply::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let body = reply::body(body, MAX_MESSAGE_BYTES).await?;
    let decoded: FromAgent = Encoding::Protobuf
        .decode(&body)
        .map_err(|e| reply::bad_request(chain(&e)))?;
    let message = decoded
        .message
        .ok_or_else(|| reply::bad_request("the message is empty"))?;
    match (reply::header(&head.headers, LINK_ID), message) {
        (None, from_agent::Message::Register(register)) => {
            let link = Uuid::new_v4();
            let guard = Guard::new(owner, End::Link(link));
            let event = Event::Register {
                link,
                register: Box::new(register),
            };
            let records = owner.open_link(link, event).await.map_err(reply::stopped)?;
            Ok(answer(link, RecordStream::new(records, guard)))
        }
        (None, _) => Err(reply::bad_request(
            "the header Longshore-Link-Id is missing: register first",
        )),
        (Some(link), message) => {
            let parsed = link.parse().ok();
            let why =
                || format!("Longshore-Link-Id {link:?} is not one that register answered with");
            let link = parsed.ok_or_else(|| reply::bad_request(why()))?;
            let event = Event::FromAgent {
                link,
                message: Box::new(message),
            };
            let outcome = owner.step(event).await.map_err(reply::stopped)?;
            outcome.map_err(|refusal| reply::refused(&refusal))?;
            Ok(StatusCode::ACCEPTED.into_response())
        }
    }
}

fn answer(link: Uuid, body: RecordStream<Guard>) -> Response {
    let mut response = Response::new(axum::body::Body::from_stream(body));
    let headers = response.headers_mut();
    let name = |media: MediaType| HeaderValue::from_static(media.as_str());
    headers.insert(CONTENT_TYPE, name(MediaType::RecordIo));
    headers.insert(MESSAGE_CONTENT_TYPE, name(MediaType::Protobuf));
    headers.insert(LINK_ID, reply::id_header(link));
    response
}
