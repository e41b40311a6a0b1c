//! The HTTP face: requests become changes and views of the engine.

mod apps;
mod deployments;
mod embed;
mod error;
mod events;
mod group_document;
mod groups;
mod info;
mod json;
mod queue;
mod reply;
mod route;
mod selector;
mod statistics;
mod tasks;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, HeaderValue};
use axum::http::{Method, Request, Response};
use endpoint::{MAX_BODY_BYTES, Query, bounded_body};
use proto::error::chain;
use proto::media::accepts;
use serde_json::Value;

use crate::app::Invalid;
use crate::engine::{Change, Done, Engine};
use crate::events::Listeners;
use crate::service::Service;
use error::ApiError;
use reply::Reply;
use route::{Route, route};

pub use info::About;
pub use json::step;

pub struct Api {
    service: Service,
    listeners: Listeners,
    about: About,
    leader: HeaderValue,
}

/// One request, read.
struct Call {
    method: Method,
    query: Query,
    /// Null when there was none.
    body: Value,
    wants: Wants,
}

/// The form of an answer that a client likes best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Text,
    Json,
    Events,
    Any,
}

impl Wants {
    /// Clients that accept several forms list the one they like best first, but for text, which
    /// many add at the end of a list without ever expecting it.
    fn read(accept: &str) -> Self {
        let kinds = accept.split(',').map(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.to_ascii_lowercase()
        });
        // A weight of 0 excludes.
        let kinds = kinds.filter(|kind| accepts(accept, kind));
        let wanted = kinds.map(|kind| match kind.as_str() {
            "text/plain" => Wants::Text,
            "application/json" => Wants::Json,
            "text/event-stream" => Wants::Events,
            _ => Wants::Any,
        });
        let wanted: Vec<Wants> = wanted.collect();
        if wanted.contains(&Wants::Json) {
            Wants::Json
        } else {
            wanted.first().copied().unwrap_or(Wants::Any)
        }
    }
}

pub fn router(service: Service, listeners: Listeners, about: About) -> axum::Router {
    let leader = HeaderValue::try_from(format!("http://{}", about.leader()));
    let leader = leader.unwrap_or(HeaderValue::from_static(""));
    let api = Arc::new(Api {
        service,
        listeners,
        about,
        leader,
    });
    axum::Router::new().fallback(answer).with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: Request<Body>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let reply = api.reply(request).await.unwrap_or_else(Reply::from);
    let mut response = reply.into_response(&api.leader);
    if is_head {
        *response.body_mut() = Body::empty();
    }
    response
}

impl Api {
    async fn reply(&self, request: Request<Body>) -> Result<Reply, ApiError> {
        let path = request.uri().path().to_owned();
        let Some(route) = route(&path) else {
            return Err(ApiError::not_found(format!("there is nothing at {path}")));
        };
        let call = read(request).await?;
        match route {
            Route::Ping => self.ping(&call),
            Route::Metrics => self.metrics(&call).await,
            Route::Info => self.info(&call).await,
            Route::Leader => self.leader(&call),
            Route::Events => Ok(self.events(&call)),
            Route::Apps => self.apps(call).await,
            Route::App(id) => self.app(&id.parse()?, call).await,
            Route::AppsBelow(group) => self.apps_below(&group, &call).await,
            Route::Restart(id) => self.restart(id.parse()?, &call).await,
            Route::AppTasks(id) => self.app_tasks(id.parse()?, &call).await,
            Route::TasksBelow(group) => self.tasks_below(&group, &call).await,
            Route::AppTask(id, task) => self.app_task(id.parse()?, task, &call).await,
            Route::Versions(id) => self.versions(id.parse()?, &call).await,
            Route::Version(id, version) => self.version(id.parse()?, version.parse()?, &call).await,
            Route::Tasks => self.tasks(call).await,
            Route::TasksDelete => self.tasks_delete(call).await,
            Route::Deployments => self.deployments(&call).await,
            Route::Deployment(id) => self.deployment(&id, &call).await,
            Route::Queue => self.queue(&call).await,
            Route::QueueDelay(id) => self.queue_delay(id.parse()?, &call).await,
            Route::Group(id) => self.groups(&id, &call).await,
            Route::GroupApps(id) => self.group_apps(&id, &call).await,
            Route::GroupVersions(id) => self.group_versions(&id, &call).await,
            Route::GroupVersion(id, version) => {
                self.group_version(&id, version.parse()?, &call).await
            }
        }
    }

    async fn change(&self, change: Change) -> Result<Done, ApiError> {
        Ok(self.service.change(change).await??)
    }

    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        Ok(self.service.view(move |engine, _| look(engine)).await?)
    }
}

/// The body is JSON whatever its content type says: curl -d calls it a form.
async fn read(request: Request<Body>) -> Result<Call, ApiError> {
    let (parts, body) = request.into_parts();
    let query = Query::of(&parts.uri);
    let accept = parts
        .headers
        .get(ACCEPT)
        .and_then(|a| a.to_str().ok())
        .unwrap_or_default();
    let wants = Wants::read(accept);
    let bytes = bounded_body(body, MAX_BODY_BYTES)
        .await
        .map_err(|error| ApiError::new(error.status(), chain(&error)))?;
    let body = if bytes.iter().all(u8::is_ascii_whitespace) {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).map_err(|e| ApiError::from(Invalid::not_json(&e)))?
    };
    // HEAD is GET without the body, which is cut off at the end.
    let method = if parts.method == Method::HEAD {
        Method::GET
    } else {
        parts.method
    };
    Ok(Call {
        method,
        query,
        body,
        wants,
    })
}

impl Call {
    /// The refusal of a method that is none of `allow`; who only asked which there are is told.
    fn method_not_allowed(&self, allow: &'static str) -> Reply {
        match self.method {
            Method::OPTIONS => Reply::options(allow),
            _ => Reply::method_not_allowed(allow),
        }
    }

    /// The body of a request that must have one.
    fn body(&self) -> Result<&Value, ApiError> {
        match &self.body {
            Value::Null => Err(ApiError::from(Invalid {
                status: 400,
                message: "Invalid JSON".to_owned(),
                details: crate::app::Details::Text("the request has no body".to_owned()),
            })),
            body => Ok(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wants;

    #[test]
    fn text_is_for_those_who_ask_for_nothing_else() {
        #[rustfmt::skip]
        let table = [
            ("", Wants::Any),
            ("*/*", Wants::Any),
            ("text/plain", Wants::Text),
            ("Text/Plain; q=0.9, */*", Wants::Text),
            ("application/json, text/plain, */*", Wants::Json),
            ("text/plain, application/json", Wants::Json),
            ("text/html, text/plain", Wants::Any),
            ("text/event-stream", Wants::Events),
        ];
        for (accept, wanted) in table {
            assert_eq!(Wants::read(accept), wanted, "{accept}");
        }
    }
}
