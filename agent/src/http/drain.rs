//! `/drain`: GET tells of a drain, POST begins one, DELETE takes it back.
//!
//! The only path here that changes something. A page in a browser on this machine cannot: it may not say
//! that a body is JSON, nor ask with DELETE, without asking first, and is not answered.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use endpoint::{bounded_body, jsonp};
use proto::v1::DurationInfo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Site;
use super::reply::Failure;
use super::route::Route;
use crate::book::Book;
use crate::drain::{Moment, Wish};
use crate::supervisor::{DrainError, Event};

/// A few words.
const MAX_BYTES: usize = 4096;

/// As Mesos' call DRAIN_AGENT has it, and the deadline.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    max_grace_period: Option<Time>,
    deadline: Option<Time>,
    /// Only what a master does.
    #[serde(default)]
    mark_gone: MarkGone,
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    nanoseconds: u64,
}

/// Nothing but `false`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(try_from = "bool")]
struct MarkGone;

impl TryFrom<bool> for MarkGone {
    type Error = &'static str;

    fn try_from(marks: bool) -> Result<MarkGone, Self::Error> {
        match marks {
            true => Err("mark_gone: an agent is only drained; SIGUSR1 makes it leave the cluster"),
            false => Ok(MarkGone),
        }
    }
}

/// Whether a request is one to change something.
pub fn changes(request: &Request) -> bool {
    matches!(*request.method(), Method::POST | Method::DELETE)
        && Route::of(request.uri().path()) == Some(Route::Drain)
}

pub async fn change(site: &Site, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match bounded_body(body, MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => return Failure::from(error).into_response(),
    };
    let mut hands = site.hands();
    let mut told = attempt(site, &head, &body).await;
    if let Err(Failure::NoDrain(DrainError::HandedOver)) = told {
        // Whoever is the agent then does it. With this process it changes only by its end.
        let _ = hands.changed().await;
        if let Some(successor) = site.successor.get() {
            let request = Request::from_parts(head, Body::from(body));
            return successor.answer(request).await;
        }
        told = attempt(site, &head, &body).await;
    }
    match told {
        Ok(told) => jsonp::answer(&told, None),
        Err(failure) => failure.into_response(),
    }
}

async fn attempt(site: &Site, head: &Parts, body: &[u8]) -> Result<Value, Failure> {
    let wish = match head.method {
        Method::DELETE => None,
        _ if !is_json(&head.headers) => return Err(Failure::NotJson),
        _ => Some(wish(body)?),
    };
    let events = site.events().ok_or(Failure::Recovering)?;
    let (done, outcome) = oneshot::channel();
    let asked = events.send(Event::Drain { wish, done }).await;
    asked.map_err(|_closed| Failure::Leaving)?;
    outcome.await.map_err(|_dropped| Failure::Leaving)??;
    Ok(told(&site.book().await?))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn wish(body: &[u8]) -> Result<Wish, serde_json::Error> {
    let asked: Asked = serde_json::from_slice(body)?;
    let time = |time: Time| std::time::Duration::from_nanos(time.nanoseconds);
    let MarkGone = asked.mark_gone;
    Ok(Wish {
        max_grace_period: asked.max_grace_period.map(time),
        deadline: asked.deadline.map(time),
    })
}

/// Also of an agent that does not drain.
pub fn told(book: &Book) -> Value {
    let tasks = book.tasks_left();
    let Some(drain) = &book.drain else {
        return json!({ "tasks": tasks });
    };
    let mut told = json!({
        "drain_info": proto::json::to_value(&drain.info(tasks)),
        "tasks": tasks,
    });
    if let Some(left) = drain.left(&Moment::now()) {
        let nanoseconds = i64::try_from(left.as_nanos()).unwrap_or(i64::MAX);
        told["deadline"] = proto::json::to_value(&DurationInfo { nanoseconds });
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_wish_is_read_strictly() {
        let whole = br#"{"max_grace_period": {"nanoseconds": 2000000000}, "mark_gone": false,
                        "deadline": {"nanoseconds": 60000000000}}"#;
        let wanted = Wish {
            max_grace_period: Some(Duration::from_secs(2)),
            deadline: Some(Duration::from_secs(60)),
        };
        assert_eq!(wish(whole).unwrap(), wanted);
        assert_eq!(wish(b"{}").unwrap(), Wish::default());
        for bad in [
            "",
            "[]",
            r#"{"dead_line": {"nanoseconds": 1}}"#,
            r#"{"deadline": 5}"#,
            r#"{"deadline": {"nanoseconds": -1}}"#,
        ] {
            assert!(wish(bad.as_bytes()).is_err(), "{bad}");
        }
        let gone = wish(br#"{"mark_gone": true}"#).unwrap_err().to_string();
        assert!(gone.contains("SIGUSR1"), "{gone}");
    }

    #[test]
    fn a_form_of_a_page_begins_no_drain() {
        let kind = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
        };
        assert!(kind("application/json") && kind("Application/JSON; charset=utf-8"));
        assert!(!kind("text/plain") && !kind("application/x-www-form-urlencoded"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
