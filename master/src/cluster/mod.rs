//! The cluster as the master sees it: one pure state machine.
//!
//! [`Cluster::step`] takes an event and the time and answers with effects, in the order in which
//! they must happen: a registry write comes before the message that promises it. Nothing in this
//! module reads a clock, draws from the system's randomness, or does I/O.
//!
//! Invariant: on every agent total = free + used + offered, and each framework's `allocated` is
//! what it uses plus what it is offered. `take` and `give_back` are the only places that move
//! resources between the two sides.

mod accept;
mod admission;
mod agent;
mod allocator;
mod calls;
mod clock;
mod counters;
mod departure;
mod early_kills;
mod events;
mod filters;
mod framework;
mod homecoming;
mod ids;
mod offer;
mod offering;
mod quantities;
mod reconcile;
mod registered;
mod removal;
mod roles;
#[cfg(test)]
mod simulation;
mod subscription;
mod task;
mod updates;
mod validation;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use proto::link::{from_agent, to_agent};
use proto::resources::Resources;
use proto::v1;
use proto::v1::scheduler;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

pub use agent::{Agent, Link, LinkId};
pub use clock::Now;
use clock::{Timer, Timers};
pub use counters::Counters;
use early_kills::EarlyKills;
pub use events::{HEARTBEAT_SECONDS, heartbeat};
pub use framework::{Connection, Framework, Remembered, StreamId};
pub use ids::{AgentId, FrameworkId, OfferId};
pub use offer::Offer;
pub use quantities::{BadQuantities, Quantities, Thresholds};
pub use registered::{Registered, Write};
pub use task::Task;

/// What stays the same for the life of this master.
#[derive(Debug, Clone)]
pub struct Config {
    pub master: v1::MasterInfo,
    pub agent_ping_timeout: Duration,
    pub max_agent_ping_timeouts: u32,
    pub agent_reregister_timeout: Duration,
    pub allocation_interval: Duration,
    pub min_allocatable: Thresholds,
    pub offer_timeout: Option<Duration>,
    pub root_submissions: bool,
    pub remembered: Remembered,
    /// Of the order in which agents are offered.
    pub seed: u64,
}

impl Config {
    /// How long an agent may be silent.
    fn agent_window(&self) -> Duration {
        self.agent_ping_timeout * self.max_agent_ping_timeouts
    }
}

#[derive(Debug)]
pub enum Event {
    Register {
        link: LinkId,
        register: Box<proto::link::Register>,
    },
    FromAgent {
        link: LinkId,
        message: Box<from_agent::Message>,
    },
    LinkClosed {
        link: LinkId,
    },
    Subscribe {
        stream: StreamId,
        id: Option<v1::FrameworkId>,
        subscribe: Box<scheduler::call::Subscribe>,
    },
    Call {
        stream: Option<StreamId>,
        call: Box<scheduler::Call>,
    },
    StreamClosed {
        stream: StreamId,
    },
    /// An operator removes a framework.
    Teardown {
        framework: String,
    },
    /// A deadline may have come.
    Tick,
}

#[derive(Debug)]
pub enum Effect {
    /// Must be durable before the effects after it happen.
    Store(Vec<Write>),
    ToAgent {
        link: LinkId,
        message: Box<to_agent::Message>,
    },
    CloseLink(LinkId),
    ToFramework {
        stream: StreamId,
        event: Box<scheduler::Event>,
    },
    CloseStream(StreamId),
    /// The answer to a call that changed nothing; a call without it was accepted.
    Refuse(Refusal),
}

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Invalid(String),
    #[error("framework is not subscribed: subscribe first, and keep reading that answer")]
    NotSubscribed,
    #[error("this link is not open: register again")]
    LinkGone,
    #[error("the call type is not known here: see scheduler.proto for those that are")]
    UnknownType,
}

/// A framework that is no more, as it was.
#[derive(Debug)]
pub struct Completed {
    pub framework: Framework,
    pub unregistered: f64,
}

pub struct Cluster {
    pub config: Config,
    pub agents: BTreeMap<AgentId, Agent>,
    /// Admitted before this master started, and not back yet.
    pub recovered: BTreeMap<AgentId, v1::AgentInfo>,
    early_kills: EarlyKills,
    /// Since when, in seconds since 1970.
    pub unreachable: BTreeMap<AgentId, f64>,
    pub frameworks: BTreeMap<FrameworkId, Framework>,
    pub completed: VecDeque<Completed>,
    pub offers: BTreeMap<OfferId, Offer>,
    pub counters: Counters,
    /// The sum of all agents' totals.
    capacity: Quantities,
    links: HashMap<LinkId, AgentId>,
    streams: HashMap<StreamId, FrameworkId>,
    timers: Timers,
    unallocated: Unallocated,
    rng: SmallRng,
    next_agent: u64,
    next_framework: u64,
    next_offer: u64,
    now: Now,
    effects: Vec<Effect>,
}

/// Where the next allocation looks.
#[derive(Debug)]
enum Unallocated {
    Agents(BTreeSet<AgentId>),
    Everywhere,
}

impl Default for Unallocated {
    fn default() -> Self {
        Self::Agents(BTreeSet::new())
    }
}

impl Cluster {
    pub fn new(config: Config, registered: Registered) -> Self {
        let mut timers = Timers::default();
        if !registered.admitted.is_empty() {
            timers.set(config.agent_reregister_timeout, Timer::Recovery);
        }
        Self {
            agents: BTreeMap::new(),
            recovered: registered.admitted,
            early_kills: EarlyKills::default(),
            unreachable: registered.unreachable,
            frameworks: BTreeMap::new(),
            completed: VecDeque::new(),
            offers: BTreeMap::new(),
            counters: Counters::default(),
            capacity: Quantities::default(),
            links: HashMap::new(),
            streams: HashMap::new(),
            timers,
            unallocated: Unallocated::default(),
            rng: SmallRng::seed_from_u64(config.seed),
            next_agent: 0,
            next_framework: 0,
            next_offer: 0,
            now: Now::default(),
            effects: Vec::new(),
            config,
        }
    }

    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Register { link, register } => self.register(link, *register),
            Event::FromAgent { link, message } => self.hear_agent(link, *message),
            Event::LinkClosed { link } => self.link_closed(link),
            Event::Subscribe {
                stream,
                id,
                subscribe,
            } => self.subscribe(stream, id, *subscribe),
            Event::Call { stream, call } => self.call(stream, *call),
            Event::StreamClosed { stream } => self.stream_closed(stream),
            Event::Teardown { framework } => self.teardown(&framework),
            Event::Tick => self.fire_timers(),
        }
        self.allocate();
        std::mem::take(&mut self.effects)
    }

    /// When `step` wants an [`Event::Tick`], as [`Now::up`].
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    pub fn master_id(&self) -> &str {
        &self.config.master.id
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now.up) {
            match timer {
                Timer::Agent(id) => self.agent_deadline(&id),
                Timer::Recovery => self.recovery_over(),
                Timer::Failover(id) => {
                    self.remove_framework(&id, "the framework did not come back in time")
                }
                Timer::Filter(framework, agent) => self.filter_ended(&framework, agent),
                Timer::Offer(id) => self.rescind(&id),
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.effects.push(Effect::Refuse(refusal));
    }

    fn store(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.effects.push(Effect::Store(writes));
        }
    }

    /// Says something to a framework; one that is not connected does not hear it.
    fn tell(&mut self, framework: &FrameworkId, event: scheduler::Event) {
        if let Some(stream) = self.frameworks.get(framework).and_then(Framework::stream) {
            self.effects.push(Effect::ToFramework {
                stream,
                event: Box::new(event),
            });
        }
    }

    /// Says something to an agent; false when it is not connected.
    fn tell_agent(&mut self, agent: &AgentId, message: to_agent::Message) -> bool {
        let Some(link) = self.agents.get(agent).and_then(Agent::link_id) else {
            return false;
        };
        self.effects.push(Effect::ToAgent {
            link,
            message: Box::new(message),
        });
        true
    }

    /// Moves free resources of an agent to a framework. They must be free.
    fn take(&mut self, agent: &AgentId, framework: &FrameworkId, role: &str, taken: &Resources) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.occupy(taken);
        }
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.charge(role, &Quantities::of(taken));
        }
    }

    /// The reverse of `take`; what comes free is offered again at the end of this step.
    fn give_back(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &str,
        freed: &Resources,
    ) {
        if freed.is_empty() {
            return;
        }
        if let Some(host) = self.agents.get_mut(agent) {
            if host.overcommitted {
                self.count_free(agent);
            } else {
                host.free += freed;
            }
            self.unallocated.include(agent);
        }
        self.discharge(framework, role, &Quantities::of(freed));
    }

    /// What is free on an agent that may still have less than what runs on it.
    fn count_free(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        let tasks = agent.tasks.iter().filter_map(|(framework, task)| {
            let framework = self.frameworks.get(framework)?;
            Some(framework.tasks.get(task)?.resources.clone())
        });
        let executors = agent.executors.values().map(|it| it.resources.clone());
        let offers = agent.offers.iter().filter_map(|id| self.offers.get(id));
        let offers = offers.map(|offer| offer.resources.clone());
        let parts: Vec<Resources> = tasks.chain(executors).chain(offers).collect();
        if let Some(agent) = self.agents.get_mut(id) {
            agent.overcommitted = false;
            agent.free = agent.total.clone();
            parts.iter().for_each(|part| agent.occupy(part));
        }
    }
}

impl Unallocated {
    fn include(&mut self, agent: &AgentId) {
        if let Self::Agents(agents) = self {
            agents.insert(agent.clone());
        }
    }
}
