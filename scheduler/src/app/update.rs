//! Changes of an existing app: part of a definition laid over the whole.

use serde_json::{Map, Value};

use super::{App, Invalid, Timestamp};

/// A key that is set, and the keys of the stored app that it makes void.
const DISPLACES: &[(&str, &[&str])] = &[
    ("cmd", &["args"]),
    ("args", &["cmd"]),
    ("uris", &["fetch"]),
    ("ports", &["portDefinitions"]),
    ("ipAddress", &["networks"]),
];

/// The complete definition that `change` makes of `app`.
pub(super) fn overlay(app: &App, change: &Value) -> Result<Value, Invalid> {
    let Value::Object(change) = change else {
        // Not an object: reading it says so.
        return Ok(change.clone());
    };
    let mut whole = app.to_json();
    let displaced = DISPLACES.iter().filter(|(key, _)| is_set(change, key));
    for key in displaced.flat_map(|(_, keys)| *keys) {
        whole.remove(*key);
    }
    if names_docker_network(change) {
        whole.remove("networks");
    }
    // `null` stays `null` in the result, which reads as absent: the default is back.
    whole.extend(
        change
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    Ok(Value::Object(whole))
}

/// Web forms send empty values for fields that were not filled in.
fn is_set(change: &Map<String, Value>, key: &str) -> bool {
    match change.get(key) {
        None | Some(Value::Null) => false,
        // An empty `ports` says something: the app has no ports.
        Some(Value::Array(items)) => !items.is_empty() || key == "ports",
        Some(_) => true,
    }
}

fn names_docker_network(change: &Map<String, Value>) -> bool {
    let network = change
        .get("container")
        .and_then(|c| c.pointer("/docker/network"));
    network.is_some_and(|network| !network.is_null())
}

pub(super) fn rollback(
    body: &Value,
    current: Option<Timestamp>,
) -> Result<Option<Timestamp>, Invalid> {
    let Some(version) = body.get("version").filter(|v| !v.is_null()) else {
        return Ok(None);
    };
    let Some(text) = version.as_str() else {
        let word = vec!["error.expected.jsstring".to_owned()];
        return Err(Invalid::syntax(vec![("/version".to_owned(), word)]));
    };
    let version: Timestamp = text
        .parse()
        .map_err(|error: super::BadTimestamp| Invalid::argument(error.to_string()))?;
    let others = body.as_object().into_iter().flatten();
    let alone = others
        .filter(|(_, value)| !value.is_null())
        .all(|(key, _)| matches!(key.as_str(), "version" | "id"));
    match alone {
        true => Ok(Some(version)),
        false if Some(version) == current => Ok(None),
        false => Err(Invalid::argument(
            "The 'version' field may only be combined with the 'id' field.",
        )),
    }
}
