//! /v2/tasks and the tasks of an app.

use axum::http::Method;
use endpoint::Query;
use serde_json::{Value, json};

use super::apps::{deployed, wrong_type};
use super::error::ApiError;
use super::json as render;
use super::reply::Reply;
use super::{Api, Call, Wants};
use crate::app::AppId;
use crate::engine::{AfterKill, Change, Done, Engine, is_below};
use crate::instance::{Instance, InstanceId, Phase};

impl Api {
    pub(super) async fn tasks(&self, call: Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let wanted = states(&call.query);
        self.list_tasks(&call, |_| true, move |i| wanted(i)).await
    }

    pub(super) async fn tasks_below(&self, group: &str, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let group = self.known_group(group).await?;
        self.list_tasks(call, move |app| is_below(app, &group), |_| true)
            .await
    }

    async fn list_tasks(
        &self,
        call: &Call,
        of: impl Fn(&AppId) -> bool + Send + 'static,
        shown: impl Fn(&Instance) -> bool + Send + 'static,
    ) -> Result<Reply, ApiError> {
        if call.wants == Wants::Text {
            let text = self.view(move |engine| {
                let apps: Vec<&AppId> = engine.root().apps.keys().filter(|id| of(id)).collect();
                render::tasks_text(engine, &apps)
            });
            return Ok(Reply::text(text.await?));
        }
        let tasks: Vec<Value> = self
            .view(move |engine| {
                let all = engine.all_instances().filter(|i| of(&i.app) && shown(i));
                all.map(|i| render::task(engine, i)).collect()
            })
            .await?;
        Ok(Reply::json(json!({"tasks": tasks})))
    }

    pub(super) async fn app_tasks(&self, id: AppId, call: &Call) -> Result<Reply, ApiError> {
        self.must_exist(&id).await?;
        match call.method {
            Method::GET => self.list_tasks(call, move |app| *app == id, |_| true).await,
            Method::DELETE => {
                let host = call.query.get("host").unwrap_or("*").to_owned();
                let on_host = move |i: &&Instance| host == "*" || host == i.site.hostname;
                let ids = self.view(move |engine| {
                    engine
                        .instances(&id)
                        .filter(on_host)
                        .map(|i| i.id.clone())
                        .collect()
                });
                let ids: Vec<InstanceId> = ids.await?;
                self.kill(ids, call, |tasks| json!({"tasks": tasks})).await
            }
            _ => Ok(call.method_not_allowed("GET, DELETE")),
        }
    }

    pub(super) async fn app_task(
        &self,
        app: AppId,
        task: String,
        call: &Call,
    ) -> Result<Reply, ApiError> {
        if call.method != Method::DELETE {
            return Ok(call.method_not_allowed("DELETE"));
        }
        self.must_exist(&app).await?;
        let id = InstanceId::parse(&task).map_err(|_odd| ApiError::no_task(&task))?;
        let wanted = id.clone();
        let is_known = self.view(move |e| e.instance(&wanted).is_some_and(|i| i.app == app));
        if !is_known.await? {
            return Err(ApiError::no_task(&task));
        }
        self.kill(vec![id], call, |mut tasks| json!({"task": tasks.pop()}))
            .await
    }

    async fn must_exist(&self, app: &AppId) -> Result<(), ApiError> {
        let wanted = app.clone();
        let exists = self.view(move |e| e.root().apps.contains_key(&wanted));
        match exists.await? {
            true => Ok(()),
            false => Err(ApiError::no_app(app)),
        }
    }

    pub(super) async fn tasks_delete(&self, call: Call) -> Result<Reply, ApiError> {
        if call.method != Method::POST {
            return Ok(call.method_not_allowed("POST"));
        }
        let ids = match call.body()?.get("ids") {
            Some(Value::Array(ids)) => ids,
            Some(_) => return Err(wrong_type("/ids", "error.expected.jsarray")),
            None => return Err(wrong_type("/ids", "error.path.missing")),
        };
        let id = |(at, id): (usize, &Value)| match id {
            Value::String(id) => Ok(InstanceId::parse(id)?),
            _ => Err(wrong_type(
                &format!("/ids({at})"),
                "error.expected.jsstring",
            )),
        };
        let ids: Result<Vec<InstanceId>, ApiError> = ids.iter().enumerate().map(id).collect();
        self.kill(ids?, &call, |tasks| json!({"tasks": tasks}))
            .await
    }

    /// Kills as the query says, and answers with the killed tasks or the deployment.
    async fn kill(
        &self,
        instances: Vec<InstanceId>,
        call: &Call,
        body: impl FnOnce(Vec<Value>) -> Value,
    ) -> Result<Reply, ApiError> {
        let scale = call.query.flag("scale", false);
        if scale && call.query.flag("wipe", false) {
            return Err(ApiError::bad_request(
                "You cannot use scale and wipe at the same time.",
            ));
        }
        let then = match scale {
            true => AfterKill::Scale {
                force: call.query.flag("force", false),
            },
            false => AfterKill::Replace,
        };
        match self.change(Change::Kill { instances, then }).await? {
            Done::Killed(killed) => {
                let tasks = move |engine: &Engine| -> Vec<Value> {
                    killed.iter().map(|i| render::task(engine, i)).collect()
                };
                Ok(Reply::json(body(self.view(tasks).await?)))
            }
            done => Ok(deployed(done)),
        }
    }
}

/// The states a query asks for; all when it names none.
fn states(query: &Query) -> impl Fn(&Instance) -> bool + Send + 'static {
    let wanted: Vec<String> = query.all("status").map(str::to_lowercase).collect();
    move |instance| {
        let is = |state: &str| wanted.iter().any(|w| w == state);
        let state = match instance.phase {
            Phase::Running => "running",
            Phase::Staging | Phase::Starting => "staging",
            Phase::Killing | Phase::Unreachable { .. } => "other",
        };
        wanted.is_empty() || is(state)
    }
}
