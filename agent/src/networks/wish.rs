//! From a task to the network that it is to have. Pure.

use network::{Port, Protocol, Rates};
use proto::resources::Resources;
use proto::sizes::parse_size;
use proto::v1;

/// Of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Hosts,
    Bridge {
        ports: Vec<Port>,
        rates: Rates,
        /// By which it knows itself.
        hostname: String,
    },
}

/// Sizes such as 10MB, of what a task gets and sends in a second.
const RECEIVES: &str = "LONGSHORE_NETWORK_RECEIVE_RATE";
const SENDS: &str = "LONGSHORE_NETWORK_SEND_RATE";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    #[error("network {name:?} is not known to this agent, which has {known:?}: name that, or none")]
    Unknown { name: String, known: String },
    #[error("a task can join one network, and this one names several")]
    Several,
    #[error("port mappings need a network of the task's own: name {0:?}")]
    MappingsOfTheHost(String),
    #[error("a port mapping's protocol is {0:?}: it must be \"tcp\" or \"udp\"")]
    Protocol(String),
    #[error("a port mapping's {what} is {port}: it must be from 1 to 65535")]
    Port { what: &'static str, port: u32 },
    #[error("port {0} of the host is mapped, but is none of the task's \"ports\"")]
    NotHeld(u16),
    #[error("label {label}: {why}")]
    Rate { label: &'static str, why: String },
    #[error("hostname {0:?} cannot be one: give letters, digits, '-' and '.'")]
    Hostname(String),
}

/// `bridge`: what tasks call it. `container`: its id, which is its hostname when it asks for no other.
pub fn wish(
    task: &v1::TaskInfo,
    held: &Resources,
    bridge: &str,
    container: &str,
) -> Result<Wish, BadNetwork> {
    let info = task.container.clone().unwrap_or_default();
    let named = |it: &&v1::NetworkInfo| it.name.is_some();
    let mut networks = info.network_infos.iter().filter(named);
    let Some(network) = networks.next() else {
        let maps = |it: &v1::NetworkInfo| !it.port_mappings.is_empty();
        return match info.network_infos.iter().any(maps) {
            true => Err(BadNetwork::MappingsOfTheHost(bridge.to_owned())),
            false => Ok(Wish::Hosts),
        };
    };
    if networks.next().is_some() {
        return Err(BadNetwork::Several);
    }
    if network.name() != bridge {
        return Err(BadNetwork::Unknown {
            name: network.name().to_owned(),
            known: bridge.to_owned(),
        });
    }
    let ports = network.port_mappings.iter().map(|it| port(it, held));
    let hostname = info.hostname.unwrap_or_else(|| container.to_owned());
    let is_odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if hostname.is_empty() || hostname.len() > 64 || hostname.contains(is_odd) {
        return Err(BadNetwork::Hostname(hostname));
    }
    Ok(Wish::Bridge {
        ports: ports.collect::<Result<_, _>>()?,
        rates: Rates {
            receives: rate(task, RECEIVES)?,
            sends: rate(task, SENDS)?,
        },
        hostname,
    })
}

fn rate(task: &v1::TaskInfo, name: &'static str) -> Result<Option<u64>, BadNetwork> {
    let mut labels = task.labels.iter().flat_map(|labels| &labels.labels);
    let Some(label) = labels.find(|label| label.key == name) else {
        return Ok(None);
    };
    let bad = |why| BadNetwork::Rate { label: name, why };
    match parse_size(label.value()).map_err(bad)? {
        rate if rate < 1024 => Err(bad(format!("{rate}B is less than 1KB a second"))),
        rate => Ok(Some(rate)),
    }
}

fn port(mapping: &v1::network_info::PortMapping, held: &Resources) -> Result<Port, BadNetwork> {
    let protocol = match mapping.protocol.as_deref().unwrap_or("tcp") {
        tcp if tcp.eq_ignore_ascii_case("tcp") => Protocol::Tcp,
        udp if udp.eq_ignore_ascii_case("udp") => Protocol::Udp,
        other => return Err(BadNetwork::Protocol(other.to_owned())),
    };
    let number = |what, port: u32| match u16::try_from(port) {
        Ok(0) | Err(_) => Err(BadNetwork::Port { what, port }),
        Ok(port) => Ok(port),
    };
    let host = number("host_port", mapping.host_port)?;
    if !held.ports().contains(host.into()) {
        return Err(BadNetwork::NotHeld(host));
    }
    Ok(Port {
        protocol,
        host,
        container: number("container_port", mapping.container_port)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host_port: u32, protocol: &str) -> v1::network_info::PortMapping {
        v1::network_info::PortMapping {
            host_port,
            container_port: 80,
            protocol: Some(protocol.to_owned()),
        }
    }

    fn network(name: Option<&str>, mappings: &[v1::network_info::PortMapping]) -> v1::NetworkInfo {
        v1::NetworkInfo {
            name: name.map(str::to_owned),
            port_mappings: mappings.to_vec(),
            ..Default::default()
        }
    }

    fn wished(networks: &[v1::NetworkInfo], hostname: Option<&str>) -> Result<Wish, BadNetwork> {
        let task = v1::TaskInfo {
            container: Some(v1::ContainerInfo {
                network_infos: networks.to_vec(),
                hostname: hostname.map(str::to_owned),
                ..Default::default()
            }),
            ..Default::default()
        };
        let held = Resources::parse("ports:[31000-31001]", "*").unwrap();
        wish(&task, &held, "mesos-bridge", "c1")
    }

    #[test]
    fn a_task_that_names_no_network_has_the_hosts() {
        assert_eq!(wished(&[], None), Ok(Wish::Hosts));
        assert_eq!(wished(&[network(None, &[])], None), Ok(Wish::Hosts));
    }

    #[test]
    fn ports_lead_from_those_that_the_task_holds() {
        let mappings = [mapping(31000, "tcp"), mapping(31000, "UDP")];
        let port = |protocol| Port {
            protocol,
            host: 31000,
            container: 80,
        };
        let wanted = |hostname: &str| {
            Ok(Wish::Bridge {
                ports: vec![port(Protocol::Tcp), port(Protocol::Udp)],
                rates: Rates::default(),
                hostname: hostname.to_owned(),
            })
        };
        let bridge = [network(Some("mesos-bridge"), &mappings)];
        assert_eq!(wished(&bridge, None), wanted("c1"));
        assert_eq!(wished(&bridge, Some("web")), wanted("web"));
    }

    #[test]
    fn labels_say_how_fast_a_task_may_be() {
        let task = |value: &str| v1::TaskInfo {
            labels: Some(v1::Labels {
                labels: vec![v1::Label {
                    key: SENDS.to_owned(),
                    value: Some(value.to_owned()),
                }],
            }),
            ..Default::default()
        };
        assert_eq!(rate(&task("10MB"), SENDS), Ok(Some(10 << 20)));
        assert_eq!(rate(&task("10MB"), RECEIVES), Ok(None));
        for bad in ["10", "fast", "0B"] {
            let error = rate(&task(bad), SENDS).unwrap_err().to_string();
            assert!(
                error.starts_with("label LONGSHORE_NETWORK_SEND_RATE: "),
                "{error}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let bridge = |mappings: &[_]| network(Some("mesos-bridge"), mappings);
        let plain = [bridge(&[])];
        let table = [
            (
                vec![network(Some("blue"), &[])],
                "network \"blue\" is not known",
            ),
            (vec![plain[0].clone(), plain[0].clone()], "several"),
            (
                vec![network(None, &[mapping(31000, "tcp")])],
                "network of the task's own",
            ),
            (
                vec![bridge(&[mapping(31002, "tcp")])],
                "none of the task's \"ports\"",
            ),
            (vec![bridge(&[mapping(0, "tcp")])], "host_port is 0"),
            (vec![bridge(&[mapping(70000, "tcp")])], "host_port is 70000"),
            (vec![bridge(&[mapping(31000, "sctp")])], "\"sctp\""),
        ];
        for (networks, wanted) in table {
            let error = wished(&networks, None).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        for bad in ["", "a b", "a\nb"] {
            let error = wished(&plain, Some(bad)).unwrap_err();
            assert_eq!(error, BadNetwork::Hostname(bad.to_owned()));
        }
    }
}
