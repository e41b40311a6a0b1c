//! What a subscribed framework asks for, except accepting offers.

use proto::link::{self, to_agent};
use proto::v1;
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{self, Type};

use super::filters::refusal;
use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId, TaskId};
use super::task::Kill;
use super::{Cluster, Offer, Refusal, StreamId, Unallocated};

impl Cluster {
    pub(super) fn call(&mut self, stream: Option<StreamId>, call: Call) {
        match self.caller(stream, &call) {
            Ok(id) => self.carry_out(&id, call),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Who calls: the framework must be known, connected, and use the stream it reads.
    fn caller(&self, stream: Option<StreamId>, call: &Call) -> Result<FrameworkId, Refusal> {
        let invalid = |text: &str| Err(Refusal::Invalid(text.to_owned()));
        let Some(id) = &call.framework_id else {
            return invalid("the call has no framework_id: use the one that SUBSCRIBED told");
        };
        let Some(framework) = self.frameworks.get(id.value.as_str()) else {
            return Err(Refusal::Invalid(format!(
                "Framework cannot be found: {:?} is not subscribed here",
                id.value
            )));
        };
        let Some(open) = framework.stream() else {
            return Err(Refusal::NotSubscribed);
        };
        match stream {
            None => invalid(
                "the header Mesos-Stream-Id is missing: send the one of the answer to SUBSCRIBE",
            ),
            Some(stream) if stream != open => invalid(
                "the header Mesos-Stream-Id is of an older subscription: send the one of the newest",
            ),
            Some(_) => Ok(framework.id.clone()),
        }
    }

    fn carry_out(&mut self, id: &FrameworkId, call: Call) {
        let kind = call.r#type();
        self.counters.count(message_counter(kind));
        match kind {
            Type::Accept => {
                if let Some(accept) = body(self, kind, call.accept) {
                    self.accept(id, accept);
                }
            }
            Type::Decline => {
                if let Some(decline) = body(self, kind, call.decline) {
                    self.decline(id, &decline);
                }
            }
            Type::Revive => self.revive(id, &call.revive.unwrap_or_default().roles),
            Type::Suppress => self.suppress(id, &call.suppress.unwrap_or_default().roles),
            Type::Kill => {
                if let Some(kill) = body(self, kind, call.kill) {
                    self.kill(id, kill);
                }
            }
            Type::Acknowledge => {
                if let Some(acknowledge) = body(self, kind, call.acknowledge) {
                    self.acknowledge(id, acknowledge);
                }
            }
            Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default().tasks),
            Type::Shutdown => {
                if let Some(shutdown) = body(self, kind, call.shutdown) {
                    self.shut_down_executor(id, shutdown);
                }
            }
            Type::Message => {
                if let Some(message) = body(self, kind, call.message) {
                    self.forward_message(id, message);
                }
            }
            Type::UpdateFramework => {
                if let Some(update) = body(self, kind, call.update_framework) {
                    self.update_framework(id, update);
                }
            }
            Type::Teardown => self.remove_framework(id, "the framework asked for it"),
            Type::ReconcileOperations => {
                let asked = call.reconcile_operations.unwrap_or_default().operations;
                self.reconcile_operations(id, asked);
            }
            // The allocator offers everything it may anyhow, no inverse offers are ever made, and no
            // operation here has updates that could be acknowledged.
            Type::Request
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers
            | Type::AcknowledgeOperationStatus => {}
            Type::Subscribe => {
                self.refuse(Refusal::Invalid(
                    "SUBSCRIBE must not carry Mesos-Stream-Id".to_owned(),
                ));
            }
            Type::Unknown => self.refuse(Refusal::UnknownType),
        }
    }

    fn decline(&mut self, id: &FrameworkId, decline: &call::Decline) {
        let refusal = refusal(decline.filters.as_ref());
        for offer in &decline.offer_ids {
            match self.own_offer(id, offer) {
                Some(offer) => self.put_back(&offer, &offer.resources, self.wait_for(refusal)),
                None => {
                    tracing::debug!(framework = %id, offer = offer.value, "decline of an offer that is gone")
                }
            }
        }
    }

    /// Takes an offer of this framework off the table.
    pub(super) fn own_offer(&mut self, id: &FrameworkId, offer: &v1::OfferId) -> Option<Offer> {
        let offer = self
            .offers
            .get(offer.value.as_str())
            .filter(|offer| offer.framework == *id)?;
        let offer: OfferId = offer.id.clone();
        self.remove_offer(&offer)
    }

    fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        if !self.know_roles(id, roles) {
            return;
        }
        self.clear_filters(id, |role| {
            roles.is_empty() || roles.iter().any(|r| r == role)
        });
        self.set_suppressed(id, roles, false);
        self.unallocated = Unallocated::Everywhere;
    }

    fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        if self.know_roles(id, roles) {
            self.set_suppressed(id, roles, true);
        }
    }

    fn know_roles(&mut self, id: &FrameworkId, roles: &[String]) -> bool {
        let Some(framework) = self.frameworks.get(id) else {
            return false;
        };
        let Some(role) = roles
            .iter()
            .find(|role| !framework.claims.contains_key(*role))
        else {
            return true;
        };
        let message = format!("{role:?} is none of the framework's roles: subscribe to it first");
        self.refuse(Refusal::Invalid(message));
        false
    }

    fn set_suppressed(&mut self, id: &FrameworkId, roles: &[String], suppressed: bool) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        for (role, claim) in &mut framework.claims {
            if roles.is_empty() || roles.contains(role) {
                claim.suppressed = suppressed;
            }
        }
    }

    fn kill(&mut self, id: &FrameworkId, kill: call::Kill) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        let Some(task) = framework.tasks.get_mut(kill.task_id.value.as_str()) else {
            self.keep_for_later(id, &kill);
            // Nothing to kill now: say what we know of it instead.
            let asked = call::reconcile::Task {
                task_id: kill.task_id,
                agent_id: kill.agent_id,
            };
            return self.reconcile_one(id, &asked);
        };
        task.kill = Kill::Asked(kill.kill_policy);
        let agent = task.agent.clone();
        let kill = link::KillTask {
            framework_id: id.wire(),
            task_id: kill.task_id,
            kill_policy: kill.kill_policy,
        };
        self.tell_agent(&agent, to_agent::Message::KillTask(kill));
    }

    fn keep_for_later(&mut self, id: &FrameworkId, kill: &call::Kill) {
        let agent = kill.agent_id.as_ref();
        let agent = agent.and_then(|agent| AgentId::try_from(agent).ok());
        let awaited = agent.filter(|agent| self.recovered.contains_key(agent));
        if let (Some(agent), Ok(task)) = (awaited, TaskId::try_from(&kill.task_id)) {
            self.early_kills
                .keep(agent, id.clone(), task, kill.kill_policy);
        }
    }

    fn acknowledge(&mut self, id: &FrameworkId, acknowledge: call::Acknowledge) {
        let Some(agent) = self.agent_named(&acknowledge.agent_id) else {
            return self
                .counters
                .count("master/invalid_status_update_acknowledgements");
        };
        let told = self.tell_agent(
            &agent,
            to_agent::Message::Acknowledge(link::Acknowledge {
                framework_id: id.wire(),
                task_id: acknowledge.task_id.clone(),
                uuid: acknowledge.uuid.clone(),
            }),
        );
        // Without the agent's hearing of it the update comes again, so the task stays.
        if !told {
            return self.counters.count("master/dropped_messages");
        }
        self.counters
            .count("master/valid_status_update_acknowledgements");
        let tasks = self.frameworks.get(id).map(|framework| &framework.tasks);
        let task = tasks.and_then(|tasks| tasks.get(acknowledge.task_id.value.as_str()));
        if let Some(task) = task.filter(|task| task.is_over(&acknowledge.uuid)) {
            let task: TaskId = task.id.clone();
            self.complete_task(id, &task);
        }
    }

    fn complete_task(&mut self, id: &FrameworkId, task: &TaskId) {
        if let Some(task) = self.remove_task(id, task)
            && let Some(framework) = self.frameworks.get_mut(id)
        {
            framework.completed.push(task);
        }
    }

    /// Agents know a command task by its own id, as the executor of itself.
    fn shut_down_executor(&mut self, id: &FrameworkId, shutdown: call::Shutdown) {
        let Some(agent) = self.host_of_executor(id, &shutdown) else {
            tracing::debug!(
                framework = %id,
                agent = shutdown.agent_id.value,
                executor = shutdown.executor_id.value,
                "shutdown of an executor that is not there"
            );
            return self.counters.count("master/dropped_messages");
        };
        let message = link::ShutdownExecutor {
            framework_id: id.wire(),
            executor_id: shutdown.executor_id,
        };
        self.tell_agent(&agent, to_agent::Message::ShutdownExecutor(message));
    }

    /// The agent that the call names, if the framework has that executor there.
    fn host_of_executor(&self, id: &FrameworkId, shutdown: &call::Shutdown) -> Option<AgentId> {
        let agent = self.agents.get(shutdown.agent_id.value.as_str())?;
        let executor = ExecutorId::try_from(&shutdown.executor_id).ok()?;
        let task = self.frameworks.get(id)?.tasks.get(executor.as_str());
        let is_task = task.is_some_and(|task| {
            task.agent == agent.id
                && task
                    .wire
                    .executor_id
                    .as_ref()
                    .is_none_or(|own| *own == shutdown.executor_id)
        });
        let known = is_task || agent.executors.contains_key(&(id.clone(), executor));
        known.then(|| agent.id.clone())
    }

    fn forward_message(&mut self, id: &FrameworkId, message: call::Message) {
        let known = self.agent_named(&message.agent_id);
        let forwarded = link::FrameworkMessage {
            framework_id: id.wire(),
            executor_id: message.executor_id,
            data: message.data,
        };
        let told = known.is_some_and(|agent| {
            self.tell_agent(&agent, to_agent::Message::FrameworkMessage(forwarded))
        });
        self.counters.count(match told {
            true => "master/valid_framework_to_executor_messages",
            false => "master/invalid_framework_to_executor_messages",
        });
    }

    fn agent_named(&self, id: &v1::AgentId) -> Option<AgentId> {
        self.agents
            .get(id.value.as_str())
            .map(|agent| agent.id.clone())
    }

    pub(super) fn exited_executor(&mut self, agent: &AgentId, exited: &link::ExitedExecutor) {
        let owner = FrameworkId::try_from(&exited.framework_id);
        let executor = ExecutorId::try_from(&exited.executor_id);
        if let (Ok(owner), Ok(executor)) = (owner, executor) {
            self.remove_executor(agent, &owner, &executor);
            self.tell(
                &owner,
                super::events::executor_exited(agent, &executor, exited.status),
            );
        }
    }
}

/// The part of a call that its type names.
fn body<T>(cluster: &mut Cluster, kind: Type, body: Option<T>) -> Option<T> {
    if body.is_none() {
        let name = kind.as_str_name();
        let field = name.to_lowercase();
        let message = format!("a call of type {name} needs the field {field:?}");
        cluster.refuse(Refusal::Invalid(message));
    }
    body
}

fn message_counter(kind: Type) -> &'static str {
    match kind {
        Type::Accept => "master/messages_launch_tasks",
        Type::Decline => "master/messages_decline_offers",
        Type::Revive => "master/messages_revive_offers",
        Type::Suppress => "master/messages_suppress_offers",
        Type::Kill => "master/messages_kill_task",
        Type::Acknowledge => "master/messages_status_update_acknowledgement",
        Type::Reconcile => "master/messages_reconcile_tasks",
        Type::ReconcileOperations => "master/messages_reconcile_operations",
        Type::Shutdown => "master/messages_shutdown_executor",
        Type::Message => "master/messages_framework_to_executor",
        Type::UpdateFramework => "master/messages_update_framework",
        Type::Teardown => "master/messages_unregister_framework",
        Type::Request => "master/messages_resource_request",
        Type::AcceptInverseOffers => "master/messages_accept_inverse_offers",
        Type::DeclineInverseOffers => "master/messages_decline_inverse_offers",
        Type::AcknowledgeOperationStatus => {
            "master/messages_operation_status_update_acknowledgement"
        }
        Type::Subscribe | Type::Unknown => "master/dropped_messages",
    }
}
