//! `POST /teardown` with the form field `frameworkId`: an operator removes a framework.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use endpoint::{MAX_BODY_BYTES, Query};

use super::reply::{self, Answer};
use crate::cluster::Event;
use crate::driver::Owner;

pub async fn serve(owner: &Owner, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let form = reply::header(&head.headers, CONTENT_TYPE)
        .is_none_or(|given| given.starts_with("application/x-www-form-urlencoded"));
    if !form {
        let why = "send the form field frameworkId as application/x-www-form-urlencoded";
        return Err(reply::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let body = reply::body(body, MAX_BODY_BYTES).await?;
    let form = Query::parse(String::from_utf8_lossy(&body).trim());
    let framework = form
        .value("frameworkId")
        .ok_or_else(|| reply::bad_request("the form field frameworkId is missing"))?;
    let event = Event::Teardown {
        framework: framework.to_owned(),
    };
    let outcome = owner.step(event).await.map_err(reply::stopped)?;
    outcome.map_err(|refusal| reply::refused(&refusal))?;
    Ok(StatusCode::OK.into_response())
}
