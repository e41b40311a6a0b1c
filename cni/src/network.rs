//! What a file of an operator says: a network, and the plugins that connect a container with it. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::version::Version;

/// Of one network.
const MOST_PLUGINS: usize = 32;

/// Of names, which become names of files and of chains of rules.
const LONGEST_NAME: usize = 255;

#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub name: String,
    pub version: Version,
    /// Its plugins can be asked whether a container is still connected.
    pub can_check: bool,
    /// And whether what they remember is somebody's. An operator forbids that of a network that others connect
    /// containers with, too.
    pub can_collect: bool,
    pub plugins: Vec<Plugin>,
    /// As it was read.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Name of its program.
    pub kind: String,
    /// What it wants to be told of a container beside what is in the file.
    pub capabilities: BTreeSet<String>,
    /// All that is said to it.
    pub fields: Map<String, Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadNetwork {
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    #[error("{what} is not {wanted}")]
    Field { what: String, wanted: &'static str },
    #[error(
        "its name is {0:?}: it must begin with a letter or digit, and go on with those, '_', '.' and '-'"
    )]
    Name(String),
    #[error("plugin {0:?} has no name of a program: give a file's name, without a path")]
    Plugin(String),
    #[error("its cniVersion is {0:?}: this build knows 0.1.0 to 1.1.0")]
    Version(String),
    #[error("it has {0} plugins: there must be at least one, and at most {MOST_PLUGINS}")]
    Plugins(usize),
}

fn field(what: impl Into<String>, wanted: &'static str) -> BadNetwork {
    BadNetwork::Field {
        what: what.into(),
        wanted,
    }
}

impl Network {
    /// Of a list of plugins, or of one that stands alone.
    pub fn parse(text: &str) -> Result<Self, BadNetwork> {
        let value: Value = serde_json::from_str(text).map_err(BadNetwork::Json)?;
        let Value::Object(fields) = value else {
            return Err(field("it", "an object"));
        };
        let name = string(&fields, "name")?.unwrap_or_default();
        if !is_name(&name) {
            return Err(BadNetwork::Name(name));
        }
        let version = version(&fields)?;
        let can_check = version.keeps_results() && !switch(&fields, "disableCheck")?;
        let can_collect = version.looks_after_networks() && !switch(&fields, "disableGC")?;
        let plugins = match fields.get("plugins") {
            Some(Value::Array(list)) => list.iter().map(Plugin::of).collect::<Result<_, _>>()?,
            Some(_) => return Err(field("\"plugins\"", "a list")),
            None => vec![Plugin::of(&Value::Object(fields))?],
        };
        if plugins.is_empty() || plugins.len() > MOST_PLUGINS {
            return Err(BadNetwork::Plugins(plugins.len()));
        }
        Ok(Self {
            name,
            version,
            can_check,
            can_collect,
            plugins,
            text: text.to_owned(),
        })
    }

    /// Whether one of its plugins wants to be told that.
    pub fn takes(&self, capability: &str) -> bool {
        let mut plugins = self.plugins.iter();
        plugins.any(|plugin| plugin.capabilities.contains(capability))
    }
}

impl Plugin {
    fn of(value: &Value) -> Result<Self, BadNetwork> {
        let Value::Object(fields) = value else {
            return Err(field("a plugin", "an object"));
        };
        let kind = string(fields, "type")?.unwrap_or_default();
        let is_odd = |c: char| c == '/' || c.is_control();
        if matches!(kind.as_str(), "" | "." | "..")
            || kind.len() > LONGEST_NAME
            || kind.contains(is_odd)
        {
            return Err(BadNetwork::Plugin(kind));
        }
        let capabilities = match fields.get("capabilities") {
            None | Some(Value::Null) => BTreeSet::new(),
            Some(Value::Object(all)) => {
                let on = all.iter().filter(|(_, is_on)| **is_on == Value::Bool(true));
                on.map(|(name, _)| name.clone()).collect()
            }
            Some(_) => return Err(field("\"capabilities\"", "an object")),
        };
        Ok(Self {
            kind,
            capabilities,
            fields: fields.clone(),
        })
    }
}

/// Of networks, and of containers as plugins know them.
pub fn is_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.len() <= LONGEST_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_fine)
}

/// The newest that is known here of those that a file offers; none is the oldest.
fn version(fields: &Map<String, Value>) -> Result<Version, BadNetwork> {
    let one = string(fields, "cniVersion")?;
    let several: Vec<String> = match fields.get("cniVersions") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|it| it.as_str().map(str::to_owned));
            let texts: Option<_> = texts.collect();
            texts.ok_or_else(|| field("\"cniVersions\"", "a list of strings"))?
        }
        Some(_) => return Err(field("\"cniVersions\"", "a list of strings")),
    };
    let all: Vec<_> = one.into_iter().chain(several).collect();
    if all.is_empty() {
        return Ok(Version::V010);
    }
    let known = all.iter().filter_map(|text| Version::parse(text)).max();
    known.ok_or_else(|| BadNetwork::Version(all.join(", ")))
}

fn string(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, BadNetwork> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(field(format!("{name:?}"), "a string")),
    }
}

/// Some write it as a string.
fn switch(fields: &Map<String, Value>, name: &str) -> Result<bool, BadNetwork> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_on)) => Ok(*is_on),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(field(format!("{name:?}"), "true or false")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(network: &Network) -> Vec<&str> {
        let plugins = network.plugins.iter();
        plugins.map(|plugin| plugin.kind.as_str()).collect()
    }

    #[test]
    fn a_plugin_alone_is_a_list_of_one() {
        let network = Network::parse(r#"{"name": "blue", "type": "bridge", "x": 1}"#).unwrap();
        assert_eq!(
            (network.name.as_str(), network.version),
            ("blue", Version::V010)
        );
        assert_eq!(kinds(&network), ["bridge"]);
        assert_eq!(network.plugins[0].fields["x"], 1);
        assert!(!network.can_check);
    }

    #[test]
    fn a_list_keeps_its_order_and_what_each_plugin_wants_to_know() {
        let text = r#"{"cniVersion": "0.4.0", "name": "b-1.x", "plugins": [
            {"type": "bridge"},
            {"type": "portmap", "capabilities": {"portMappings": true, "dns": false}}]}"#;
        let network = Network::parse(text).unwrap();
        assert_eq!(kinds(&network), ["bridge", "portmap"]);
        assert!(network.takes("portMappings") && !network.takes("dns"));
        assert!(network.can_check);
        let quiet = text.replacen('{', r#"{"disableCheck": "true","#, 1);
        assert!(!Network::parse(&quiet).unwrap().can_check);
    }

    #[test]
    fn what_is_not_held_by_anybody_is_collected_from_1_1_on_but_where_that_is_forbidden() {
        let of = |version: &str, more: &str| {
            let text = format!(r#"{{"name": "a", "type": "t", "cniVersion": "{version}"{more}}}"#);
            Network::parse(&text).unwrap().can_collect
        };
        assert!(!of("1.0.0", ""));
        assert!(of("1.1.0", ""));
        assert!(of("1.1.0", r#", "disableGC": false"#));
        assert!(!of("1.1.0", r#", "disableGC": true"#));
    }

    #[test]
    fn of_several_versions_the_newest_that_is_known_is_spoken() {
        let of = |text: &str| {
            let text = format!(r#"{{"name": "a", "type": "t", {text}}}"#);
            Network::parse(&text).map(|network| network.version.text())
        };
        assert_eq!(of(r#""cniVersion": "1.1.0""#).unwrap(), "1.1.0");
        let several = r#""cniVersion": "0.4.0", "cniVersions": ["1.0.0", "7.0.0"]"#;
        assert_eq!(of(several).unwrap(), "1.0.0");
        let error = of(r#""cniVersion": "7.0.0""#).unwrap_err().to_string();
        assert!(error.contains("\"7.0.0\""), "{error}");
    }

    #[test]
    fn what_cannot_be_a_network_is_refused() {
        let table = [
            ("", "not JSON"),
            ("[]", "it is not an object"),
            (r#"{"type": "t"}"#, "its name is \"\""),
            (r#"{"name": "../up", "type": "t"}"#, "its name is \"../up\""),
            (r#"{"name": "a/b", "type": "t"}"#, "its name is \"a/b\""),
            (r#"{"name": "a", "type": "../../bin/sh"}"#, "without a path"),
            (r#"{"name": "a", "type": ".."}"#, "without a path"),
            (r#"{"name": "a", "type": 1}"#, "\"type\" is not a string"),
            (r#"{"name": "a"}"#, "no name of a program"),
            (r#"{"name": "a", "plugins": []}"#, "it has 0 plugins"),
            (
                r#"{"name": "a", "plugins": {}}"#,
                "\"plugins\" is not a list",
            ),
            (
                r#"{"name": "a", "plugins": [1]}"#,
                "a plugin is not an object",
            ),
            (
                r#"{"name": "a", "type": "t", "capabilities": []}"#,
                "\"capabilities\"",
            ),
            (
                r#"{"name": "a", "type": "t", "cniVersions": [1]}"#,
                "\"cniVersions\"",
            ),
            (
                r#"{"name": "a", "type": "t", "cniVersion": "1", "disableCheck": 1}"#,
                "cniVersion is",
            ),
            (
                r#"{"name": "a", "type": "t", "cniVersion": "1.0.0", "disableCheck": 1}"#,
                "disableCheck",
            ),
        ];
        for (text, wanted) in table {
            let error = Network::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let long = format!(r#"{{"name": "{}", "type": "t"}}"#, "a".repeat(256));
        assert!(matches!(Network::parse(&long), Err(BadNetwork::Name(_))));
        let many = vec![r#"{"type": "t"}"#; MOST_PLUGINS + 1].join(",");
        let many = format!(r#"{{"name": "a", "plugins": [{many}]}}"#);
        assert!(matches!(
            Network::parse(&many),
            Err(BadNetwork::Plugins(33))
        ));
    }

    proptest! {
        #[test]
        fn no_name_of_a_network_or_program_leads_elsewhere(name in ".{0,12}", kind in ".{0,12}") {
            let text = serde_json::json!({"name": name, "type": kind}).to_string();
            if let Ok(network) = Network::parse(&text) {
                for name in [&network.name, &network.plugins[0].kind] {
                    let path = std::path::Path::new("/top").join(name);
                    prop_assert_eq!(path.parent(), Some(std::path::Path::new("/top")));
                    prop_assert!(path.file_name().is_some());
                }
            }
        }
    }
}
