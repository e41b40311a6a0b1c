//! The HTTP face of the master: a path leads to one module.

mod link;
mod look;
mod operator;
mod reply;
mod route;
mod scheduler;
mod stream;
mod teardown;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use reply::Answer;
use route::Endpoint;

use crate::driver::Owner;
use crate::view::About;

/// What every request may need.
pub struct Context {
    pub owner: Owner,
    pub about: Arc<About>,
}

pub fn router(context: Context) -> Router {
    Router::new()
        .fallback(dispatch)
        .with_state(Arc::new(context))
}

async fn dispatch(State(context): State<Arc<Context>>, request: Request) -> Response {
    let answer = answer(&context, request).await;
    answer.unwrap_or_else(|early| *early)
}

async fn answer(context: &Context, request: Request) -> Answer {
    let path = request.uri().path();
    let Some(route) = route::find(path) else {
        let why = format!("nothing is at {path}; there are {}", route::paths());
        return Err(reply::refuse(StatusCode::NOT_FOUND, why));
    };
    if !route.verbs.include(request.method()) {
        return Err(reply::only(route.verbs.allow()));
    }
    match route.endpoint {
        Endpoint::Home => look::home(context).await,
        Endpoint::Health => Ok(StatusCode::OK.into_response()),
        Endpoint::Redirect => redirect(context),
        Endpoint::Look(look) => look::serve(context, look, request.uri()).await,
        Endpoint::Teardown => teardown::serve(&context.owner, request).await,
        Endpoint::Operator => operator::serve(context, request).await,
        Endpoint::Scheduler => scheduler::serve(&context.owner, request).await,
        Endpoint::Link => link::serve(&context.owner, request).await,
    }
}

/// Without a scheme, as clients of Mesos expect it.
fn redirect(context: &Context) -> Answer {
    let location = format!("//{}", context.about.endpoint);
    let location = HeaderValue::from_str(&location).map_err(|_bad| {
        let why =
            format!("{location:?} cannot be in a header: start the master with another --hostname");
        reply::refuse(StatusCode::INTERNAL_SERVER_ERROR, why)
    })?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response())
}
