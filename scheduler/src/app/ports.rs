//! The ports an app asks for.

use std::collections::BTreeMap;

use super::{App, Networks};

/// A port of an app in host networking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortDefinition {
    /// The service port; also the host port if the app requires its ports. 0: any.
    pub port: u16,
    pub protocol: Protocol,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// A port of a container that has a network of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// 0: the same number as the host port.
    pub container_port: u16,
    /// 0: any. `None`: not reachable through the host.
    pub host_port: Option<u16>,
    /// 0: the scheduler chooses.
    pub service_port: u16,
    pub protocol: Protocol,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Empty: all networks of the app.
    pub network_names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    /// One number for both.
    UdpTcp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::UdpTcp => "udp,tcp",
        }
    }

    /// Each transport protocol alone.
    pub fn each(self) -> &'static [&'static str] {
        match self {
            Protocol::Tcp => &["tcp"],
            Protocol::Udp => &["udp"],
            Protocol::UdpTcp => &["udp", "tcp"],
        }
    }
}

/// One port of one instance, whatever the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    pub name: Option<String>,
    pub protocol: Protocol,
    /// Inside the container; 0: the same number as the host port, as always in host networking.
    pub container_port: u16,
    pub host: HostPort,
    /// 0 until the scheduler has chosen one.
    pub service_port: u16,
    pub labels: BTreeMap<String, String>,
    /// Host networking: the service port is also the number that the author wrote.
    in_host_network: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPort {
    Fixed(u16),
    /// Any that is offered.
    Any,
    /// The port is not reachable through the host.
    None,
}

impl PortRequest {
    /// The number by which the app's author knows the port, if it is fixed: that in the container,
    /// or in host networking that of the definition.
    pub fn wanted_number(&self) -> Option<u16> {
        let number = if self.in_host_network {
            self.service_port
        } else {
            self.container_port
        };
        Some(number).filter(|number| *number != 0)
    }
}

/// The ports that each instance needs, in the order of their indices.
///
/// The host ports that a task was given stand in the same order, without those whose `host` is
/// [`HostPort::None`].
pub fn requested(app: &App) -> Vec<PortRequest> {
    match &app.networks {
        Networks::Host => app
            .port_definitions
            .iter()
            .map(|d| of_definition(d, app.require_ports))
            .collect(),
        Networks::Bridge { .. } | Networks::Container(_) => app
            .container
            .iter()
            .flat_map(|c| &c.port_mappings)
            .map(of_mapping)
            .collect(),
    }
}

/// The service ports of `app`, in the order of its ports; 0 where none is chosen yet.
pub fn service_ports(app: &App) -> Vec<u16> {
    requested(app).iter().map(|r| r.service_port).collect()
}

/// Each requested port with the host port that a task was given for it.
pub fn assigned<'a>(
    requests: &'a [PortRequest],
    host_ports: &[u16],
) -> Vec<(&'a PortRequest, Option<u16>)> {
    let mut given = host_ports.iter().copied();
    requests
        .iter()
        .map(|request| match request.host {
            HostPort::None => (request, None),
            HostPort::Fixed(_) | HostPort::Any => (request, given.next()),
        })
        .collect()
}

fn of_definition(definition: &PortDefinition, required: bool) -> PortRequest {
    let host = match definition.port {
        port if required && port != 0 => HostPort::Fixed(port),
        _ => HostPort::Any,
    };
    PortRequest {
        name: definition.name.clone(),
        protocol: definition.protocol,
        container_port: 0,
        host,
        service_port: definition.port,
        labels: definition.labels.clone(),
        in_host_network: true,
    }
}

fn of_mapping(mapping: &PortMapping) -> PortRequest {
    let host = match mapping.host_port {
        None => HostPort::None,
        Some(0) => HostPort::Any,
        Some(port) => HostPort::Fixed(port),
    };
    PortRequest {
        name: mapping.name.clone(),
        protocol: mapping.protocol,
        container_port: mapping.container_port,
        host,
        service_port: mapping.service_port,
        labels: mapping.labels.clone(),
        in_host_network: false,
    }
}
