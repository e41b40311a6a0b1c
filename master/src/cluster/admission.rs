//! How agents come: they are admitted, durably, before they are told so.

use std::collections::{BTreeMap, BTreeSet};

use proto::error::chain;
use proto::link::{self, to_agent};
use proto::resources::Resources;
use proto::v1;

use super::agent::Link;
use super::clock::Timer;
use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId};
use super::{Agent, Cluster, Effect, LinkId, Quantities, Write, events};

/// Why an agent cannot take part as it is.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the agent's id cannot be one")]
    Id(#[source] proto::ids::BadId),
    #[error("the agent's resources cannot be used")]
    Resources(#[source] proto::resources::BadResources),
    #[error("the agent has no hostname: start it with --hostname")]
    Hostname,
}

impl Cluster {
    pub(super) fn register(&mut self, link: LinkId, register: link::Register) {
        self.counters.count(match register.agent.id {
            None => "master/messages_register_slave",
            Some(_) => "master/messages_reregister_slave",
        });
        match self.admit(link, &register) {
            Ok((id, had)) => {
                self.take_in_tasks(&id, register);
                self.tell_of_exits(&id, had);
            }
            Err(unfit) => {
                let message = chain(&unfit);
                tracing::warn!(hostname = register.agent.hostname, message, "agent refused");
                let refused = to_agent::Message::Refused(link::Refused { message });
                self.effects.push(Effect::ToAgent {
                    link,
                    message: Box::new(refused),
                });
                self.effects.push(Effect::CloseLink(link));
            }
        }
    }

    /// Makes the agent one of ours, durably first, and tells it so. Returns the executors that it had, too.
    fn admit(
        &mut self,
        link: LinkId,
        register: &link::Register,
    ) -> Result<(AgentId, Vec<(FrameworkId, ExecutorId)>), Unfit> {
        if register.agent.hostname.is_empty() {
            return Err(Unfit::Hostname);
        }
        let total = Resources::from_protos(&register.agent.resources).map_err(Unfit::Resources)?;
        let returning = match &register.agent.id {
            Some(id) => Some(AgentId::try_from(id).map_err(Unfit::Id)?),
            None => self.earlier_life(&register.address),
        };
        let id = returning.unwrap_or_else(|| self.new_agent_id(register));
        let info = v1::AgentInfo {
            id: Some(id.wire()),
            ..register.agent.clone()
        };
        let known = self
            .agents
            .get(&id)
            .map(|agent| &agent.info)
            .or(self.recovered.get(&id));
        let changed = known.is_some_and(|known| *known != info);
        if known != Some(&info) {
            self.store(vec![Write::Admit {
                id: id.clone(),
                info: info.clone(),
            }]);
        }
        if changed {
            self.clear_filters_on(&id);
        }
        self.recovered.remove(&id);
        self.unreachable.remove(&id);
        // Nothing has changed for who has its offers when another process goes on as this agent.
        let goes_on = |agent: &&Agent| {
            !changed && agent.is_active() && register.drain_info.is_none() && agent.total == total
        };
        let offers = self.agents.get(&id).filter(goes_on);
        let offers = offers.map_or_else(BTreeSet::new, |agent| agent.offers.clone());
        self.let_go_of_link(&id, &offers);

        let again = self.agents.contains_key(&id) || register.agent.id.is_some();
        self.counters.count(match again {
            true => "master/slave_reregistrations",
            false => "master/slave_registrations",
        });
        tracing::info!(agent = %id, hostname = info.hostname, resources = %total, again, "agent registered");
        let next_ping = self.now.up + self.config.agent_ping_timeout;
        self.timers.set(next_ping, Timer::Agent(id.clone()));
        self.links.insert(link, id.clone());
        let before = self.take_down(&id);
        self.capacity.add(&Quantities::of(&total));
        let registered = before
            .as_ref()
            .map_or(self.now.wall, |agent| agent.registered);
        let had = before.iter().flat_map(|agent| agent.executors.keys());
        let had = had.cloned().collect();
        let mut agent = Agent {
            id: id.clone(),
            info,
            address: register.address.clone(),
            version: register.version.clone(),
            capabilities: register.capabilities.iter().map(|c| c.r#type()).collect(),
            free: total.clone(),
            total,
            overcommitted: false,
            link: Link::Up {
                id: link,
                next_ping,
                // One goes out with the welcome.
                missed: 1,
            },
            registered,
            reregistered: again.then_some(self.now.wall),
            tasks: before.map(|agent| agent.tasks).unwrap_or_default(),
            executors: BTreeMap::new(),
            offers,
            drain: register.drain_info,
        };
        for offer in agent.offers.clone() {
            if let Some(offer) = self.offers.get(&offer) {
                agent.occupy(&offer.resources);
            }
        }
        self.agents.insert(id.clone(), agent);
        self.unallocated.include(&id);
        self.welcome(&id);
        Ok((id, had))
    }

    /// What an agent does not tell of has ended while nobody could tell.
    fn tell_of_exits(&mut self, id: &AgentId, had: Vec<(FrameworkId, ExecutorId)>) {
        for (owner, executor) in had {
            let key = (owner.clone(), executor.clone());
            let host = self.agents.get(id);
            if host.is_none_or(|agent| !agent.executors.contains_key(&key)) {
                self.tell(&owner, events::executor_exited(id, &executor, -1));
            }
        }
    }

    /// Takes an agent off the books before it is entered anew; its tasks stay charged.
    fn take_down(&mut self, id: &AgentId) -> Option<Agent> {
        let before = self.agents.remove(id)?;
        self.capacity.subtract(&Quantities::of(&before.total));
        for ((framework, _), executor) in &before.executors {
            let used = Quantities::of(&executor.resources);
            self.discharge(framework, &executor.role, &used);
        }
        Some(before)
    }

    fn welcome(&mut self, id: &AgentId) {
        let window = self.config.agent_window().as_nanos();
        let nanoseconds = i64::try_from(window).unwrap_or(i64::MAX);
        let registered = link::Registered {
            agent_id: id.wire(),
            master: self.config.master.clone(),
            ping_timeout: v1::DurationInfo { nanoseconds },
        };
        self.tell_agent(id, to_agent::Message::Registered(registered));
        self.tell_agent(id, to_agent::Message::Ping(link::Ping { connected: true }));
    }

    /// An agent that registers anew from the address of one that is disconnected has lost its
    /// memory. If that one had nothing running it is simply the same; otherwise its tasks are gone.
    ///
    /// One that is connected lives: an address is what an agent says of itself, so that nobody may
    /// end the tasks of another by claiming its address.
    fn earlier_life(&mut self, address: &v1::Address) -> Option<AgentId> {
        let before = self
            .agents
            .values()
            .find(|agent| agent.address == *address && agent.link_id().is_none())?;
        let id = before.id.clone();
        if before.tasks.is_empty() {
            return Some(id);
        }
        self.unregister(&id);
        None
    }

    fn new_agent_id(&mut self, register: &link::Register) -> AgentId {
        let id = self.unused_agent_id();
        let namesake = self
            .agents
            .values()
            .find(|agent| agent.address == register.address);
        if let Some(other) = namesake {
            tracing::warn!(
                agent = %id,
                other = %other.id,
                address = other.authority(),
                hostname = register.agent.hostname,
                "a new agent names the address of one that is connected: each is to have its own --ip and --port"
            );
        }
        id
    }

    /// Agents bring ids of their own, which may be what this master would assign next.
    fn unused_agent_id(&mut self) -> AgentId {
        loop {
            let id = AgentId::assigned(&self.config.master.id, self.next_agent);
            self.next_agent += 1;
            let is_used = self.agents.contains_key(&id)
                || self.recovered.contains_key(&id)
                || self.unreachable.contains_key(&id);
            if !is_used {
                return id;
            }
        }
    }

    /// Ends the older link, all offers but those that stay, and its deadline.
    fn let_go_of_link(&mut self, id: &AgentId, staying: &BTreeSet<OfferId>) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        self.timers
            .clear(agent.deadline(), Timer::Agent(id.clone()));
        if let Some(older) = agent.link_id() {
            self.links.remove(&older);
            self.effects.push(Effect::CloseLink(older));
        }
        if let Some(agent) = self.agents.get(id) {
            for offer in &agent.offers - staying {
                self.rescind(&offer);
            }
        }
    }
}
