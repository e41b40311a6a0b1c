//! How agents come: admission, and coming back with the tasks they run.

use std::collections::{BTreeMap, BTreeSet};

use proto::link::{self, to_agent};
use proto::resources::Resources;
use proto::v1;
use proto::v1::task_status::Reason;
use v1::framework_info::capability::Type as Capability;

use super::agent::{Executor, Link};
use super::clock::Timer;
use super::framework::Framework;
use super::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use super::task::{Kill, Task};
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
            Ok(id) => self.take_in_tasks(&id, register),
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

    /// Makes the agent one of ours, durably first, and tells it so.
    fn admit(&mut self, link: LinkId, register: &link::Register) -> Result<AgentId, Unfit> {
        if register.agent.hostname.is_empty() {
            return Err(Unfit::Hostname);
        }
        let total = Resources::from_protos(&register.agent.resources).map_err(Unfit::Resources)?;
        let returning = match &register.agent.id {
            Some(id) => Some(AgentId::try_from(id).map_err(Unfit::Id)?),
            None => self.earlier_life(&register.address),
        };
        let id = returning.unwrap_or_else(|| {
            self.next_agent += 1;
            AgentId::assigned(&self.config.master.id, self.next_agent - 1)
        });
        let info = v1::AgentInfo {
            id: Some(id.wire()),
            ..register.agent.clone()
        };
        let known = self
            .agents
            .get(&id)
            .map(|agent| &agent.info)
            .or(self.recovered.get(&id));
        if known != Some(&info) {
            self.store(vec![Write::Admit {
                id: id.clone(),
                info: info.clone(),
            }]);
        }
        self.recovered.remove(&id);
        self.unreachable.remove(&id);
        self.let_go_of_link(&id);

        let again = self.agents.contains_key(&id) || register.agent.id.is_some();
        self.counters.count(match again {
            true => "master/slave_reregistrations",
            false => "master/slave_registrations",
        });
        tracing::info!(agent = %id, hostname = info.hostname, resources = %total, again, "agent registered");
        let next_ping = self.now.up + self.config.agent_ping_timeout;
        self.timers.set(next_ping, Timer::Agent(id.clone()));
        self.links.insert(link, id.clone());
        let before = self.agents.remove(&id);
        if let Some(before) = &before {
            self.capacity.subtract(&Quantities::of(&before.total));
            for ((framework, _), executor) in &before.executors {
                self.discharge(
                    framework,
                    &executor.role,
                    &Quantities::of(&executor.resources),
                );
            }
        }
        self.capacity.add(&Quantities::of(&total));
        let registered = before
            .as_ref()
            .map_or(self.now.wall, |agent| agent.registered);
        let agent = Agent {
            id: id.clone(),
            info,
            address: register.address.clone(),
            version: register.version.clone(),
            capabilities: register.capabilities.iter().map(|c| c.r#type()).collect(),
            free: total.clone(),
            total,
            link: Link::Up {
                id: link,
                next_ping,
                missed: 0,
            },
            registered,
            reregistered: again.then_some(self.now.wall),
            tasks: before.map(|agent| agent.tasks).unwrap_or_default(),
            executors: BTreeMap::new(),
            offers: BTreeSet::new(),
        };
        self.agents.insert(id.clone(), agent);
        self.unallocated.include(&id);
        self.welcome(&id);
        Ok(id)
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
    }

    /// An agent that registers anew from the address of one we know has lost its memory. If that
    /// one had nothing running it is simply the same; otherwise its tasks are gone.
    fn earlier_life(&mut self, address: &v1::Address) -> Option<AgentId> {
        let same =
            |agent: &&Agent| agent.address.ip == address.ip && agent.address.port == address.port;
        let before = self.agents.values().find(same)?;
        let id = before.id.clone();
        if before.tasks.is_empty() {
            return Some(id);
        }
        self.unregister(&id);
        None
    }

    /// Ends the older link, the offers made over it, and its deadline.
    fn let_go_of_link(&mut self, id: &AgentId) {
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
            for offer in agent.offers.clone() {
                self.rescind(&offer);
            }
        }
    }

    /// Brings what the agent runs and what we know together. The agent knows better.
    fn take_in_tasks(&mut self, id: &AgentId, register: link::Register) {
        for info in register.frameworks {
            self.recover_framework(id, info);
        }
        let mut reported = BTreeSet::new();
        for task in register.tasks {
            let owner = FrameworkId::try_from(&task.framework_id);
            if let (Ok(framework), Ok(task_id)) = (owner, TaskId::try_from(&task.task_id)) {
                reported.insert((framework.clone(), task_id.clone()));
                self.take_in_task(id, &framework, task_id, task);
            }
        }
        for executor in register.executors {
            self.take_in_executor(id, executor);
        }
        self.ask_about_missing(id, &reported);
        self.repeat_kills(id);
    }

    fn recover_framework(&mut self, agent: &AgentId, info: v1::FrameworkInfo) {
        let Some(id) = info
            .id
            .as_ref()
            .and_then(|id| FrameworkId::try_from(id).ok())
        else {
            return;
        };
        if self.completed.iter().any(|past| past.framework.id == id) {
            let shutdown = link::ShutdownFramework {
                framework_id: id.wire(),
            };
            self.tell_agent(agent, to_agent::Message::ShutdownFramework(shutdown));
        } else if !self.frameworks.contains_key(&id) {
            tracing::info!(framework = %id, name = info.name, %agent, "framework recovered");
            let framework =
                Framework::new(id.clone(), info, self.now.wall, &self.config.remembered);
            self.frameworks.insert(id, framework);
        }
    }

    fn take_in_task(&mut self, agent: &AgentId, owner: &FrameworkId, id: TaskId, wire: v1::Task) {
        let Some(framework) = self.frameworks.get_mut(owner) else {
            return;
        };
        let live = framework.tasks.remove(&id);
        let from_afar = framework.unreachable.take(&id);
        let finished = framework.completed.get(id.as_str()).is_some() && live.is_none();
        // A framework that does not know partitions was told that this task is lost for good.
        let partition_aware = framework.has(Capability::PartitionAware);
        let reported_lost = (from_afar.is_some() && !partition_aware) || finished;

        let role = role_of(&wire, framework);
        let is_over = proto::task::is_terminal(wire.state());
        let resources = match is_over {
            true => Resources::new(),
            false => Resources::from_protos(&wire.resources)
                .map(|r| r.unallocate())
                .unwrap_or_default(),
        };
        let (held, kill) = match live {
            Some(live) => {
                let charged = Quantities::of(&live.resources);
                if let Some(allocated) = framework.allocated.get_mut(&live.role) {
                    allocated.subtract(&charged);
                }
                (live.held, live.kill)
            }
            None => (None, Kill::NotAsked),
        };
        if is_over && finished {
            return;
        }
        let task = Task {
            id: id.clone(),
            agent: agent.clone(),
            role,
            resources,
            wire,
            held,
            kill,
        };
        self.insert_task(owner, task);
        if is_over {
            return;
        }
        if reported_lost {
            let kill = link::KillTask {
                framework_id: owner.wire(),
                task_id: id.wire(),
                kill_policy: None,
            };
            self.tell_agent(agent, to_agent::Message::KillTask(kill));
        } else if from_afar.is_some() {
            self.tell_current_state(owner, &id, Reason::AgentReregistered, "the agent is back");
        }
    }

    /// Puts a task on its agent and framework, and charges its resources.
    pub(super) fn insert_task(&mut self, owner: &FrameworkId, task: Task) {
        self.take(&task.agent, owner, &task.role, &task.resources);
        if let Some(agent) = self.agents.get_mut(&task.agent) {
            agent.tasks.insert((owner.clone(), task.id.clone()));
        }
        if let Some(framework) = self.frameworks.get_mut(owner) {
            framework.tasks.insert(task.id.clone(), task);
        }
    }

    fn take_in_executor(&mut self, agent: &AgentId, info: v1::ExecutorInfo) {
        let owner = info
            .framework_id
            .as_ref()
            .and_then(|id| FrameworkId::try_from(id).ok());
        let id = ExecutorId::try_from(&info.executor_id);
        let (Some(owner), Ok(id)) = (owner, id) else {
            return;
        };
        if !self.frameworks.contains_key(&owner) {
            return;
        }
        let role = allocation_role(&info.resources).unwrap_or("*").to_owned();
        let resources = Resources::from_protos(&info.resources)
            .map(|r| r.unallocate())
            .unwrap_or_default();
        self.take(agent, &owner, &role, &resources);
        self.insert_executor(
            agent,
            owner,
            id,
            Executor {
                info,
                role,
                resources,
            },
        );
    }

    pub(super) fn insert_executor(
        &mut self,
        agent: &AgentId,
        owner: FrameworkId,
        id: ExecutorId,
        executor: Executor,
    ) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.executors.insert((owner, id), executor);
        }
    }

    /// Takes an executor off its agent and frees what it used.
    pub(super) fn remove_executor(
        &mut self,
        agent: &AgentId,
        owner: &FrameworkId,
        id: &ExecutorId,
    ) {
        let key = (owner.clone(), id.clone());
        let executor = self
            .agents
            .get_mut(agent)
            .and_then(|agent| agent.executors.remove(&key));
        if let Some(executor) = executor {
            self.give_back(agent, owner, &executor.role, &executor.resources);
        }
    }

    /// Tasks we know and the agent did not report. Those that had ended were acknowledged without
    /// our hearing of it; about the others it is asked, and answers with what became of them.
    fn ask_about_missing(&mut self, id: &AgentId, reported: &BTreeSet<(FrameworkId, TaskId)>) {
        let mut missing = Vec::new();
        for (owner, task) in self.tasks_on(id) {
            if reported.contains(&(owner.clone(), task.clone())) {
                continue;
            }
            let Some(framework) = self.frameworks.get(&owner) else {
                continue;
            };
            let Some(known) = framework.tasks.get(&task) else {
                continue;
            };
            if known.is_terminal() {
                if let Some(task) = self.remove_task(&owner, &task)
                    && let Some(framework) = self.frameworks.get_mut(&owner)
                {
                    framework.completed.push(task);
                }
                continue;
            }
            // It is still charged: the agent was rebuilt with everything free.
            let still_used = known.resources.clone();
            missing.push(link::reconcile::Task {
                framework: framework.info.clone(),
                task_id: task.wire(),
            });
            if let Some(agent) = self.agents.get_mut(id) {
                agent.free = agent.free.try_sub(&still_used).unwrap_or_default();
            }
        }
        if !missing.is_empty() {
            self.tell_agent(
                id,
                to_agent::Message::Reconcile(link::Reconcile { tasks: missing }),
            );
        }
    }

    fn repeat_kills(&mut self, id: &AgentId) {
        for (owner, task) in self.tasks_on(id) {
            let task = self.frameworks.get(&owner).and_then(|f| f.tasks.get(&task));
            if let Some(Task {
                kill: Kill::Asked(policy),
                wire,
                ..
            }) = task
            {
                let kill = link::KillTask {
                    framework_id: owner.wire(),
                    task_id: wire.task_id.clone(),
                    kill_policy: policy.clone(),
                };
                self.tell_agent(id, to_agent::Message::KillTask(kill));
            }
        }
    }

    /// Tells the framework the state a task is in, without an update of the agent to forward.
    fn tell_current_state(
        &mut self,
        owner: &FrameworkId,
        id: &TaskId,
        reason: Reason,
        message: &str,
    ) {
        let Some(task) = self.frameworks.get(owner).and_then(|f| f.tasks.get(id)) else {
            return;
        };
        let status = self.describe(task, task.wire.state(), reason, message);
        self.tell(owner, events::update(status));
    }
}

/// The role a task's resources are allocated to. A task always says so when it comes from an
/// agent of this version; an older record falls back on the framework's one role.
fn role_of(task: &v1::Task, framework: &Framework) -> String {
    let own = || framework.claims.keys().next().map(String::as_str);
    allocation_role(&task.resources)
        .or_else(own)
        .unwrap_or("*")
        .to_owned()
}

fn allocation_role(resources: &[v1::Resource]) -> Option<&str> {
    resources
        .iter()
        .find_map(|r| r.allocation_info.as_ref()?.role.as_deref())
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
