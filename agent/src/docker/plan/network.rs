//! The network of a container, and the ports of it that the host passes on. Pure.
//!
//! Source: spec/mesos-agent.md section 24.

use std::collections::BTreeMap;

use engine::{Empty, PortBinding};
use proto::resources::Ranges;
use proto::v1;
use proto::v1::container_info::DockerInfo;
use proto::v1::container_info::docker_info::Network as Kind;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    #[error("docker.network is USER: exactly one of network_infos must name the network")]
    Unnamed,
    #[error(
        "a container with the host's network has its hostname, too: take hostname away, or use BRIDGE"
    )]
    Hostname,
    #[error(
        "port mappings are for the networks BRIDGE and USER: take them away, or change docker.network"
    )]
    Mappings,
    #[error("the task does not hold port {0} of the host, which it maps to its container")]
    NotHeld(u32),
    #[error("the protocol of a port mapping is {0:?}: it must be tcp or udp")]
    Protocol(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// As the engine calls it.
    pub mode: String,
    pub hostname: String,
    pub exposed: BTreeMap<String, Empty>,
    pub bindings: BTreeMap<String, Vec<PortBinding>>,
}

/// `held`: the ports of the host that are the task's.
pub fn network(
    container: &v1::ContainerInfo,
    docker: &DockerInfo,
    held: &Ranges,
) -> Result<Network, BadNetwork> {
    let mode = match docker.network() {
        Kind::Host => "host",
        Kind::Bridge => "bridge",
        Kind::None => "none",
        Kind::User => match container.network_infos.as_slice() {
            [info] if !info.name().is_empty() => info.name(),
            _ => return Err(BadNetwork::Unnamed),
        },
    };
    // The engine knows it by that name, whatever the task's words for it are.
    let is_own = !matches!(docker.network(), Kind::Host);
    let hostname = container.hostname.clone().unwrap_or_default();
    if !hostname.is_empty() && !is_own {
        return Err(BadNetwork::Hostname);
    }
    let has_ports = matches!(docker.network(), Kind::Bridge | Kind::User);
    if !docker.port_mappings.is_empty() && !has_ports {
        return Err(BadNetwork::Mappings);
    }
    let mut network = Network {
        mode: mode.to_owned(),
        hostname,
        ..Network::default()
    };
    for mapping in &docker.port_mappings {
        if !held.contains(mapping.host_port.into()) {
            return Err(BadNetwork::NotHeld(mapping.host_port));
        }
        let protocols = mapping.protocol.as_deref().unwrap_or("tcp");
        // Marathon has both in one mapping as "udp,tcp".
        for protocol in protocols.split(',') {
            let protocol = protocol.to_ascii_lowercase();
            if !["tcp", "udp"].contains(&protocol.as_str()) {
                return Err(BadNetwork::Protocol(protocols.to_owned()));
            }
            let port = format!("{}/{protocol}", mapping.container_port);
            network.exposed.insert(port.clone(), Empty {});
            network.bindings.entry(port).or_default().push(PortBinding {
                host_ip: String::new(),
                host_port: mapping.host_port.to_string(),
            });
        }
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        kind: Kind,
        host_port: Option<u32>,
        change: impl FnOnce(&mut v1::ContainerInfo),
    ) -> Result<Network, BadNetwork> {
        let mut container = v1::ContainerInfo::default();
        change(&mut container);
        let mapping = |host_port| v1::container_info::docker_info::PortMapping {
            host_port,
            container_port: 80,
            protocol: Some("udp,tcp".into()),
        };
        let docker = DockerInfo {
            network: Some(kind as i32),
            port_mappings: host_port.into_iter().map(mapping).collect(),
            ..Default::default()
        };
        network(
            &container,
            &docker,
            &Ranges::parse("[31000-31001]").unwrap(),
        )
    }

    #[test]
    fn each_kind_is_the_engines_network_of_that_name() {
        let mode = |kind| found(kind, None, |_| {}).map(|it| it.mode);
        assert_eq!(mode(Kind::Host).unwrap(), "host");
        assert_eq!(mode(Kind::Bridge).unwrap(), "bridge");
        assert_eq!(mode(Kind::None).unwrap(), "none");
        assert_eq!(mode(Kind::User), Err(BadNetwork::Unnamed));
        let named = found(Kind::User, None, |container| {
            container.network_infos.push(v1::NetworkInfo {
                name: Some("web".into()),
                ..Default::default()
            });
        });
        assert_eq!(named.unwrap().mode, "web");
    }

    #[test]
    fn ports_that_the_task_holds_are_passed_on() {
        let network = found(Kind::Bridge, Some(31000), |_| {}).unwrap();
        let ports: Vec<_> = network.bindings.keys().collect();
        assert_eq!(ports, ["80/tcp", "80/udp"]);
        assert_eq!(network.bindings["80/tcp"][0].host_port, "31000");
        assert!(network.exposed.contains_key("80/udp"));
        let refused = found(Kind::Bridge, Some(80), |_| {});
        assert_eq!(refused, Err(BadNetwork::NotHeld(80)));
        assert_eq!(
            found(Kind::Host, Some(31000), |_| {}),
            Err(BadNetwork::Mappings)
        );
    }

    #[test]
    fn a_name_of_its_own_needs_a_network_of_its_own() {
        let named = |container: &mut v1::ContainerInfo| container.hostname = Some("h".into());
        assert_eq!(found(Kind::Host, None, named), Err(BadNetwork::Hostname));
        assert_eq!(found(Kind::Bridge, None, named).unwrap().hostname, "h");
    }
}
