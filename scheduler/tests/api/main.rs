//! The API as clients meet it, over HTTP, with a master in memory.

mod apps;
mod clients;
mod events;
mod groups;
mod support;

use serde_json::{Value, json};

/// An app that needs next to nothing.
fn sleeper(id: &str, instances: u32) -> Value {
    json!({"id": id, "cmd": "sleep 1000", "cpus": 0.01, "mem": 1, "instances": instances})
}
