//! The v0 endpoints and the page: one look at the cluster each.

use std::sync::Arc;

use axum::http::Uri;
use axum::response::{Html, IntoResponse as _};
use endpoint::Query;
use endpoint::jsonp::{self, Callback};
use serde_json::Value;

use super::Context;
use super::reply::{self, Answer};
use crate::cluster::{Cluster, Now};
use crate::view::{self, About};

/// How an answer comes from the cluster.
pub type Look = fn(&Cluster, Now, &About, &Query) -> Result<Value, String>;

pub async fn serve(context: &Context, look: Look, uri: &Uri) -> Answer {
    let query = Query::of(uri);
    let callback =
        Callback::asked_for(&query).map_err(|bad| reply::bad_request(bad.to_string()))?;
    let about = Arc::clone(&context.about);
    let seen = context
        .owner
        .look(move |cluster, now| look(cluster, now, &about, &query))
        .await;
    let value = seen.map_err(reply::stopped)?.map_err(reply::bad_request)?;
    Ok(jsonp::answer(&value, callback.as_ref()))
}

pub async fn home(context: &Context) -> Answer {
    let about = Arc::clone(&context.about);
    let page = context
        .owner
        .look(move |cluster, _| view::home::page(cluster, &about))
        .await;
    Ok(Html(page.map_err(reply::stopped)?).into_response())
}
