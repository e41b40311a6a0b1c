//! `state`: a container as the OCI runtime spec describes it, and as hooks are told.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Serialize;

use crate::error::{Error, call};
use crate::status::{self, Status};
use crate::store::{Entry, Store, Stored};

/// Keys in the order that readers expect.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub oci_version: String,
    pub id: String,
    /// 0 once it has stopped.
    pub pid: u32,
    pub status: &'static str,
    pub bundle: String,
    pub rootfs: String,
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    pub owner: String,
}

impl State {
    pub fn of(entry: &Entry, stored: &Stored) -> Self {
        let status = status::of(entry, stored);
        let pid = match status {
            Status::Stopped => 0,
            Status::Created | Status::Running | Status::Paused => stored.process.pid,
        };
        Self {
            pid,
            ..Self::as_told(entry, stored, status.name())
        }
    }

    /// For hooks: the status is what their moment is called.
    pub fn as_told(entry: &Entry, stored: &Stored, status: &'static str) -> Self {
        Self {
            oci_version: stored.oci_version.clone(),
            id: entry.id.as_str().to_owned(),
            pid: stored.process.pid,
            status,
            bundle: stored.bundle.to_string_lossy().into_owned(),
            rootfs: stored.rootfs.to_string_lossy().into_owned(),
            created: stored.created.clone(),
            annotations: stored.annotations.clone(),
            owner: String::new(),
        }
    }

    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(call("write a state as JSON"))
    }
}

pub fn print(store: &Store, id: &str) -> Result<(), Error> {
    let entry = store.find(id)?;
    let state = State::of(&entry, &entry.stored()?);
    let text = serde_json::to_string_pretty(&state).map_err(call("write a state as JSON"))?;
    writeln!(std::io::stdout(), "{text}").map_err(call("write to stdout"))
}
