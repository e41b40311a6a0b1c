//! From a task to the networks that it is to have. Pure.

use network::{BadPolicy, Dns, Policy, Port, Protocol, Rates};
use proto::resources::Resources;
use proto::sizes::parse_size;
use proto::v1;
use serde_json::{Map, json};

use super::dns::{self, BadWord};

/// Of a container.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// With the ports of it that the task says to listen on.
    Hosts(Vec<Port>),
    Own(Box<Own>),
}

/// A network of the container's own, with links to as many others.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    pub bridge: Option<Bridged>,
    pub named: Vec<cni::Wish>,
    /// What the task says itself of who tells it names.
    pub dns: Dns,
    /// By which it knows itself.
    pub hostname: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridged {
    pub ports: Vec<Port>,
    pub rates: Rates,
    /// Whom it may talk to, when that is not everyone.
    pub egress: Option<Policy>,
}

impl Own {
    /// Of the host, that lead into the container.
    pub fn ports(&self) -> Vec<Port> {
        let bridged = self.bridge.iter().flat_map(|it| it.ports.clone());
        let named = self.named.iter().flat_map(|it| &it.runtime.port_mappings);
        let named = named.map(|it| Port {
            protocol: protocol(&it.protocol).unwrap_or(Protocol::Tcp),
            host: it.host_port,
            container: it.container_port,
        });
        bridged.chain(named).collect()
    }
}

/// A network that leads nowhere.
pub const NONE: &str = "none";

/// Sizes such as 10MB, of what a task gets and sends in a second.
const RECEIVES: &str = "LONGSHORE_NETWORK_RECEIVE_RATE";
const SENDS: &str = "LONGSHORE_NETWORK_SEND_RATE";

/// Whom a task may talk to; with no text at all it is nobody.
const EGRESS: &str = "LONGSHORE_NETWORK_EGRESS";

/// What holds a container, with all tasks that are in it.
pub const HOLDING: [&str; 3] = [RECEIVES, SENDS, EGRESS];

/// Of a network of a task: the hardware address of its link there.
const MAC: &str = "mac";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    #[error("network {0:?} is named twice: a task can join it once")]
    Twice(String),
    #[error("network {0:?} must be the first of a task's networks: its link is eth0")]
    BridgeFirst(String),
    #[error("network \"none\" leads nowhere: name it alone, without ports")]
    NoneAlone,
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
    #[error("a label or parameter says who tells the task names")]
    Dns(#[from] BadWord),
    #[error("label {EGRESS} says whom the task may talk to")]
    Egress(#[from] BadPolicy),
    #[error(
        "label {EGRESS} holds a task to whom it may talk to, which is done on network {0:?} alone: name that, and \
         no other"
    )]
    EgressElsewhere(String),
    #[error(
        "labels {RECEIVES} and {SENDS} hold a task to what it may get and send, which is done on a network of its own: \
         name one, such as {0:?}"
    )]
    RateElsewhere(String),
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
    let networks = named(task);
    if networks.is_empty() {
        let maps = |it: &v1::NetworkInfo| !it.port_mappings.is_empty();
        if info.network_infos.iter().any(maps) {
            return Err(BadNetwork::MappingsOfTheHost(bridge.to_owned()));
        }
    }
    let egress = egress(task)?;
    let is_bridge = |it: &&v1::NetworkInfo| [bridge, NONE].contains(&it.name());
    // Who asks for it does not want to run without.
    if egress.is_some() && (networks.is_empty() || !networks.iter().all(is_bridge)) {
        return Err(BadNetwork::EgressElsewhere(bridge.to_owned()));
    }
    let rates = Rates {
        receives: rate(task, RECEIVES)?,
        sends: rate(task, SENDS)?,
    };
    if networks.is_empty() && rates != Rates::default() {
        return Err(BadNetwork::RateElsewhere(bridge.to_owned()));
    }
    if networks.is_empty() {
        return Ok(Wish::Hosts(served(task, held)));
    }
    for (at, network) in networks.iter().enumerate() {
        let name = network.name();
        if networks.iter().take(at).any(|it| it.name() == name) {
            return Err(BadNetwork::Twice(name.to_owned()));
        }
        if name == bridge && at > 0 {
            return Err(BadNetwork::BridgeFirst(name.to_owned()));
        }
        if name == NONE && (networks.len() > 1 || !network.port_mappings.is_empty()) {
            return Err(BadNetwork::NoneAlone);
        }
    }
    let hostname = info.hostname.unwrap_or_else(|| container.to_owned());
    let is_odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if hostname.is_empty() || hostname.len() > 64 || hostname.contains(is_odd) {
        return Err(BadNetwork::Hostname(hostname));
    }
    let mut own = Own {
        bridge: None,
        named: Vec::new(),
        dns: dns::of_task(task)?,
        hostname,
    };
    for (at, network) in networks.into_iter().enumerate() {
        let ports = network.port_mappings.iter().map(|it| port(it, held));
        let ports = ports.collect::<Result<_, _>>()?;
        match network.name() {
            NONE => {}
            name if name == bridge => {
                own.bridge = Some(Bridged {
                    ports,
                    rates,
                    egress: egress.clone(),
                });
            }
            _ => own.named.push(of_plugins(network, at, ports, rates)),
        }
    }
    Ok(Wish::Own(Box::new(own)))
}

/// By its discovery, and of those that it holds.
fn served(task: &v1::TaskInfo, held: &Resources) -> Vec<Port> {
    let (discovery, held) = (task.discovery.as_ref(), held.ports());
    let said = discovery.iter().filter_map(|it| it.ports.as_ref());
    let port = |said: &v1::Port| {
        let host = u16::try_from(said.number).ok()?;
        Some(Port {
            protocol: protocol(said.protocol.as_deref().unwrap_or("tcp"))?,
            host: Some(host).filter(|port| held.contains(u64::from(*port)))?,
            container: host,
        })
    };
    said.flat_map(|it| &it.ports).filter_map(port).collect()
}

/// Whether programs of somebody else are run for it, for which others shall not wait.
pub fn runs_plugins(task: &v1::TaskInfo, bridge: &str) -> bool {
    let is_plugins = |it: &&v1::NetworkInfo| ![bridge, NONE].contains(&it.name());
    named(task).iter().any(is_plugins)
}

/// The host's has no name, and is no other beside those that have.
fn named(task: &v1::TaskInfo) -> Vec<&v1::NetworkInfo> {
    let infos = task.container.iter().flat_map(|it| &it.network_infos);
    infos.filter(|it| it.name.is_some()).collect()
}

fn of_plugins(network: &v1::NetworkInfo, at: usize, ports: Vec<Port>, rates: Rates) -> cni::Wish {
    let mapping = |port: Port| cni::PortMapping {
        host_port: port.host,
        container_port: port.container,
        protocol: port.protocol.to_string(),
    };
    let labels = network.labels.iter().flat_map(|it| &it.labels);
    let mac = labels
        .filter(|it| it.key == MAC)
        .find_map(|it| it.value.clone());
    let asked = network
        .ip_addresses
        .iter()
        .filter_map(|it| it.ip_address.clone());
    // Source: spec/mesos-agent.md section 26.
    let told = json!({"network_info": proto::json::to_value(network)});
    cni::Wish {
        network: network.name().to_owned(),
        interface: format!("eth{at}"),
        runtime: cni::Runtime {
            port_mappings: ports.into_iter().map(mapping).collect(),
            bandwidth: bandwidth(rates),
            dns: None,
            ips: asked.collect(),
            mac,
        },
        arguments: Map::from_iter([(MESOS.to_owned(), told)]),
    }
}

/// Under which plugins are told of Mesos' own things.
const MESOS: &str = "org.apache.mesos";

/// As a task asked for it, out of what plugins were told.
pub fn asked(arguments: &Map<String, serde_json::Value>) -> Option<v1::NetworkInfo> {
    let told = arguments.get(MESOS)?.get("network_info")?;
    proto::json::from_value(told).ok()
}

/// In bits. What comes at once is that of a tenth of a second.
fn bandwidth(rates: Rates) -> Option<cni::Bandwidth> {
    const LEAST_BURST: u64 = 512 * 1024;
    if rates == Rates::default() {
        return None;
    }
    let bits = |rate: Option<u64>| rate.unwrap_or_default().saturating_mul(8);
    let burst = |rate: Option<u64>| match rate {
        None => 0,
        Some(_) => (bits(rate) / 10).clamp(LEAST_BURST, u64::from(u32::MAX)),
    };
    Some(cni::Bandwidth {
        ingress_rate: bits(rates.receives),
        ingress_burst: burst(rates.receives),
        egress_rate: bits(rates.sends),
        egress_burst: burst(rates.sends),
    })
}

fn label<'a>(task: &'a v1::TaskInfo, name: &str) -> Option<&'a str> {
    label_of(task.labels.as_ref(), name)
}

pub fn label_of<'a>(labels: Option<&'a v1::Labels>, name: &str) -> Option<&'a str> {
    let mut labels = labels.into_iter().flat_map(|labels| &labels.labels);
    let label = labels.find(|label| label.key == name)?;
    Some(label.value())
}

fn egress(task: &v1::TaskInfo) -> Result<Option<Policy>, BadNetwork> {
    let policy = label(task, EGRESS).map(str::parse).transpose();
    Ok(policy?)
}

fn rate(task: &v1::TaskInfo, name: &'static str) -> Result<Option<u64>, BadNetwork> {
    let Some(text) = label(task, name) else {
        return Ok(None);
    };
    let bad = |why| BadNetwork::Rate { label: name, why };
    match parse_size(text).map_err(bad)? {
        rate if rate < 1024 => Err(bad(format!("{rate}B is less than 1KB a second"))),
        rate => Ok(Some(rate)),
    }
}

fn port(mapping: &v1::network_info::PortMapping, held: &Resources) -> Result<Port, BadNetwork> {
    let text = mapping.protocol.as_deref().unwrap_or("tcp");
    let protocol = protocol(text).ok_or_else(|| BadNetwork::Protocol(text.to_owned()))?;
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

fn protocol(text: &str) -> Option<Protocol> {
    let all = [Protocol::Tcp, Protocol::Udp];
    let is_meant = |it: &Protocol| it.to_string().eq_ignore_ascii_case(text);
    all.into_iter().find(is_meant)
}

#[cfg(test)]
mod tests;
