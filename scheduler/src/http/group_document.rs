//! Groups as clients read them: each with all that lies below it.

use std::sync::Arc;

use endpoint::Query;
use serde_json::{Value, json};

use super::apps::embed;
use super::json::{self as render, Embed};
use crate::app::{AppId, Timestamp};
use crate::engine::{Engine, GroupId};
use crate::root::{Revision, Root};

/// What a group is shown with.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    apps: bool,
    groups: bool,
    pods: bool,
    app: Embed,
}

impl Parts {
    /// Everything, unless the query chooses.
    pub fn read(query: &Query) -> Self {
        let asks = |what: &str| {
            let is = |value: &str| value == what || value.starts_with(&format!("{what}."));
            query.all("embed").any(is)
        };
        let chosen = [asks("group.apps"), asks("group.groups"), asks("group.pods")];
        let [apps, groups, pods] = match chosen {
            [false, false, false] => [true; 3],
            chosen => chosen,
        };
        Self {
            apps,
            groups,
            pods,
            app: embed(query),
        }
    }
}

pub fn name(group: &GroupId) -> &str {
    group.as_ref().map_or("/", AppId::as_str)
}

pub fn current(engine: &Engine, group: &GroupId, parts: Parts) -> Value {
    let mut document = Document {
        root: engine.root(),
        parts,
        app: &|revision| render::app(engine, revision, parts.app),
        version: &|group| engine.group_version(group),
    };
    document.of(group)
}

/// Apps are shown without what only running ones have.
pub fn past(root: &Root, group: &GroupId, version: Timestamp) -> Value {
    let parts = Parts {
        apps: true,
        groups: true,
        pods: true,
        app: Embed::default(),
    };
    let mut document = Document {
        root,
        parts,
        app: &|revision| Value::Object(render::revision(revision)),
        version: &|_| version,
    };
    document.of(group)
}

struct Document<'a> {
    root: &'a Root,
    parts: Parts,
    app: &'a dyn Fn(&Revision) -> Value,
    version: &'a dyn Fn(&GroupId) -> Timestamp,
}

impl Document<'_> {
    fn of(&mut self, group: &GroupId) -> Value {
        let stored = group.as_ref().and_then(|id| self.root.groups.get(id));
        let dependencies = stored
            .map(|g| g.dependencies.as_slice())
            .unwrap_or_default();
        let mut document = json!({
            "id": name(group),
            "dependencies": dependencies.iter().map(AppId::as_str).collect::<Vec<_>>(),
            "version": render::time((self.version)(group)),
        });
        if self.parts.apps {
            let apps = self.root.apps.values().map(Arc::as_ref);
            let direct = apps.filter(|r| r.app.id.parent() == *group);
            document["apps"] = direct.map(self.app).collect();
        }
        if self.parts.groups {
            let children = self.root.children(group).into_iter();
            document["groups"] = children.map(|id| self.of(&Some(id))).collect();
        }
        if self.parts.pods {
            document["pods"] = json!([]);
        }
        document
    }
}
