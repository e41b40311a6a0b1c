//! Settles what the many ways to write networks and ports mean together.

use std::collections::BTreeMap;

use super::container::{ContainerForm, LegacyNetwork};
use super::reader::{At, Fields, Read};
use crate::app::EnvValue;
use crate::app::container::Container;
use crate::app::network::{ContainerNetwork, NONE, Networks};
use crate::app::ports::{PortDefinition, PortMapping, Protocol};

/// Everything in a document that says something about networks and ports.
#[derive(Debug)]
pub(super) struct Forms {
    container: Option<ContainerForm>,
    networks: Option<Vec<NetworkForm>>,
    ip_address: Option<IpAddress>,
    ports: Option<Vec<u16>>,
    port_definitions: Option<Vec<PortDefinition>>,
}

/// One item of `networks`, before it is known whether they fit together.
#[derive(Debug, Clone)]
struct NetworkForm {
    mode: NetworkMode,
    name: Option<String>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NetworkMode {
    Host,
    Bridge,
    Container,
}

/// `ipAddress`, the first form of a network of one's own.
#[derive(Debug)]
struct IpAddress {
    network_name: Option<String>,
    labels: BTreeMap<String, String>,
    discovery_ports: Option<Vec<PortMapping>>,
}

/// The one canonical meaning.
#[derive(Debug)]
pub(super) struct Settled {
    pub networks: Networks,
    pub container: Option<Container>,
    pub port_definitions: Vec<PortDefinition>,
    pub env: BTreeMap<String, EnvValue>,
}

impl Forms {
    pub fn read(doc: &Fields<'_>) -> Forms {
        Forms {
            container: doc.optional("container"),
            networks: doc.optional("networks"),
            ip_address: doc.optional("ipAddress"),
            ports: doc.optional("ports"),
            port_definitions: doc.optional("portDefinitions"),
        }
    }

    fn docker_network(&self) -> Option<LegacyNetwork> {
        self.container.as_ref()?.network
    }
}

/// A combination of forms that cannot be meant.
struct Conflict {
    path: &'static str,
    says: &'static str,
    holds: fn(&Forms) -> bool,
}

const CONFLICTS: &[Conflict] = &[
    Conflict {
        path: "container/docker/network",
        says: "must not specify both container.docker.network and networks",
        holds: |f| {
            let legacy = f
                .docker_network()
                .is_some()
                .then(|| legacy_networks(f))
                .flatten();
            differs(legacy, f)
        },
    },
    Conflict {
        path: "ipAddress",
        says: "must not specify both networks and ipAddress",
        holds: |f| {
            let legacy = f.ip_address.is_some().then(|| legacy_networks(f)).flatten();
            differs(legacy, f)
        },
    },
    Conflict {
        path: "ipAddress/discovery",
        says: "ipAddress/discovery is not allowed for Docker containers using BRIDGE or HOST \
               networks",
        holds: |f| {
            let ports = f
                .ip_address
                .as_ref()
                .and_then(|ip| ip.discovery_ports.as_ref());
            let host_side = matches!(
                f.docker_network(),
                Some(LegacyNetwork::Bridge | LegacyNetwork::Host)
            );
            host_side && ports.is_some_and(|ports| !ports.is_empty())
        },
    },
    Conflict {
        path: "ports",
        says: "must not specify both ports and portDefinitions: use portDefinitions alone",
        holds: |f| match (&f.ports, &f.port_definitions) {
            (Some(ports), Some(definitions)) => {
                !ports.is_empty() && !definitions.iter().map(|d| d.port).eq(ports.iter().copied())
            }
            _ => false,
        },
    },
];

/// Old clients send both forms of what they once read; only a contradiction is an error.
fn differs(legacy: Option<Vec<NetworkForm>>, forms: &Forms) -> bool {
    match (legacy, &forms.networks) {
        (Some(legacy), Some(networks)) => networks_of(&legacy) != networks_of(networks),
        _ => false,
    }
}

pub(super) fn settle(forms: Forms, doc: &Fields<'_>) -> Settled {
    for conflict in CONFLICTS.iter().filter(|c| (c.holds)(&forms)) {
        doc.breaks(conflict.path, conflict.says);
    }
    let given = match (&forms.networks, legacy_networks(&forms)) {
        (Some(networks), _) => networks.clone(),
        (None, legacy) => legacy.unwrap_or_default(),
    };
    let networks = networks_of(&given).unwrap_or_else(|says| {
        doc.breaks("networks", says);
        Networks::Host
    });
    let mappings = match networks {
        Networks::Host => None,
        Networks::Bridge { .. } => {
            Some(mappings(&forms).unwrap_or_else(|| vec![default_mapping()]))
        }
        // Nobody asks for a port there.
        Networks::Container(_) if networks.lead_nowhere() => {
            Some(mappings(&forms).unwrap_or_default())
        }
        Networks::Container(_) => Some(
            mappings(&forms)
                .unwrap_or_else(|| forms.container.iter().map(|_| default_mapping()).collect()),
        ),
    };
    let port_definitions = match networks {
        Networks::Host => definitions(forms.port_definitions, forms.ports.as_deref()),
        Networks::Bridge { .. } | Networks::Container(_) => Vec::new(),
    };
    let (container, env) = match forms.container {
        Some(form) => (Some(form.container), form.env),
        None => (None, BTreeMap::new()),
    };
    let container = match mappings {
        None => container,
        Some(mappings) => {
            let mut container = container.unwrap_or_else(Container::native);
            container.port_mappings = match networks {
                Networks::Bridge { .. } => mappings.into_iter().map(with_host_port).collect(),
                Networks::Host | Networks::Container(_) => mappings,
            };
            Some(container)
        }
    };
    Settled {
        networks,
        container,
        port_definitions,
        env: env
            .into_iter()
            .map(|(name, value)| (name, EnvValue::Text(value)))
            .collect(),
    }
}

/// What `docker.network` and `ipAddress` say, in today's words.
fn legacy_networks(forms: &Forms) -> Option<Vec<NetworkForm>> {
    let plain = |mode| NetworkForm {
        mode,
        name: None,
        labels: BTreeMap::new(),
    };
    let own = |ip: Option<&IpAddress>| NetworkForm {
        mode: NetworkMode::Container,
        name: ip.and_then(|ip| ip.network_name.clone()),
        labels: ip.map(|ip| ip.labels.clone()).unwrap_or_default(),
    };
    let ip = forms.ip_address.as_ref();
    match (forms.docker_network(), ip) {
        (Some(LegacyNetwork::Host), _) => Some(plain(NetworkMode::Host)),
        (Some(LegacyNetwork::Bridge), _) => Some(plain(NetworkMode::Bridge)),
        (Some(LegacyNetwork::None), _) => Some(NetworkForm {
            name: Some(NONE.to_owned()),
            ..plain(NetworkMode::Container)
        }),
        (Some(LegacyNetwork::User), ip) => Some(own(ip)),
        (None, Some(ip)) => Some(own(Some(ip))),
        (None, None) => None,
    }
    .map(|network| vec![network])
}

/// `networks` as one of the three kinds, or the rule that it breaks.
fn networks_of(forms: &[NetworkForm]) -> Result<Networks, &'static str> {
    match forms {
        [] => Ok(Networks::Host),
        [
            NetworkForm {
                mode: NetworkMode::Host,
                name: None,
                labels,
            },
        ] if labels.is_empty() => Ok(Networks::Host),
        [
            NetworkForm {
                mode: NetworkMode::Host,
                ..
            },
        ] => Err("Host networks may not have names or labels"),
        [
            NetworkForm {
                mode: NetworkMode::Bridge,
                name: None,
                labels,
            },
        ] => Ok(Networks::Bridge {
            labels: labels.clone(),
        }),
        [
            NetworkForm {
                mode: NetworkMode::Bridge,
                ..
            },
        ] => Err("Bridge networks may not have names"),
        several if several.iter().all(|n| n.mode == NetworkMode::Container) => several
            .iter()
            .map(|n| {
                Some(ContainerNetwork {
                    name: n.name.clone()?,
                    labels: n.labels.clone(),
                })
            })
            .collect::<Option<Vec<_>>>()
            .map(Networks::Container)
            .ok_or("Network name must be specified when container network is selected."),
        _ => Err(
            "May specify a single host network, single bridge network, or else 1-to-n container \
             networks",
        ),
    }
}

fn mappings(forms: &Forms) -> Option<Vec<PortMapping>> {
    let written = forms
        .container
        .as_ref()
        .and_then(|c| c.port_mappings.clone());
    let discovered = || {
        forms
            .ip_address
            .as_ref()
            .and_then(|ip| ip.discovery_ports.clone())
    };
    let from_ports = || {
        let ports = forms.ports.as_ref()?;
        Some(
            ports
                .iter()
                .map(|port| mapping(0, Some(0), *port))
                .collect(),
        )
    };
    written.or_else(discovered).or_else(from_ports)
}

fn mapping(container_port: u16, host_port: Option<u16>, service_port: u16) -> PortMapping {
    PortMapping {
        container_port,
        host_port,
        service_port,
        protocol: Protocol::Tcp,
        name: None,
        labels: BTreeMap::new(),
        network_names: Vec::new(),
    }
}

fn default_mapping() -> PortMapping {
    PortMapping {
        name: Some("default".to_owned()),
        ..mapping(0, Some(0), 0)
    }
}

/// On a bridge a container is reached through the host only.
fn with_host_port(mapping: PortMapping) -> PortMapping {
    PortMapping {
        host_port: mapping.host_port.or(Some(0)),
        ..mapping
    }
}

fn definitions(
    definitions: Option<Vec<PortDefinition>>,
    ports: Option<&[u16]>,
) -> Vec<PortDefinition> {
    let definition = |port, name| PortDefinition {
        port,
        protocol: Protocol::Tcp,
        name,
        labels: BTreeMap::new(),
    };
    match (definitions, ports) {
        (Some(definitions), _) => definitions,
        (None, Some(ports)) => ports.iter().map(|port| definition(*port, None)).collect(),
        (None, None) => vec![definition(0, Some("default".to_owned()))],
    }
}

impl Read for NetworkForm {
    fn read(at: &At<'_>) -> Option<NetworkForm> {
        let fields = at.object()?;
        Some(NetworkForm {
            mode: fields.or("mode", NetworkMode::Container),
            name: fields.optional("name"),
            labels: fields.map("labels"),
        })
    }
}

impl Read for NetworkMode {
    fn read(at: &At<'_>) -> Option<NetworkMode> {
        at.word(&[
            ("host", NetworkMode::Host),
            ("container/bridge", NetworkMode::Bridge),
            ("container", NetworkMode::Container),
        ])
    }
}

impl Read for IpAddress {
    fn read(at: &At<'_>) -> Option<IpAddress> {
        let fields = at.object()?;
        let discovery = fields.object("discovery");
        let ports = discovery.and_then(|d| d.optional::<Vec<DiscoveryPort>>("ports"));
        Some(IpAddress {
            network_name: fields.optional("networkName"),
            labels: fields.map("labels"),
            discovery_ports: ports.map(|ports| ports.into_iter().map(|p| p.0).collect()),
        })
    }
}

struct DiscoveryPort(PortMapping);

impl Read for DiscoveryPort {
    fn read(at: &At<'_>) -> Option<DiscoveryPort> {
        let fields = at.object()?;
        Some(DiscoveryPort(PortMapping {
            name: fields.optional("name"),
            protocol: fields.or("protocol", Protocol::Tcp),
            labels: fields.map("labels"),
            ..mapping(fields.required("number")?, None, 0)
        }))
    }
}

impl Read for PortDefinition {
    fn read(at: &At<'_>) -> Option<PortDefinition> {
        let fields = at.object()?;
        Some(PortDefinition {
            port: fields.or("port", 0),
            protocol: fields.or("protocol", Protocol::Tcp),
            name: fields.optional("name"),
            labels: fields.map("labels"),
        })
    }
}
