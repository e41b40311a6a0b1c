//! Which version we say we are.

use serde_json::{Map, Value, json};

/// The Mesos version whose protocols we speak. Digits and dots only: clients parse every part as an
/// integer, and switch features on by it.
pub const MESOS_VERSION: &str = "1.11.0";

/// When this build was made, in seconds since the epoch (`SOURCE_DATE_EPOCH` if that was set).
const BUILD_TIME: &str = env!("LONGSHORE_BUILD_TIME");

/// The object that `/version` answers; `/state` carries the same keys.
#[must_use]
pub fn info() -> Map<String, Value> {
    let seconds: i64 = BUILD_TIME.parse().unwrap_or(0);
    let date = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    Map::from_iter([
        (
            "build_date".to_owned(),
            json!(date.format("%Y-%m-%d %H:%M:%S").to_string()),
        ),
        ("build_time".to_owned(), json!(seconds as f64)),
        ("build_user".to_owned(), json!("longshore")),
        ("version".to_owned(), json!(MESOS_VERSION)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_digits_and_dots() {
        assert!(
            MESOS_VERSION
                .split('.')
                .all(|part| part.parse::<u32>().is_ok())
        );
    }

    #[test]
    fn version_info_has_the_keys_that_clients_read() {
        let info = info();
        assert_eq!(info["version"], MESOS_VERSION);
        assert!(info["build_time"].is_f64());
        assert_eq!(
            info["build_date"].as_str().map(str::len),
            Some("2026-11-20 08:12:54".len())
        );
        assert!(info.contains_key("build_user"));
    }
}
