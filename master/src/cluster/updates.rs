//! What agents report: status updates, above all.

use proto::link::{self, from_agent};
use proto::v1;

use super::agent::Link;
use super::ids::{AgentId, FrameworkId, TaskId};
use super::{Cluster, LinkId, Refusal, events};

impl Cluster {
    pub(super) fn hear_agent(&mut self, link: LinkId, message: from_agent::Message) {
        let Some(id) = self.links.get(&link).cloned() else {
            return self.refuse(Refusal::LinkGone);
        };
        // Whatever an agent says shows that it is alive.
        if let Some(Link::Up { missed, .. }) = self.agents.get_mut(&id).map(|a| &mut a.link) {
            *missed = 0;
        }
        match message {
            from_agent::Message::Pong(link::Pong {}) => {}
            from_agent::Message::Update(update) => self.status_update(&id, update),
            from_agent::Message::ExitedExecutor(exited) => {
                self.counters.count("master/messages_exited_executor");
                self.exited_executor(&id, &exited);
            }
            from_agent::Message::ExecutorMessage(message) => self.executor_message(&id, message),
            from_agent::Message::Drain(drain) => self.drained(&id, drain.drain_info),
            from_agent::Message::Unregister(link::Unregister {}) => {
                self.counters.count("master/messages_unregister_slave");
                self.unregister(&id);
            }
            from_agent::Message::Register(_) => {
                let text = "a link is registered once: open a new one to register again";
                self.refuse(Refusal::Invalid(text.to_owned()));
            }
        }
    }

    /// The agent has begun to drain, goes on with it, or takes tasks again.
    fn drained(&mut self, id: &AgentId, drain: Option<v1::DrainInfo>) {
        let Some(agent) = self.agents.get_mut(id) else {
            return;
        };
        let state = drain.as_ref().map(|drain| drain.state().as_str_name());
        tracing::info!(agent = %id, state, "the drain of an agent has changed");
        agent.drain = drain;
        if agent.drain.is_none() {
            return self.unallocated.include(id);
        }
        for offer in agent.offers.clone() {
            self.rescind(&offer);
        }
    }

    fn executor_message(&mut self, agent: &AgentId, message: link::ExecutorMessage) {
        self.counters.count("master/messages_executor_to_framework");
        let known = self.frameworks.get(message.framework_id.value.as_str());
        let Some(framework) = known.map(|framework| framework.id.clone()) else {
            return self
                .counters
                .count("master/invalid_executor_to_framework_messages");
        };
        self.counters
            .count("master/valid_executor_to_framework_messages");
        self.tell(
            &framework,
            events::message(agent, message.executor_id, message.data),
        );
    }

    /// Accounts for the newest state, and passes the update on. The agent repeats it until the
    /// framework has acknowledged it, so what cannot be passed on now is not lost.
    fn status_update(&mut self, agent: &AgentId, update: link::StatusUpdate) {
        self.counters.count("master/messages_status_update");
        let latest = update.latest_state();
        let ids = FrameworkId::try_from(&update.framework_id).ok();
        let ids = ids.zip(TaskId::try_from(&update.status.task_id).ok());
        let Some((owner, id)) = ids else {
            return self.counters.count("master/invalid_status_updates");
        };
        let Some(framework) = self.frameworks.get_mut(&owner) else {
            tracing::debug!(framework = %owner, task = %id, "update for a framework that is gone");
            return self.counters.count("master/invalid_status_updates");
        };
        let connected = framework.stream().is_some();
        if let Some(task) = framework.tasks.get_mut(&id) {
            if task.agent != *agent {
                tracing::warn!(%agent, framework = %owner, task = %id, "update for a task of another agent");
                return self.counters.count("master/invalid_status_updates");
            }
            let had_ended = task.is_terminal();
            task.record(&update.status, latest);
            task.held = (!connected).then(|| update.status.clone());
            if !had_ended && task.is_terminal() {
                let used = std::mem::take(&mut task.resources);
                let role = task.role.clone();
                let state = task.wire.state();
                tracing::info!(framework = %owner, task = %id, state = state.as_str_name(), "task ended");
                self.counters.count_state(state);
                self.give_back(agent, &owner, &role, &used);
            }
            self.counters.count("master/valid_status_updates");
        } else {
            // It was completed here, but the agent has not seen the acknowledgement: the framework
            // acknowledges once more.
            self.counters.count("master/invalid_status_updates");
        }
        self.tell(&owner, events::update(update.status));
    }
}
