//! How agents leave, and what becomes of their tasks.

use proto::link::to_agent;
use proto::v1::TaskState;
use proto::v1::task_status::Reason;
use proto::{link, v1};

use super::agent::Link;
use super::clock::{Timer, time_info};
use super::ids::{AgentId, FrameworkId, TaskId};
use super::task::{or_lost, status};
use super::{Cluster, LinkId, Quantities, Write, events};
use v1::framework_info::capability::Type as Capability;

/// Agents that were lost or left are remembered up to this number, the oldest go first.
const MAX_UNREACHABLE: usize = 102_400;

/// Why a task ends without its agent's saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The connection broke, and the framework does not checkpoint.
    AgentDisconnected,
    /// The agent may still run the task, and come back with it.
    AgentUnreachable,
    /// The agent left for good.
    AgentGone,
    FrameworkRemoved,
}

impl Loss {
    /// What a framework that knows partitions is told.
    fn told(self) -> (TaskState, Reason) {
        match self {
            Self::AgentDisconnected => (TaskState::TaskLost, Reason::AgentDisconnected),
            Self::AgentUnreachable => (TaskState::TaskUnreachable, Reason::AgentRemoved),
            Self::AgentGone => (TaskState::TaskGone, Reason::AgentRemoved),
            Self::FrameworkRemoved => (TaskState::TaskKilled, Reason::FrameworkRemoved),
        }
    }
}

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
                self.end_task(&framework, &task, Loss::AgentDisconnected, &message);
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
                self.forget_agent(id, Loss::AgentUnreachable, "is unreachable");
                self.remember_unreachable(id.clone(), since);
            }
        }
    }

    /// The agents of the registry that did not return after the restart of this master.
    pub(super) fn recovery_over(&mut self) {
        let since = self.now.wall;
        let missing = std::mem::take(&mut self.recovered);
        self.early_kills.clear();
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
        self.forget_agent(id, Loss::AgentGone, "has left the cluster");
    }

    /// Drops an agent with everything on it.
    pub(super) fn forget_agent(&mut self, id: &AgentId, loss: Loss, what: &str) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        let message = format!("agent {} ({id}) {what}", agent.info.hostname);
        tracing::warn!(agent = %id, hostname = agent.info.hostname, "agent removed");
        for offer in agent.offers.clone() {
            self.rescind(&offer);
        }
        for (framework, task) in self.tasks_on(id) {
            self.end_task(&framework, &task, loss, &message);
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
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.discharge(role, freed);
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
    pub(super) fn end_task(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        loss: Loss,
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
        let (state, reason) = loss.told();
        let state = or_lost(owner.has(Capability::PartitionAware), state);
        let message = message.to_owned();
        let agent = Some(task.agent.wire());
        let mut status = status(&task.wire.task_id, agent, state, reason, message, self.now);
        status.executor_id.clone_from(&task.wire.executor_id);
        if loss == Loss::AgentUnreachable {
            status.unreachable_time = Some(time_info(self.now.wall));
        }
        task.record(&status, state);
        match loss {
            Loss::AgentUnreachable => owner.unreachable.push(task),
            Loss::AgentDisconnected | Loss::AgentGone | Loss::FrameworkRemoved => {
                owner.completed.push(task);
            }
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
}
