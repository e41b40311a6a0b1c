//! /v2/groups

use axum::http::Method;
use serde_json::{Value, json};

use super::apps::{deployed, embed, list, wrong_type};
use super::error::ApiError;
use super::group_document::{self as document, Parts};
use super::json as render;
use super::reply::Reply;
use super::{Api, Call};
use crate::app::{AppId, Timestamp};
use crate::engine::{Change, GroupChange, GroupId, is_below};

impl Api {
    /// `path` is the group that the URL names.
    pub(super) async fn groups(&self, path: &str, call: &Call) -> Result<Reply, ApiError> {
        let named = group_id(path)?;
        let change = match call.method {
            Method::GET => return self.show_group(named, call).await,
            Method::POST => {
                let body = call.body()?.clone();
                GroupChange::Create {
                    group: posted(named, &body)?,
                    body,
                }
            }
            Method::PUT => {
                let body = call.body()?.clone();
                let group = if named.is_none() {
                    posted(None, &body)?
                } else {
                    named
                };
                GroupChange::Update { group, body }
            }
            Method::DELETE => GroupChange::Delete { group: named },
            _ => return Ok(call.method_not_allowed("GET, POST, PUT, DELETE")),
        };
        let created = match &change {
            GroupChange::Create { group, body } if !GroupChange::means_existing(body) => {
                Some(format!("/v2/groups{}", document::name(group)))
            }
            _ => None,
        };
        if call.method == Method::PUT && call.query.flag("dryRun", false) {
            return self.preview(change).await;
        }
        let reply = self.change_group(change, call).await?;
        Ok(match created {
            Some(location) => reply.created_at(location),
            None => reply,
        })
    }

    async fn change_group(&self, change: GroupChange, call: &Call) -> Result<Reply, ApiError> {
        let force = call.query.flag("force", false);
        Ok(deployed(
            self.change(Change::Group { change, force }).await?,
        ))
    }

    async fn preview(&self, change: GroupChange) -> Result<Reply, ApiError> {
        let steps = self
            .service
            .view(move |engine, now| engine.preview(change, now));
        let steps: Vec<Value> = steps.await??.iter().map(render::step).collect();
        Ok(Reply::json(json!({"steps": steps})))
    }

    async fn show_group(&self, group: GroupId, call: &Call) -> Result<Reply, ApiError> {
        let missing = ApiError::no_group(document::name(&group));
        let parts = Parts::read(&call.query);
        let shown = self.view(move |engine| {
            let exists = group.as_ref().is_none_or(|id| engine.root().has_group(id));
            exists.then(|| document::current(engine, &group, parts))
        });
        shown.await?.map(Reply::json).ok_or(missing)
    }

    /// All apps below a group, as a bare list.
    pub(super) async fn group_apps(&self, path: &str, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            // Only in reading does the name stand for the list.
            return self.groups(&format!("{path}/apps"), call).await;
        }
        let group = self.known_group(path).await?;
        let embed = embed(&call.query);
        let apps = self.view(move |engine| list(engine, embed, |r| is_below(&r.app.id, &group)));
        Ok(Reply::json(apps.await?.into()))
    }

    pub(super) async fn group_versions(&self, path: &str, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let group = self.known_group(path).await?;
        let versions = self
            .view(move |engine| engine.group_versions(&group))
            .await?;
        let versions: Vec<Value> = versions.into_iter().map(render::time).collect();
        Ok(Reply::json(versions.into()))
    }

    pub(super) async fn group_version(
        &self,
        path: &str,
        version: Timestamp,
        call: &Call,
    ) -> Result<Reply, ApiError> {
        let group = group_id(path)?;
        match call.method {
            Method::GET => {
                let shown = self.view(move |engine| {
                    let root = engine.root_in_version(&group, version)?;
                    Ok::<Value, ApiError>(document::past(&root, &group, version))
                });
                Ok(Reply::json(shown.await??))
            }
            // A python client goes back in this way.
            Method::PUT => {
                let change = GroupChange::RollBack { group, version };
                self.change_group(change, call).await
            }
            _ => Ok(call.method_not_allowed("GET, PUT")),
        }
    }

    /// The group at `path`, if there is one.
    pub(super) async fn known_group(&self, path: &str) -> Result<GroupId, ApiError> {
        let group = group_id(path)?;
        let wanted = group.clone();
        let exists = self
            .view(move |engine| wanted.is_none_or(|id| engine.root().has_group(&id)))
            .await?;
        match exists {
            true => Ok(group),
            false => Err(ApiError::no_group(document::name(&group))),
        }
    }
}

fn group_id(path: &str) -> Result<GroupId, ApiError> {
    match path.trim_matches('/') {
        "" => Ok(None),
        path => Ok(Some(path.parse()?)),
    }
}

/// The group that a document names, below the one that the URL names.
fn posted(above: GroupId, body: &Value) -> Result<GroupId, ApiError> {
    if !body.is_object() {
        return Err(wrong_type("/", "error.expected.jsobject"));
    }
    match body.get("id") {
        None | Some(Value::Null) => Ok(above),
        Some(Value::String(id)) if id == "/" => Ok(None),
        Some(Value::String(id)) => {
            // The URL may have named the group already.
            let named_twice = above
                .as_ref()
                .is_some_and(|a| a.as_str().trim_matches('/') == id);
            if named_twice {
                Ok(above)
            } else {
                Ok(Some(AppId::resolve(above.as_ref(), id)?))
            }
        }
        Some(_) => Err(wrong_type("/id", "error.expected.jsstring")),
    }
}
