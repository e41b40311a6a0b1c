//! What can be asked of containers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Call, segment};
use crate::client::Engine;
use crate::create::{Create, Resources};
use crate::error::EngineError;
use crate::frames::Logs;
use crate::inspected::{Inspected, null_is_empty};
use crate::lines::Lines;

/// One of many.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    pub id: String,
    /// With a slash before each, as the engine has them.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub names: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub state: String,
}

/// What has happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// `start`, `die`, `oom`, `destroy` …
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano", default)]
    pub time_nano: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    /// Labels among them.
    #[serde(rename = "Attributes", default, deserialize_with = "null_is_empty")]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
    #[serde(default)]
    error: Option<Why>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Why {
    #[serde(default)]
    message: String,
}

impl Engine {
    /// Its id, and what the engine warns of. Errors: `is_not_found`: the image is not there; `is_conflict`: the
    /// name is taken.
    pub async fn create(
        &self,
        name: &str,
        create: &Create,
    ) -> Result<(String, Vec<String>), EngineError> {
        let what = format!("create container {name}");
        let body = serde_json::to_value(create).map_err(|source| EngineError::Nonsense {
            what: what.clone(),
            source,
        })?;
        let call = Call::post(what, "containers/create")
            .with("name", name)
            .body(body);
        let created: Created = self.json(&call).await?;
        Ok((created.id, created.warnings))
    }

    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        let call = self.of(container, "start", "start");
        self.done(&call).await.map(drop)
    }

    pub async fn inspect(&self, container: &str) -> Result<Inspected, EngineError> {
        let path = format!("containers/{}/json", segment(container));
        let call = Call::get(format!("inspect container {container}"), path);
        self.json(&call).await
    }

    /// Returns its exit status once it does not run any more, however long that takes.
    pub async fn wait(&self, container: &str) -> Result<i64, EngineError> {
        let call = self.of(container, "tell the end of", "wait");
        let call = call.with("condition", "not-running");
        let mut lines = Lines::of(&call, self.send(&call).await?);
        let Some(waited) = lines.next::<Waited>().await? else {
            return Err(EngineError::BadStream {
                what: call.what,
                why: "it ends without a word",
            });
        };
        match waited.error {
            Some(why) if !why.message.is_empty() => Err(EngineError::Refused {
                what: call.what,
                status: None,
                message: why.message,
            }),
            _ => Ok(waited.status_code),
        }
    }

    /// The image's stop signal, and SIGKILL after `grace`. Returns when it has ended.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let call = self.of(container, "stop", "stop");
        let call = call.with("t", grace.as_secs());
        // The engine answers when it is over.
        self.within(grace).done(&call).await.map(drop)
    }

    /// Errors: `is_conflict`: it does not run.
    pub async fn kill(&self, container: &str, signal: i32) -> Result<(), EngineError> {
        let call = self.of(container, "signal", "kill");
        self.done(&call.with("signal", signal)).await.map(drop)
    }

    /// With its anonymous volumes, also while it runs.
    pub async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let path = format!("containers/{}", segment(container));
        let call = Call::delete(format!("remove container {container}"), path);
        let call = call.with("force", true).with("v", true);
        self.done(&call).await.map(drop)
    }

    /// All that have these labels, whether they run or not. A label without a value may have any.
    pub async fn list(&self, labels: &[(&str, Option<&str>)]) -> Result<Vec<Listed>, EngineError> {
        let call = Call::get("list containers", "containers/json");
        let call = call
            .with("all", true)
            .with("filters", json!({ "label": filters(labels) }));
        self.json(&call).await
    }

    /// Changes what it may use.
    pub async fn update(&self, container: &str, resources: &Resources) -> Result<(), EngineError> {
        let call = self.of(container, "change the limits of", "update");
        let body = serde_json::to_value(resources).unwrap_or_default();
        self.done(&call.body(body)).await.map(drop)
    }

    /// What it uses at this moment, in the engine's words.
    pub async fn statistics(&self, container: &str) -> Result<Value, EngineError> {
        let path = format!("containers/{}/stats", segment(container));
        let call = Call::get(format!("count what container {container} uses"), path);
        // Without the second look of a second later.
        self.json(&call.with("stream", false).with("one-shot", true))
            .await
    }

    /// What it has written since `since`, in seconds since 1970 with nanoseconds behind a point, each frame with
    /// its time before it. With `follows` until it ends.
    pub async fn logs(
        &self,
        container: &str,
        since: Option<&str>,
        follows: bool,
    ) -> Result<Logs, EngineError> {
        let path = format!("containers/{}/logs", segment(container));
        let call = Call::get(format!("show the output of container {container}"), path);
        let mut call = call
            .with("stdout", true)
            .with("stderr", true)
            .with("timestamps", true)
            .with("follow", follows);
        if let Some(since) = since {
            call = call.with("since", since);
        }
        Ok(Logs::of(&call, self.send(&call).await?))
    }

    /// What happens from now on to containers that have these labels.
    pub async fn events(&self, labels: &[(&str, Option<&str>)]) -> Result<Lines, EngineError> {
        let call = Call::get("tell what happens to containers", "events");
        let filters = json!({ "type": ["container"], "label": filters(labels) });
        let call = call.with("filters", filters);
        Ok(Lines::of(&call, self.send(&call).await?))
    }

    fn of(&self, container: &str, verb: &str, path: &str) -> Call {
        let path = format!("containers/{}/{path}", segment(container));
        Call::post(format!("{verb} container {container}"), path)
    }
}

fn filters(labels: &[(&str, Option<&str>)]) -> Vec<String> {
    let filter = |(key, value): &(&str, Option<&str>)| match value {
        Some(value) => format!("{key}={value}"),
        None => (*key).to_owned(),
    };
    labels.iter().map(filter).collect()
}
