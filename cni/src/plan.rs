//! What a plugin is told: some words in its environment, and a document. Pure.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::network::{Network, Plugin};
use crate::version::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Add,
    Check,
    Del,
    /// Of a network, and of no container.
    Status,
    /// The same.
    Gc,
}

impl Command {
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
            Self::Status => "STATUS",
            Self::Gc => "GC",
        }
    }
}

/// What a container wants of a network, for those plugins that want to know. By the names that the
/// conventions of CNI give it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Runtime {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<RuntimeDns>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    pub host_port: u16,
    pub container_port: u16,
    /// tcp or udp.
    pub protocol: String,
}

/// Bits a second, and bits at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bandwidth {
    pub ingress_rate: u64,
    pub ingress_burst: u64,
    pub egress_rate: u64,
    pub egress_burst: u64,
}

/// In these words only here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeDns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Runtime {
    fn said_to(&self, plugin: &Plugin) -> Map<String, Value> {
        let Ok(Value::Object(mut all)) = serde_json::to_value(self) else {
            return Map::new();
        };
        all.retain(|name, _| plugin.capabilities.contains(name));
        all
    }
}

/// A container in one network.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub container: &'a str,
    /// What it calls its link there.
    pub interface: &'a str,
    /// `None` when its network namespace is no more.
    pub namespace: Option<&'a Path>,
    pub runtime: &'a Runtime,
    /// For plugins that know who runs them: "args".
    pub arguments: &'a Map<String, Value>,
    /// Where it is written what plugins are told of it.
    pub told: &'a Path,
}

/// One that a network is to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Valid {
    #[serde(rename = "containerID")]
    pub container: String,
    #[serde(rename = "ifname")]
    pub interface: String,
}

/// Beside where plugins lie. `place`: of what is about a container.
pub fn environment(command: Command, place: Option<&Place<'_>>) -> Vec<(&'static str, String)> {
    let command = [("CNI_COMMAND", command.word().to_owned())];
    let of_container = place.into_iter().flat_map(|place| {
        let namespace = place.namespace.map(|path| path.display().to_string());
        [
            ("CNI_CONTAINERID", place.container.to_owned()),
            ("CNI_NETNS", namespace.unwrap_or_default()),
            ("CNI_IFNAME", place.interface.to_owned()),
        ]
    });
    command.into_iter().chain(of_container).collect()
}

/// What each command says of a network.
fn described(network: &Network, plugin: &Plugin) -> Map<String, Value> {
    let mut fields = plugin.fields.clone();
    fields.remove("capabilities");
    fields.remove("cniVersions");
    fields.insert("cniVersion".to_owned(), json!(network.version.text()));
    fields.insert("name".to_owned(), json!(network.name));
    fields
}

/// Of no container. `valid`: all that the network is to have, for who is to take everything else away.
pub fn document_of_network(network: &Network, plugin: &Plugin, valid: Option<&[Valid]>) -> Value {
    let mut fields = described(network, plugin);
    let valid = valid.map(|valid| ("cni.dev/valid-attachments".to_owned(), json!(valid)));
    fields.extend(valid);
    Value::Object(fields)
}

/// `previous`: what the plugin before it said, or when all is there the last one.
pub fn document(
    network: &Network,
    plugin: &Plugin,
    place: &Place<'_>,
    previous: Option<&Value>,
) -> Value {
    let mut fields = described(network, plugin);
    let runtime = place.runtime.said_to(plugin);
    if !runtime.is_empty() {
        fields.insert("runtimeConfig".to_owned(), Value::Object(runtime));
    }
    if !place.arguments.is_empty() {
        let args = fields.entry("args").or_insert_with(|| json!({}));
        if let Value::Object(args) = args {
            args.extend(place.arguments.clone());
        }
    }
    if let Some(previous) = previous {
        fields.insert(
            "prevResult".to_owned(),
            of_version(previous, network.version),
        );
    }
    Value::Object(fields)
}

fn of_version(result: &Value, version: Version) -> Value {
    let mut result = result.clone();
    if let Value::Object(fields) = &mut result {
        fields.insert("cniVersion".to_owned(), json!(version.text()));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"cniVersion": "0.4.0", "name": "blue", "plugins": [
        {"type": "bridge", "bridge": "b0", "args": {"own": 1}},
        {"type": "portmap", "capabilities": {"portMappings": true, "mac": true}}]}"#;

    fn runtime() -> Runtime {
        Runtime {
            port_mappings: vec![PortMapping {
                host_port: 31000,
                container_port: 80,
                protocol: "tcp".to_owned(),
            }],
            ips: vec!["10.0.0.5".to_owned()],
            ..Runtime::default()
        }
    }

    #[test]
    fn each_plugin_is_told_what_it_can_do_and_what_the_one_before_it_said() {
        let network = Network::parse(LIST).unwrap();
        let (runtime, mut arguments) = (runtime(), Map::new());
        arguments.insert("org.apache.mesos".to_owned(), json!({"x": 1}));
        let place = Place {
            container: "c1",
            interface: "eth0",
            namespace: Some(Path::new("/run/ns")),
            runtime: &runtime,
            arguments: &arguments,
            told: Path::new("/told"),
        };
        let first = document(&network, &network.plugins[0], &place, None);
        let args = json!({"own": 1, "org.apache.mesos": {"x": 1}});
        assert_eq!(
            first,
            json!({"cniVersion": "0.4.0", "name": "blue", "type": "bridge", "bridge": "b0", "args": args})
        );
        let said = json!({"cniVersion": "0.3.1", "ips": []});
        let second = document(&network, &network.plugins[1], &place, Some(&said));
        assert_eq!(
            second["prevResult"],
            json!({"cniVersion": "0.4.0", "ips": []})
        );
        let mapping = json!({"hostPort": 31000, "containerPort": 80, "protocol": "tcp"});
        assert_eq!(second["runtimeConfig"], json!({"portMappings": [mapping]}));
        assert!(second.get("capabilities").is_none());
        let environment = environment(Command::Add, Some(&place));
        let of = |name| {
            environment
                .iter()
                .find(|it| it.0 == name)
                .map(|it| it.1.as_str())
        };
        assert_eq!(of("CNI_COMMAND"), Some("ADD"));
        assert_eq!(of("CNI_CONTAINERID"), Some("c1"));
        assert_eq!(of("CNI_NETNS"), Some("/run/ns"));
        assert_eq!(of("CNI_IFNAME"), Some("eth0"));
    }
}
