//! How agents and frameworks leave, and what becomes of their tasks.

use proto::link::to_agent;
use proto::v1::task_status::Reason;
use proto::v1::{TaskState, TimeInfo};
use proto::{link, v1};

use super::agent::Link;
use super::clock::Timer;
use super::framework::Connection;
use super::ids::{AgentId, FrameworkId, TaskId};
use super::task::{or_lost, status};
use super::{
    Agent, Cluster, Completed, LinkId, Quantities, Refusal, StreamId, Unallocated, Write, events,
};
use v1::framework_info::capability::Type as Capability;

/// Agents that were lost or left are remembered up to this number, the oldest go first.
const MAX_UNREACHABLE: usize = 102_400;

impl Cluster {
    /// The stream to an agent ended. It keeps its tasks for as long as it could have been silent.
    pub(super) fn link_closed(&mut self, link: LinkId) {
        let Some(id) = self.links.remove(&link) else {
            return;
        };
        let window = self.config.agent_window();
        let Some(agent) = self.agents.get_mut(&id) else {
            return;
        };
        if agent.link_id() != Some(link) {
            return;
        }
        self.timers
            .clear(agent.deadline(), Timer::Agent(id.clone()));
        let until = self.now.up + window;
        agent.link = Link::Down { until };
        self.timers.set(until, Timer::Agent(id.clone()));
        let hostname = agent.info.hostname.clone();
        let offers = agent.offers.clone();
        tracing::warn!(agent = %id, hostname, "agent disconnected");
        for offer in offers {
            self.rescind(&offer);
        }
        self.lose_unchecked_tasks(&id, &hostname);
    }

    /// A framework that does not checkpoint has chosen to lose its tasks with the connection.
    fn lose_unchecked_tasks(&mut self, id: &AgentId, hostname: &str) {
        for (framework, task) in self.tasks_on(id) {
            if self
                .frameworks
                .get(&framework)
                .is_some_and(|f| !f.info.checkpoint())
            {
                let message = format!("Agent {hostname} disconnected");
                let state = TaskState::TaskLost;
                self.end_task(
                    &framework,
                    &task,
                    state,
                    Reason::AgentDisconnected,
                    &message,
                );
            }
        }
    }

    /// A ping is due, or an agent without a link has been away for too long.
    pub(super) fn agent_deadline(&mut self, id: &AgentId) {
        let limit = self.config.max_agent_ping_timeouts;
        let Some(agent) = self.agents.get_mut(id) else {
            return;
        };
        match &mut agent.link {
            Link::Up {
                next_ping, missed, ..
            } if *missed < limit => {
                *missed += 1;
                *next_ping = self.now.up + self.config.agent_ping_timeout;
                self.timers.set(*next_ping, Timer::Agent(id.clone()));
                self.tell_agent(id, to_agent::Message::Ping(link::Ping { connected: true }));
            }
            Link::Up { .. } | Link::Down { .. } => {
                let since = self.now.wall;
                self.store(vec![Write::Unreachable {
                    id: id.clone(),
                    since,
                }]);
                self.counters.count("master/slave_unreachable_completed");
                self.forget_agent(id, TaskState::TaskUnreachable, "is unreachable");
                self.remember_unreachable(id.clone(), since);
            }
        }
    }

    /// The agents of the registry that did not return after the restart of this master.
    pub(super) fn recovery_over(&mut self) {
        let since = self.now.wall;
        let missing = std::mem::take(&mut self.recovered);
        let write = |id: &AgentId| Write::Unreachable {
            id: id.clone(),
            since,
        };
        self.store(missing.keys().map(write).collect());
        for (id, info) in missing {
            tracing::warn!(agent = %id, hostname = info.hostname, "agent did not come back");
            self.counters.count("master/recovery_slave_removals");
            self.tell_everyone_lost(&id);
            self.remember_unreachable(id, since);
        }
    }

    fn remember_unreachable(&mut self, id: AgentId, since: f64) {
        self.unreachable.insert(id, since);
        if self.unreachable.len() > MAX_UNREACHABLE {
            let oldest = self.unreachable.iter().min_by(|a, b| a.1.total_cmp(b.1));
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.unreachable.remove(&oldest);
                self.store(vec![Write::Remove { id: oldest }]);
            }
        }
    }

    /// The agent said that it leaves for good.
    pub(super) fn unregister(&mut self, id: &AgentId) {
        self.store(vec![Write::Remove { id: id.clone() }]);
        self.counters
            .count("master/slave_removals/reason_unregistered");
        self.forget_agent(id, TaskState::TaskGone, "has left the cluster");
    }

    /// Drops an agent with everything on it. `state` is for frameworks that know partitions.
    pub(super) fn forget_agent(&mut self, id: &AgentId, state: TaskState, what: &str) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        let message = format!("agent {} ({id}) {what}", agent.info.hostname);
        tracing::warn!(agent = %id, hostname = agent.info.hostname, "agent removed");
        for offer in agent.offers.clone() {
            self.rescind(&offer);
        }
        for (framework, task) in self.tasks_on(id) {
            self.end_task(&framework, &task, state, Reason::AgentRemoved, &message);
        }
        let Some(agent) = self.agents.remove(id) else {
            return;
        };
        self.timers
            .clear(agent.deadline(), Timer::Agent(id.clone()));
        self.capacity.subtract(&Quantities::of(&agent.total));
        self.counters.count("master/slave_removals");
        for ((framework, executor), running) in &agent.executors {
            self.discharge(
                framework,
                &running.role,
                &Quantities::of(&running.resources),
            );
            self.tell(framework, events::executor_exited(id, executor, -1));
        }
        if let Some(link) = agent.link_id() {
            self.links.remove(&link);
            self.effects.push(super::Effect::CloseLink(link));
        }
        self.tell_everyone_lost(id);
    }

    fn tell_everyone_lost(&mut self, agent: &AgentId) {
        for framework in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.tell(&framework, events::agent_lost(agent));
        }
    }

    pub(super) fn discharge(&mut self, framework: &FrameworkId, role: &str, freed: &Quantities) {
        let framework = self.frameworks.get_mut(framework);
        if let Some(allocated) = framework.and_then(|framework| framework.allocated.get_mut(role)) {
            allocated.subtract(freed);
        }
    }

    pub(super) fn tasks_on(&self, agent: &AgentId) -> Vec<(FrameworkId, TaskId)> {
        self.agents
            .get(agent)
            .map(|a| a.tasks.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Ends a task without its agent: the framework is told, and the task becomes the past. A task
    /// that had ended by itself only loses the hope of an acknowledgement.
    fn end_task(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let Some(mut task) = self.remove_task(framework, task) else {
            return;
        };
        let Some(owner) = self.frameworks.get_mut(framework) else {
            return;
        };
        if task.is_terminal() {
            owner.completed.push(task);
            return;
        }
        let state = or_lost(owner.has(Capability::PartitionAware), state);
        let message = message.to_owned();
        let agent = Some(task.agent.wire());
        let mut status = status(&task.wire.task_id, agent, state, reason, message, self.now);
        status.executor_id.clone_from(&task.wire.executor_id);
        if reason == Reason::AgentRemoved && state != TaskState::TaskGone {
            let nanoseconds = (self.now.wall * 1e9) as i64;
            status.unreachable_time = Some(TimeInfo { nanoseconds });
        }
        task.record(&status, state);
        match reason {
            Reason::AgentRemoved => owner.unreachable.push(task),
            _ => owner.completed.push(task),
        }
        self.counters.count_state(state);
        self.tell(framework, events::update(status));
    }

    /// Takes a task off its agent and framework and frees what it used.
    pub(super) fn remove_task(
        &mut self,
        framework: &FrameworkId,
        id: &TaskId,
    ) -> Option<super::Task> {
        let mut task = self.frameworks.get_mut(framework)?.tasks.remove(id)?;
        if let Some(agent) = self.agents.get_mut(&task.agent) {
            agent.tasks.remove(&(framework.clone(), id.clone()));
        }
        let used = std::mem::take(&mut task.resources);
        self.give_back(&task.agent, framework, &task.role, &used);
        Some(task)
    }

    /// The scheduler's stream ended: it has its failover timeout to come back.
    pub(super) fn stream_closed(&mut self, stream: StreamId) {
        let Some(id) = self.streams.remove(&stream) else {
            return;
        };
        let Some(framework) = self.frameworks.get_mut(&id) else {
            return;
        };
        if framework.stream() != Some(stream) {
            return;
        }
        let timeout = framework.failover_timeout();
        let until = self.now.up + timeout;
        framework.connection = Connection::Disconnected { until };
        tracing::info!(framework = %id, failover_timeout = ?timeout, "framework disconnected");
        self.drop_offers(&id);
        if timeout.is_zero() {
            self.remove_framework(
                &id,
                "the framework disconnected and has no failover_timeout",
            );
        } else {
            self.timers.set(until, Timer::Failover(id));
        }
    }

    /// Takes all offers of a framework back without telling it.
    pub(super) fn drop_offers(&mut self, id: &FrameworkId) {
        let offers = self
            .frameworks
            .get(id)
            .map(|f| f.offers.clone())
            .unwrap_or_default();
        for offer in offers {
            if let Some(offer) = self.remove_offer(&offer) {
                self.give_back(
                    &offer.agent,
                    &offer.framework,
                    &offer.role,
                    &offer.resources,
                );
            }
        }
    }

    pub(super) fn teardown(&mut self, framework: &str) {
        match self.frameworks.get(framework).map(|f| f.id.clone()) {
            Some(id) => self.remove_framework(&id, "an operator removed the framework"),
            None => self.refuse(Refusal::Invalid(format!(
                "no framework has the id {framework:?}: GET /frameworks lists those there are"
            ))),
        }
    }

    /// Ends a framework: its tasks are killed, and its id never comes back.
    pub(super) fn remove_framework(&mut self, id: &FrameworkId, why: &str) {
        self.drop_offers(id);
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        tracing::info!(framework = %id, name = framework.info.name, why, "framework removed");
        let mut agents: Vec<AgentId> = framework
            .tasks
            .values()
            .map(|task| task.agent.clone())
            .collect();
        let runs_executor = |agent: &&Agent| agent.executors.keys().any(|(owner, _)| owner == id);
        agents.extend(
            self.agents
                .values()
                .filter(runs_executor)
                .map(|agent| agent.id.clone()),
        );
        agents.sort_unstable();
        agents.dedup();
        for task in framework.tasks.keys().cloned().collect::<Vec<_>>() {
            let message = format!("Framework {id} removed: {why}");
            self.end_task(
                id,
                &task,
                TaskState::TaskKilled,
                Reason::FrameworkRemoved,
                &message,
            );
        }
        for agent in agents {
            self.remove_executors(&agent, id);
            let shutdown = link::ShutdownFramework {
                framework_id: id.wire(),
            };
            self.tell_agent(&agent, to_agent::Message::ShutdownFramework(shutdown));
        }
        self.unsubscribe(id);
        self.clear_filters(id, |_| true);
        if let Some(framework) = self.frameworks.remove(id) {
            self.completed.push_back(Completed {
                framework,
                unregistered: self.now.wall,
            });
        }
        while self.completed.len() > self.config.remembered.frameworks {
            self.completed.pop_front();
        }
        self.unallocated = Unallocated::Everywhere;
    }

    fn remove_executors(&mut self, agent: &AgentId, framework: &FrameworkId) {
        let Some(host) = self.agents.get(agent) else {
            return;
        };
        let mine = host
            .executors
            .keys()
            .filter(|(owner, _)| owner == framework);
        for key in mine.cloned().collect::<Vec<_>>() {
            self.remove_executor(agent, &key.0, &key.1);
        }
    }

    /// Ends the connection of a framework, if it has one, and the wait for it.
    pub(super) fn unsubscribe(&mut self, id: &FrameworkId) {
        match self
            .frameworks
            .get(id)
            .map(|framework| &framework.connection)
        {
            Some(Connection::Connected { stream }) => {
                let stream = *stream;
                self.streams.remove(&stream);
                self.effects.push(super::Effect::CloseStream(stream));
            }
            Some(Connection::Disconnected { until }) => {
                self.timers.clear(*until, Timer::Failover(id.clone()));
            }
            Some(Connection::Recovered) | None => {}
        }
    }
}
