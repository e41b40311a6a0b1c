//! The v0 endpoints: one look at the cluster each, and the one change among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse as _};
use serde_json::{Value, json};

use super::Context;
use super::reply::{self, Answer, Early};
use crate::cluster::{Cluster, Event, Now};
use crate::view::{self, About};

type Parameters = BTreeMap<String, String>;

/// How an endpoint's answer comes from the cluster.
type Look = fn(&Cluster, Now, &About, &Parameters) -> Result<Value, String>;

#[rustfmt::skip] // A path and its view share a row.
const LOOKS: &[(&str, Look)] = &[
    ("/state", |cluster, _, about, _| Ok(view::state::state(cluster, about))),
    ("/state-summary", |cluster, _, about, _| Ok(view::summary::summary(cluster, about))),
    ("/slaves", |cluster, _, _, wish| Ok(view::state::agents(cluster, named(wish, "slave_id")))),
    ("/frameworks", |cluster, _, _, wish| Ok(view::state::frameworks(cluster, named(wish, "framework_id")))),
    ("/tasks", |cluster, _, _, wish| view::tasks::tasks(cluster, wish)),
    ("/roles", |cluster, _, _, _| Ok(view::roles::roles(cluster))),
    ("/metrics/snapshot", |cluster, now, _, _| Ok(view::metrics::snapshot(cluster, now))),
    ("/flags", |_, _, about, _| Ok(json!({ "flags": about.flags }))),
    ("/version", |_, _, _, _| Ok(Value::Object(proto::version::info()))),
    ("/system/stats", |_, _, _, _| Ok(Value::Object(view::system::stats()))),
];

fn named<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.get(name).map(String::as_str)
}

fn parameters(uri: &Uri) -> Result<Parameters, Early> {
    // Repeated names are not used here: of several the last one counts.
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(pairs) =
        pairs.map_err(|e| reply::bad_request(format!("cannot read the query: {e}")))?;
    Ok(pairs.into_iter().collect())
}

pub async fn serve(context: &Context, path: &str, method: &Method, uri: &Uri) -> Answer {
    let Some((_, look)) = LOOKS.iter().find(|(name, _)| *name == path) else {
        let known: Vec<&str> = LOOKS.iter().map(|(name, _)| *name).collect();
        let why = format!("nothing is at {path}; there are {}", known.join(" "));
        return Err(reply::refuse(StatusCode::NOT_FOUND, why));
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(reply::only("GET"));
    }
    let wish = parameters(uri)?;
    let jsonp = wish.get("jsonp").cloned();
    let about = Arc::clone(&context.about);
    let seen = context
        .owner
        .look(move |cluster, now| look(cluster, now, &about, &wish))
        .await;
    let value = seen.map_err(reply::stopped)?.map_err(reply::bad_request)?;
    reply::json(&value, jsonp.as_deref())
}

pub async fn home(context: &Context, method: &Method) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(reply::only("GET"));
    }
    let about = Arc::clone(&context.about);
    let page = context
        .owner
        .look(move |cluster, _| view::home::page(cluster, &about))
        .await;
    Ok(Html(page.map_err(reply::stopped)?).into_response())
}

/// `POST /teardown` with the form field `frameworkId`.
pub async fn teardown(context: &Context, request: Request) -> Answer {
    if request.method() != Method::POST {
        return Err(reply::only("POST"));
    }
    let (head, body) = request.into_parts();
    let form = reply::header(&head.headers, CONTENT_TYPE)
        .is_none_or(|given| given.starts_with("application/x-www-form-urlencoded"));
    if !form {
        let why = "send the form field frameworkId as application/x-www-form-urlencoded";
        return Err(reply::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let body = reply::body(body).await?;
    // A form is written like a query.
    let query = format!("/?{}", String::from_utf8_lossy(&body).trim());
    let uri = query
        .parse::<Uri>()
        .map_err(|e| reply::bad_request(format!("cannot read the form: {e}")))?;
    let framework = parameters(&uri)?.remove("frameworkId");
    let framework =
        framework.ok_or_else(|| reply::bad_request("the form field frameworkId is missing"))?;
    let outcome = context
        .owner
        .step(Event::Teardown { framework })
        .await
        .map_err(reply::stopped)?;
    outcome.map_err(|refusal| reply::refused(&refusal))?;
    Ok(StatusCode::OK.into_response())
}
