//! /v2/apps

use axum::http::{Method, StatusCode};
use endpoint::Query;
use serde_json::{Value, json};

use super::embed::embeds;
use super::error::ApiError;
use super::json::{self as render, Embed};
use super::reply::{Content, Reply};
use super::selector::Selector;
use super::{Api, Call};
use crate::app::{App, AppId, BadAppId, Invalid, Timestamp};
use crate::engine::{Change, Done, Edit, Engine, Missing, is_below};
use crate::root::Revision;

impl Api {
    pub(super) async fn apps(&self, call: Call) -> Result<Reply, ApiError> {
        match call.method {
            Method::GET => {
                let filter = Filter::read(&call.query)?;
                let embed = embed(&call.query);
                let apps = self
                    .view(move |e| list(e, embed, |r| filter.holds(r)))
                    .await?;
                Ok(Reply::json(json!({"apps": apps})))
            }
            Method::POST => {
                let app = App::create(call.body()?)?;
                self.create(app, call.query.flag("force", false)).await
            }
            Method::PUT | Method::PATCH => self.update_many(&call).await,
            _ => Ok(call.method_not_allowed("GET, POST, PUT, PATCH")),
        }
    }

    async fn create(&self, app: App, force: bool) -> Result<Reply, ApiError> {
        let id = app.id.clone();
        let done = self
            .change(Change::Create {
                app: Box::new(app),
                force,
            })
            .await?;
        let reply = deployed(done);
        let shown = {
            let id = id.clone();
            self.view(move |engine| {
                let revision = engine.root().apps.get(&id)?;
                let embed = Embed {
                    tasks: true,
                    ..Embed::default()
                };
                Some(render::app(engine, revision, embed))
            })
            .await?
        };
        let content = shown.map_or(reply.content, Content::Json);
        Ok(Reply { content, ..reply }.created_at(format!("/v2/apps{id}")))
    }

    async fn update_many(&self, call: &Call) -> Result<Reply, ApiError> {
        let missing = match call.method {
            Method::PATCH => Missing::Refuse,
            _ => Missing::Create,
        };
        let partial = call.query.flag("partialUpdate", true);
        let Value::Array(bodies) = call.body()? else {
            return Err(wrong_type("/", "error.expected.jsarray"));
        };
        let mut edits = Vec::new();
        for (at, body) in bodies.iter().enumerate() {
            let at = format!("({at})");
            let path = format!("{at}/id");
            let id = match body.get("id") {
                Some(Value::String(id)) => id.parse::<AppId>(),
                Some(_) => return Err(wrong_type(&path, "error.expected.jsstring")),
                None if body.is_object() => return Err(wrong_type(&path, "error.path.missing")),
                None => return Err(wrong_type(&at, "error.expected.jsobject")),
            };
            let bad = |e: BadAppId| Invalid::rules(vec![(path, vec![e.to_string()])]);
            let id = id.map_err(bad)?;
            edits.push(Edit {
                app: id,
                body: body.clone(),
                partial,
                missing,
                at,
            });
        }
        let force = call.query.flag("force", false);
        Ok(deployed(
            self.change(Change::Update { edits, force }).await?,
        ))
    }

    pub(super) async fn app(&self, id: &AppId, call: Call) -> Result<Reply, ApiError> {
        match call.method {
            Method::GET => {
                let wanted = id.clone();
                let embed = Embed {
                    tasks: true,
                    last_task_failure: true,
                    ..embed(&call.query)
                };
                let app = self.view(move |engine| {
                    let revision = engine.root().apps.get(&wanted)?;
                    Some(render::app(engine, revision, embed))
                });
                let app = app.await?.ok_or_else(|| ApiError::no_app(id))?;
                Ok(Reply::json(json!({"app": app})))
            }
            // Old material scales with POST.
            Method::PUT | Method::POST | Method::PATCH => self.update(id, &call).await,
            Method::DELETE => {
                // A deployment in flight shall not keep anybody from deleting an app.
                let force = call.query.flag("force", true);
                let change = Change::Delete {
                    app: id.clone(),
                    force,
                };
                Ok(deployed(self.change(change).await?))
            }
            _ => Ok(call.method_not_allowed("GET, PUT, POST, PATCH, DELETE")),
        }
    }

    async fn update(&self, id: &AppId, call: &Call) -> Result<Reply, ApiError> {
        let is_patch = call.method == Method::PATCH;
        let edit = Edit {
            app: id.clone(),
            body: call.body()?.clone(),
            partial: is_patch || call.query.flag("partialUpdate", true),
            missing: if is_patch {
                Missing::Refuse
            } else {
                Missing::Create
            },
            at: String::new(),
        };
        let force = call.query.flag("force", false);
        let done = self
            .change(Change::Update {
                edits: vec![edit],
                force,
            })
            .await?;
        let is_new = matches!(&done, Done::Deployed { created, .. } if created.contains(id));
        let reply = deployed(done);
        Ok(if is_new {
            reply.created_at(format!("/v2/apps{id}"))
        } else {
            reply
        })
    }

    pub(super) async fn apps_below(&self, group: &str, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let embed = embed(&call.query);
        let group = self.known_group(group).await?;
        let apps = self
            .view(move |e| list(e, embed, |r| is_below(&r.app.id, &group)))
            .await?;
        Ok(Reply::json(json!({"*": apps})))
    }

    pub(super) async fn restart(&self, app: AppId, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::POST {
            return Ok(call.method_not_allowed("POST"));
        }
        let force = call.query.flag("force", false);
        Ok(deployed(self.change(Change::Restart { app, force }).await?))
    }

    pub(super) async fn versions(&self, id: AppId, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let wanted = id.clone();
        let versions: Vec<Value> = self
            .view(move |e| {
                e.history(&wanted)
                    .rev()
                    .map(|r| render::time(r.version))
                    .collect()
            })
            .await?;
        if versions.is_empty() {
            return Err(ApiError::no_app(&id));
        }
        Ok(Reply::json(json!({"versions": versions})))
    }

    pub(super) async fn version(
        &self,
        id: AppId,
        version: Timestamp,
        call: &Call,
    ) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let wanted = id.clone();
        let found = self.view(move |engine| {
            let revision = engine.history(&wanted).find(|r| r.version == version);
            revision.map(|r| Value::Object(render::revision(r)))
        });
        match found.await? {
            Some(app) => Ok(Reply::json(app)),
            None => Err(ApiError::not_found(format!(
                "App '{id}' does not exist in version {version}"
            ))),
        }
    }
}

/// The answer to a change that made a deployment.
pub(super) fn deployed(done: Done) -> Reply {
    match done {
        Done::Deployed {
            version,
            deployment,
            ..
        } => Reply::deployed(version, deployment),
        Done::Killed(_) | Done::Stopped | Done::DelayReset => Reply::empty(StatusCode::OK),
    }
}

pub(super) fn wrong_type(path: &str, error: &str) -> ApiError {
    Invalid::syntax(vec![(path.to_owned(), vec![error.to_owned()])]).into()
}

pub(super) fn embed(query: &Query) -> Embed {
    let failures = embeds(query, "failures");
    Embed {
        tasks: failures || embeds(query, "tasks"),
        last_task_failure: failures || embeds(query, "lastTaskFailure"),
        task_stats: embeds(query, "taskStats").then(Timestamp::now),
    }
}

pub(super) fn list(engine: &Engine, embed: Embed, holds: impl Fn(&Revision) -> bool) -> Vec<Value> {
    let apps = engine.root().apps.values().filter(|r| holds(r));
    apps.map(|r| render::app(engine, r, embed)).collect()
}

/// Which apps a list shows; all conditions must hold.
struct Filter {
    id: Option<String>,
    cmd: Option<String>,
    label: Option<Selector>,
}

impl Filter {
    fn read(query: &Query) -> Result<Self, ApiError> {
        let lower = |key| query.get(key).map(str::to_lowercase);
        let label = query.get("label").map(Selector::parse).transpose();
        let label = label.map_err(|e| ApiError::from(Invalid::argument(e.to_string())))?;
        Ok(Self {
            id: lower("id"),
            cmd: lower("cmd"),
            label,
        })
    }

    fn holds(&self, revision: &Revision) -> bool {
        let app = &revision.app;
        let contains = |text: &str, part: &Option<String>| {
            part.as_ref()
                .is_none_or(|part| text.to_lowercase().contains(part))
        };
        contains(app.id.as_str(), &self.id)
            && contains(app.cmd.as_deref().unwrap_or_default(), &self.cmd)
            && self
                .label
                .as_ref()
                .is_none_or(|selector| selector.holds(&app.labels))
    }
}
