//! The network an app lives in.

use std::collections::BTreeMap;

/// The three kinds exclude each other, for all instances of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Networks {
    /// The agent's own network: ports are `App::port_definitions`.
    Host,
    /// The agent's bridge: ports are the container's port mappings, each with a host port.
    Bridge { labels: BTreeMap<String, String> },
    /// One or more named networks: a port mapping has a host port only if it asks for one.
    Container(Vec<ContainerNetwork>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerNetwork {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}
