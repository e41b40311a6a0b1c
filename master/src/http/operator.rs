//! `POST /api/v1`: the operator API, as far as health and version.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse as _;
use endpoint::MAX_BODY_BYTES;
use proto::error::chain;
use proto::media::{self, Encoding, MediaType};
use proto::v1::VersionInfo;
use proto::v1::master::call::Type;
use proto::v1::master::{Call, Response, response};

use super::Context;
use super::reply::{self, Answer};

pub async fn serve(context: &Context, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let refuse = |e: media::MediaError| reply::refuse(reply::status(e.status()), e.to_string());
    let encoding =
        media::request_encoding(reply::header(&head.headers, CONTENT_TYPE)).map_err(refuse)?;
    let accept = reply::header(&head.headers, ACCEPT);
    let wanted = media::response_type(accept, MediaType::from(encoding)).map_err(refuse)?;
    let body = reply::body(body, MAX_BODY_BYTES).await?;
    let call: Call = encoding
        .decode(&body)
        .map_err(|e| reply::bad_request(chain(&e)))?;
    let answer = match call.r#type() {
        Type::GetHealth => Response {
            r#type: Some(response::Type::GetHealth.into()),
            get_health: Some(response::GetHealth { healthy: true }),
            ..Response::default()
        },
        Type::GetVersion => Response {
            r#type: Some(response::Type::GetVersion.into()),
            get_version: Some(response::GetVersion {
                version_info: version(),
            }),
            ..Response::default()
        },
        Type::Teardown => {
            let id = call.teardown.map(|teardown| teardown.framework_id.value);
            let missing =
                || reply::bad_request("a call of type TEARDOWN needs the field \"teardown\"");
            let framework = id.ok_or_else(missing)?;
            let event = crate::cluster::Event::Teardown { framework };
            let outcome = context.owner.step(event).await.map_err(reply::stopped)?;
            outcome.map_err(|refusal| reply::refused(&refusal))?;
            return Ok(StatusCode::OK.into_response());
        }
        kind => {
            let name = kind.as_str_name();
            let why = format!(
                "{name} is not possible here; there are GET_HEALTH, GET_VERSION and TEARDOWN"
            );
            return Err(reply::refuse(StatusCode::NOT_IMPLEMENTED, why));
        }
    };
    let encoding = Encoding::of(wanted).unwrap_or(encoding);
    Ok(([(CONTENT_TYPE, wanted.as_str())], encoding.encode(&answer)).into_response())
}

fn version() -> VersionInfo {
    let info = proto::version::info();
    let text = |key: &str| {
        info.get(key)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    VersionInfo {
        version: proto::MESOS_VERSION.to_owned(),
        build_date: text("build_date"),
        build_time: info.get("build_time").and_then(serde_json::Value::as_f64),
        build_user: text("build_user"),
        ..VersionInfo::default()
    }
}
