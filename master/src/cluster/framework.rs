//! A framework this master knows, connected or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proto::resources::Resources;
use proto::v1;
use proto::v1::framework_info::capability::Type as Capability;
use uuid::Uuid;

use super::ids::{AgentId, FrameworkId, OfferId, TaskId};
use super::quantities::{Quantities, Thresholds};
use super::task::Task;

/// What "for ever" comes down to: 100 years, which every clock can still count.
const MAX_FAILOVER_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Frameworks that are known at a time. Those that left stay known for as long as they wished.
pub const MAX_FRAMEWORKS: usize = 10_000;

/// The most tasks of one framework that have not ended, or whose end it has not acknowledged.
pub const MAX_TASKS: usize = 50_000;

/// One subscription; a new one replaces the older.
pub type StreamId = Uuid;

#[derive(Debug)]
pub struct Framework {
    pub id: FrameworkId,
    /// With `id` set.
    pub info: v1::FrameworkInfo,
    pub capabilities: BTreeSet<Capability>,
    pub claims: BTreeMap<String, Claim>,
    pub connection: Connection,
    /// Used and offered, by role; also of roles the framework has left since.
    pub allocated: BTreeMap<String, Quantities>,
    pub registered: f64,
    pub reregistered: Option<f64>,
    /// Live, or ended and not yet acknowledged.
    pub tasks: BTreeMap<TaskId, Task>,
    pub unreachable: Recent,
    pub completed: Recent,
    pub offers: BTreeSet<OfferId>,
}

/// ```text
///             subscribe                    stream ends
/// (unknown) ────────────► Connected ◄───────────────────► Disconnected ──time over──► completed
///     └──an agent runs its tasks──► Recovered ──subscribe──► Connected     ──teardown──► completed
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Connection {
    /// Known only from agents, since this master started. It waits for the scheduler without limit:
    /// that a master was restarted is no reason to end tasks.
    Recovered,
    Connected {
        stream: StreamId,
    },
    Disconnected {
        until: Duration,
    },
}

/// What a framework wants in one of its roles.
#[derive(Debug, Default)]
pub struct Claim {
    pub suppressed: bool,
    pub thresholds: Option<Thresholds>,
    pub filters: BTreeMap<AgentId, Vec<Filter>>,
    /// Offers made so far: between equal shares the one with fewer comes first.
    pub served: u64,
}

/// Hides an agent's resources as long as they are no more than what was declined.
#[derive(Debug, Clone)]
pub struct Filter {
    pub resources: Resources,
    pub until: Duration,
}

impl Framework {
    pub fn new(id: FrameworkId, info: v1::FrameworkInfo, now: f64, limits: &Remembered) -> Self {
        let mut framework = Self {
            info: v1::FrameworkInfo {
                id: Some(id.wire()),
                ..info
            },
            id,
            capabilities: BTreeSet::new(),
            claims: BTreeMap::new(),
            connection: Connection::Recovered,
            allocated: BTreeMap::new(),
            registered: now,
            reregistered: None,
            tasks: BTreeMap::new(),
            unreachable: Recent::new(limits.unreachable_tasks),
            completed: Recent::new(limits.completed_tasks),
            offers: BTreeSet::new(),
        };
        framework.adopt_info();
        framework
    }

    /// Brings capabilities and claims in line with `info`. Claims that stay keep their filters.
    pub fn adopt_info(&mut self) {
        self.capabilities = self
            .info
            .capabilities
            .iter()
            .map(v1::framework_info::Capability::r#type)
            .filter(|capability| *capability != Capability::Unknown)
            .collect();
        let roles = roles_of(&self.info);
        self.claims.retain(|role, _| roles.contains(role));
        for role in roles {
            let thresholds = self.info.offer_filters.get(&role).and_then(thresholds);
            self.claims.entry(role).or_default().thresholds = thresholds;
        }
    }

    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    pub fn charge(&mut self, role: &str, taken: &Quantities) {
        if !taken.is_empty() {
            let allocated = self.allocated.entry(role.to_owned()).or_default();
            allocated.add(taken);
        }
    }

    /// The reverse of `charge`. A role with nothing left is forgotten: frameworks may change theirs
    /// as often as they like.
    pub fn discharge(&mut self, role: &str, freed: &Quantities) {
        if let Some(allocated) = self.allocated.get_mut(role) {
            allocated.subtract(freed);
            if allocated.is_empty() {
                self.allocated.remove(role);
            }
        }
    }

    pub fn stream(&self) -> Option<StreamId> {
        match self.connection {
            Connection::Connected { stream } => Some(stream),
            Connection::Recovered | Connection::Disconnected { .. } => None,
        }
    }

    /// How long the scheduler may stay away.
    pub fn failover_timeout(&self) -> Duration {
        let seconds = self.info.failover_timeout();
        match Duration::try_from_secs_f64(seconds) {
            Ok(timeout) => timeout.min(MAX_FAILOVER_TIMEOUT),
            Err(_out_of_range) if seconds > 0.0 => MAX_FAILOVER_TIMEOUT,
            Err(_negative) => Duration::ZERO,
        }
    }
}

/// The roles an info subscribes to: `roles` with MULTI_ROLE, else the one `role`.
pub fn roles_of(info: &v1::FrameworkInfo) -> BTreeSet<String> {
    if info
        .capabilities
        .iter()
        .any(|c| c.r#type() == Capability::MultiRole)
    {
        info.roles.iter().cloned().collect()
    } else {
        [info.role().to_owned()].into()
    }
}

fn thresholds(filters: &v1::OfferFilters) -> Option<Thresholds> {
    let wanted = filters.min_allocatable_resources.as_ref()?;
    let alternative = |q: &v1::offer_filters::ResourceQuantities| {
        Quantities::from_amounts(
            q.quantities
                .iter()
                .map(|(name, n)| (name.as_str(), n.value)),
        )
    };
    Some(Thresholds(
        wanted.quantities.iter().map(alternative).collect(),
    ))
}

/// How much of the past is kept.
#[derive(Debug, Clone)]
pub struct Remembered {
    pub frameworks: usize,
    pub completed_tasks: usize,
    pub unreachable_tasks: usize,
}

/// The newest tasks of the past; the oldest makes room.
#[derive(Debug)]
pub struct Recent {
    tasks: VecDeque<Task>,
    limit: usize,
}

impl Recent {
    fn new(limit: usize) -> Self {
        Self {
            tasks: VecDeque::new(),
            limit,
        }
    }

    pub fn push(&mut self, task: Task) {
        self.tasks.push_back(task);
        while self.tasks.len() > self.limit {
            self.tasks.pop_front();
        }
    }

    pub fn take(&mut self, id: &TaskId) -> Option<Task> {
        let index = self.tasks.iter().rposition(|task| task.id == *id)?;
        self.tasks.remove(index)
    }

    pub fn get(&self, id: &str) -> Option<&Task> {
        self.iter().rev().find(|task| task.id.as_str() == id)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Task> + ExactSizeIterator {
        self.tasks.iter()
    }
}
