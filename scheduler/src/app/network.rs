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

/// A named network that every agent has, and that leads nowhere.
pub const NONE: &str = "none";

impl Networks {
    /// Whether an instance has no way to anybody, and nobody to it.
    pub fn lead_nowhere(&self) -> bool {
        match self {
            Networks::Container(several) => several.iter().any(|network| network.name == NONE),
            Networks::Host | Networks::Bridge { .. } => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerNetwork {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}
