//! An agent that is registered with this master.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::resources::Resources;
use proto::v1;
use uuid::Uuid;

use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId, TaskId};

/// One connection of an agent; a new one replaces the older.
pub type LinkId = Uuid;

/// Invariant: `total` = `free` + what tasks and executors use + what is offered, unless the agent is
/// overcommitted.
#[derive(Debug)]
pub struct Agent {
    pub id: AgentId,
    /// With `id` set.
    pub info: v1::AgentInfo,
    pub address: v1::Address,
    pub version: String,
    pub capabilities: Vec<v1::agent_info::capability::Type>,
    pub total: Resources,
    pub free: Resources,
    /// More runs on it than it has, since it came back smaller: `free` must be counted anew whenever
    /// something ends.
    pub overcommitted: bool,
    pub link: Link,
    pub registered: f64,
    pub reregistered: Option<f64>,
    pub tasks: BTreeSet<(FrameworkId, TaskId)>,
    pub executors: BTreeMap<(FrameworkId, ExecutorId), Executor>,
    pub offers: BTreeSet<OfferId>,
    /// It takes no tasks, so nothing of it is offered.
    pub drain: Option<v1::DrainInfo>,
}

/// ```text
/// register ─► Up ──stream ends──► Down ──window over──► (unreachable: no longer an Agent)
///              ▲ └──pings missed──────────────────────►
///              └──register again──┘
/// ```
#[derive(Debug)]
pub enum Link {
    Up {
        id: LinkId,
        next_ping: Duration,
        missed: u32,
    },
    Down {
        until: Duration,
    },
}

/// An executor with a process and resources of its own; command tasks have none.
#[derive(Debug)]
pub struct Executor {
    pub info: v1::ExecutorInfo,
    pub role: String,
    pub resources: Resources,
}

impl Agent {
    pub fn link_id(&self) -> Option<LinkId> {
        match self.link {
            Link::Up { id, .. } => Some(id),
            Link::Down { .. } => None,
        }
    }

    /// Whether what is free on it is offered.
    pub fn is_active(&self) -> bool {
        self.link_id().is_some() && self.drain.is_none()
    }

    /// The deadline this agent has in the timers.
    pub fn deadline(&self) -> Duration {
        match self.link {
            Link::Up { next_ping, .. } => next_ping,
            Link::Down { until } => until,
        }
    }

    /// `slave(1)@ip:port`, the form resolvers and web interfaces parse.
    pub fn pid(&self) -> String {
        format!("slave(1)@{}", self.authority())
    }

    /// `ip:port` where its HTTP API listens, as URLs have it.
    pub fn authority(&self) -> String {
        let host = self.address.ip.as_deref().unwrap_or(&self.info.hostname);
        let port = self.address.port;
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }

    /// Takes from what is free. Where too little is, nothing of that name is left.
    pub fn occupy(&mut self, taken: &Resources) {
        if let Some(rest) = self.free.try_sub(taken) {
            self.free = rest;
            return;
        }
        self.overcommitted = true;
        for resource in taken.iter() {
            let rest = self.free.try_sub(&Resources::from(resource.clone()));
            let of_other_names = || self.free.filter(|other| other.name() != resource.name());
            self.free = rest.unwrap_or_else(of_other_names);
        }
    }

    pub fn has(&self, capability: v1::agent_info::capability::Type) -> bool {
        self.capabilities.contains(&capability)
    }
}
