//! The HTTP face of the master: a path leads to one module.

mod link;
mod operator;
mod query;
mod reply;
mod scheduler;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use reply::Answer;

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
    let path = canonical(request.uri().path());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answer = match path.as_str() {
        "/api/v1/scheduler" => scheduler::serve(&context.owner, request).await,
        "/api/v1/link" => link::serve(&context.owner, request).await,
        "/api/v1" => operator::serve(&context, request).await,
        "/teardown" => query::teardown(&context, request).await,
        "/redirect" => redirect(&context, &method),
        "/health" => Ok(StatusCode::OK.into_response()),
        "/" => query::home(&context, &method).await,
        path => query::serve(&context, path, &method, &uri).await,
    };
    answer.unwrap_or_else(|early| *early)
}

/// The one name of a path that clients write in several ways: with and without `/master`, `.json`
/// and a slash at the end. One library calls the operator API `/api/v1/operator`.
fn canonical(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let path = match path.strip_prefix("/master") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    // `/system/stats.json` is its full name, and is found without the ending just as well.
    let path = path.strip_suffix(".json").unwrap_or(path);
    match path {
        "" => "/".to_owned(),
        "/api/v1/operator" => "/api/v1".to_owned(),
        path => path.to_owned(),
    }
}

/// Without a scheme, as clients of Mesos expect it.
fn redirect(context: &Context, method: &Method) -> Answer {
    if method != Method::GET {
        return Err(reply::only("GET"));
    }
    let location = format!("//{}", context.about.endpoint);
    let location = HeaderValue::from_str(&location)
        .map_err(|_bad| reply::bad_request("this master's hostname cannot be used in a header"))?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn one_path_has_many_names() {
        for path in [
            "/state",
            "/state/",
            "/state.json",
            "/master/state",
            "/master/state.json/",
        ] {
            assert_eq!(canonical(path), "/state", "{path}");
        }
        assert_eq!(canonical("/master/api/v1/scheduler"), "/api/v1/scheduler");
        assert_eq!(canonical("/api/v1/operator"), "/api/v1");
        assert_eq!(canonical("/system/stats.json"), "/system/stats");
        assert_eq!(canonical("/"), "/");
        assert_eq!(canonical("/master"), "/");
        assert_eq!(canonical("/masterful"), "/masterful");
    }
}
