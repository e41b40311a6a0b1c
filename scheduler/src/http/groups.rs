//! /v2/groups

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::apps::deployed;
use super::error::ApiError;
use super::json::{self as render, Embed};
use super::reply::Reply;
use super::{Api, Call};
use crate::app::{AppId, Invalid};
use crate::engine::{Change, Engine, GroupChange, GroupId};

impl Api {
    /// `path` is the group that the URL names.
    pub(super) async fn groups(&self, path: Option<&str>, call: &Call) -> Result<Reply, ApiError> {
        let named: GroupId = match path.map(|p| p.trim_matches('/')) {
            None | Some("") => None,
            Some(path) => Some(path.parse()?),
        };
        let change = match call.method {
            Method::GET => return self.show_group(named).await,
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
            _ => return Ok(Reply::method_not_allowed("GET, POST, PUT, DELETE")),
        };
        let created = match &change {
            GroupChange::Create { group, body } if body.get("scaleBy").is_none() => {
                Some(format!("/v2/groups{}", name(group).trim_end_matches('/')))
            }
            _ => None,
        };
        let force = call.query.flag("force", false);
        let reply = deployed(self.change(Change::Group { change, force }).await?);
        Ok(match created {
            Some(location) => reply.created_at(location),
            None => reply,
        })
    }

    async fn show_group(&self, group: GroupId) -> Result<Reply, ApiError> {
        let missing = format!("Group '{}' does not exist", name(&group));
        let shown = self.view(move |engine| {
            let exists = group.as_ref().is_none_or(|id| engine.root().has_group(id));
            exists.then(|| document(engine, &group))
        });
        match shown.await? {
            Some(group) => Ok(Reply::json(group)),
            None => Err(ApiError::new(StatusCode::NOT_FOUND, missing)),
        }
    }
}

fn name(group: &GroupId) -> &str {
    group.as_ref().map_or("/", AppId::as_str)
}

/// The group that a document names, below the one that the URL names.
fn posted(above: GroupId, body: &Value) -> Result<GroupId, ApiError> {
    match body.get("id") {
        None => Ok(above),
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
        Some(_) => {
            let errors = vec!["error.expected.jsstring".to_owned()];
            Err(Invalid::syntax(vec![("/id".to_owned(), errors)]).into())
        }
    }
}

/// A group with all that lies below it.
fn document(engine: &Engine, group: &GroupId) -> Value {
    let root = engine.root();
    let apps = root.apps.values().filter(|r| r.app.id.parent() == *group);
    let apps: Vec<Value> = apps
        .map(|r| render::app(engine, r, Embed::default()))
        .collect();
    let ids = root
        .groups
        .keys()
        .cloned()
        .chain(root.apps.keys().filter_map(AppId::parent));
    // Groups between here and an app need not be stored.
    let all = ids.flat_map(|id| std::iter::successors(Some(id), AppId::parent));
    let mut children: Vec<AppId> = all.filter(|id| id.parent() == *group).collect();
    children.sort();
    children.dedup();
    let groups: Vec<Value> = children
        .into_iter()
        .map(|id| document(engine, &Some(id)))
        .collect();
    let stored = group.as_ref().and_then(|id| root.groups.get(id));
    let dependencies = stored
        .map(|g| g.dependencies.as_slice())
        .unwrap_or_default();
    let below = |id: &AppId| group.as_ref().is_none_or(|group| id.is_below(group));
    let versions = root
        .apps
        .values()
        .filter(|r| below(&r.app.id))
        .map(|r| r.version);
    let version = versions.max().unwrap_or_else(|| engine.last_version());
    json!({
        "id": name(group),
        "apps": apps,
        "groups": groups,
        "pods": [],
        "dependencies": dependencies.iter().map(AppId::as_str).collect::<Vec<_>>(),
        "version": render::time(version),
    })
}
