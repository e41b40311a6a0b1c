//! How frameworks leave: their connection ends, and in the end they do.

use proto::link::{self, to_agent};

use super::clock::Timer;
use super::departure::Loss;
use super::framework::Connection;
use super::ids::{AgentId, FrameworkId};
use super::{Agent, Cluster, Completed, Effect, Refusal, StreamId, Unallocated};

impl Cluster {
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
            self.end_task(id, &task, Loss::FrameworkRemoved, &message);
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
                self.effects.push(Effect::CloseStream(stream));
            }
            Some(Connection::Disconnected { until }) => {
                self.timers.clear(*until, Timer::Failover(id.clone()));
            }
            Some(Connection::Recovered) | None => {}
        }
    }
}
