//! `update`: the limits of a container that runs.

pub mod amount;
pub mod asked;

use oci_spec::runtime::{LinuxResources, Spec};
use serde_json::Value;

use crate::error::{Error, call};
use crate::flags::Update;
use crate::status::{self, Status};
use crate::store::Store;

/// Changes what is named and leaves the rest; later calls, exec among them, find it in the spec.
pub fn update(store: &Store, flags: &Update) -> Result<(), Error> {
    let entry = store.find(&flags.id)?;
    let stored = entry.stored()?;
    let asked = asked::read(flags)?;
    let resources = parse(&asked)?;
    let spec = with(&entry.spec()?, asked)?;
    match status::of(&entry, &stored) {
        Status::Stopped => return Err(Error::NotRunning),
        Status::Created | Status::Running | Status::Paused => {}
    }
    containerizer::update_limits(&status::cgroup(&stored)?, &resources)?;
    entry.write_spec(&spec)
}

fn parse(asked: &Value) -> Result<LinuxResources, Error> {
    let parsed = serde_path_to_error::deserialize(asked.clone());
    parsed.map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        let at = error.path().to_string();
        let source = error.into_inner();
        Error::BadResources { at, source }
    })
}

pub fn with(spec: &Spec, asked: Value) -> Result<Spec, Error> {
    let copy = || -> Result<Spec, serde_json::Error> {
        let mut value = serde_json::to_value(spec)?;
        merge(&mut value["linux"]["resources"], asked);
        serde_json::from_value(value)
    };
    copy().map_err(call("change the container's spec"))
}

/// Objects member by member; a list is one thing.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let mut known = json!({"memory": {"limit": 5, "swap": 6}, "devices": [{"allow": false}]});
        merge(
            &mut known,
            json!({"memory": {"limit": 7}, "pids": {"limit": 8}}),
        );
        let wanted = json!({
            "memory": {"limit": 7, "swap": 6}, "devices": [{"allow": false}], "pids": {"limit": 8},
        });
        assert_eq!(known, wanted);
        merge(&mut known, json!({"devices": []}));
        assert_eq!(known["devices"], json!([]));
    }

    #[test]
    fn a_fault_is_named_by_its_place() {
        match parse(&json!({"cpu": {"quota": "x"}})) {
            Err(Error::BadResources { at, .. }) => assert_eq!(at, "cpu.quota"),
            other => panic!("{other:?}"),
        }
    }
}
