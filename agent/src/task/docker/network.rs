//! Networks of Docker's, as this node has them. Pure.

use proto::v1;
use proto::v1::container_info::DockerInfo;
use proto::v1::container_info::docker_info::Network;

use super::BadDocker;
use crate::networks::wish::NONE;

/// What a parameter says instead of the field.
pub fn overridden(docker: &DockerInfo) -> Option<&str> {
    let keys = ["network", "net"];
    let said = docker.parameters.iter().rev().find(|parameter| {
        let key = parameter.key.trim_start_matches('-');
        keys.contains(&key)
    });
    said.map(|parameter| parameter.value.as_str())
}

/// Docker's own bridge is this node's.
pub fn network(
    docker: &DockerInfo,
    instead: Option<&str>,
    bridge: &str,
    info: &mut v1::ContainerInfo,
) -> Result<(), BadDocker> {
    let named = |name: &str| v1::NetworkInfo {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let has_name = info.network_infos.iter().any(|it| it.name.is_some());
    match (instead, docker.network()) {
        (Some("host"), _) => info.network_infos.clear(),
        (Some("bridge" | "default"), _) => info.network_infos = vec![named(bridge)],
        (Some("none"), _) => info.network_infos = vec![named(NONE)],
        (Some(other), _) if other.is_empty() || other.contains(':') => {
            return Err(BadDocker::Value {
                key: "network".to_owned(),
                value: other.to_owned(),
                wanted: "host, bridge, none or the name of a network",
            });
        }
        (Some(name), _) => info.network_infos = vec![named(name)],
        (None, Network::Bridge) if !has_name => info.network_infos.push(named(bridge)),
        (None, Network::User) if !has_name => {
            return Err(BadDocker::Network("USER without a name"));
        }
        (None, Network::None) if has_name => {
            return Err(BadDocker::Network("NONE beside a name"));
        }
        (None, Network::None) => info.network_infos = vec![named(NONE)],
        (None, Network::Bridge | Network::User | Network::Host) => {}
    }
    let ports = docker
        .port_mappings
        .iter()
        .map(|port| v1::network_info::PortMapping {
            host_port: port.host_port,
            container_port: port.container_port,
            protocol: port.protocol.clone(),
        });
    if let Some(network) = info
        .network_infos
        .iter_mut()
        .find(|network| network.name.is_some())
    {
        network.port_mappings.extend(ports);
    }
    Ok(())
}
