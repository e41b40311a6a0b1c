//! An agent comes back: what it runs and what the master knows are brought together.

use std::collections::BTreeSet;

use proto::link::{self, to_agent};
use proto::resources::Resources;
use proto::v1;
use proto::v1::task_status::Reason;
use v1::framework_info::capability::Type as Capability;

use super::agent::Executor;
use super::framework::{Framework, MAX_FRAMEWORKS};
use super::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use super::roles::unallocated;
use super::task::{Kill, Task};
use super::{Agent, Cluster, Quantities, events};

impl Cluster {
    /// Brings what the agent runs and what we know together. The agent knows better.
    pub(super) fn take_in_tasks(&mut self, id: &AgentId, register: link::Register) {
        for info in register.frameworks {
            self.recover_framework(id, info);
        }
        let mut reported = BTreeSet::new();
        for task in register.tasks {
            let owner = FrameworkId::try_from(&task.framework_id);
            if let (Ok(framework), Ok(task_id)) = (owner, TaskId::try_from(&task.task_id)) {
                // One that comes twice is there once.
                if reported.insert((framework.clone(), task_id.clone())) {
                    self.take_in_task(id, &framework, task_id, task);
                }
            }
        }
        self.take_in_completed(id, register.completed_tasks);
        for executor in register.executors {
            self.take_in_executor(id, executor);
        }
        self.ask_about_missing(id, &reported);
        self.note_early_kills(id);
        self.repeat_kills(id);
        self.make_offers_fit(id);
        if let Some(agent) = self.agents.get(id).filter(|agent| agent.overcommitted) {
            tracing::warn!(agent = %agent.id, total = %agent.total, "agent has less than what runs on it");
        }
    }

    /// What is offered of it is not there if more runs on it than we knew.
    fn make_offers_fit(&mut self, id: &AgentId) {
        let offers = self.agents.get(id).map(|agent| agent.offers.clone());
        for offer in offers.unwrap_or_default() {
            if self.agents.get(id).is_some_and(|agent| agent.overcommitted) {
                self.rescind(&offer);
            }
        }
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
        } else if self.frameworks.contains_key(&id) {
            // Its scheduler, or another agent, has told of it before.
        } else if self.frameworks.len() >= MAX_FRAMEWORKS {
            tracing::warn!(framework = %id, %agent, limit = MAX_FRAMEWORKS, "too many frameworks to recover one more");
        } else {
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
        let is_over = proto::task::is_terminal(wire.state());
        let live = framework.tasks.get(&id);
        if live.is_some_and(|live| live.agent != *agent) {
            tracing::error!(%agent, framework = %owner, task = %id, "another agent runs this task too");
            return;
        }
        // It was over and acknowledged; the agent has yet to hear of that.
        if is_over && live.is_none() && framework.completed.get(id.as_str()).is_some() {
            return;
        }
        let live = framework.tasks.remove(&id);
        let was_unreachable = framework.unreachable.take(&id).is_some();
        // It was lost with the agent that has it, and with no other, whatever that one may tell.
        let of_agent = |task: &Task| task.agent == *agent;
        let was_lost = live.is_none()
            && framework.completed.get(id.as_str()).is_some_and(of_agent)
            && framework.completed.take(&id).is_some();
        // A framework that does not know partitions was told that this task is lost for good.
        let partition_aware = framework.has(Capability::PartitionAware);
        let must_end = was_lost || (was_unreachable && !partition_aware);

        if let Some(live) = &live {
            framework.discharge(&live.role, &Quantities::of(&live.resources));
        }
        let resources = match is_over {
            true => Resources::new(),
            false => unallocated(&wire.resources).unwrap_or_default(),
        };
        let role = role_of(&wire, framework);
        let (held, kill) = live.map_or((None, Kill::NotAsked), |live| (live.held, live.kill));
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
        if must_end {
            let kill = link::KillTask {
                framework_id: owner.wire(),
                task_id: id.wire(),
                kill_policy: None,
            };
            self.tell_agent(agent, to_agent::Message::KillTask(kill));
        } else if was_unreachable {
            self.tell_current_state(owner, &id, Reason::AgentReregistered, "the agent is back");
        }
    }

    /// What we knew before we were restarted, as far as the agent remembers it.
    fn take_in_completed(&mut self, agent: &AgentId, tasks: Vec<v1::Task>) {
        for wire in tasks {
            let owner = FrameworkId::try_from(&wire.framework_id).ok();
            let framework = owner.and_then(|owner| self.frameworks.get_mut(&owner));
            let (Some(framework), Ok(id)) = (framework, TaskId::try_from(&wire.task_id)) else {
                continue;
            };
            let is_known = framework.tasks.contains_key(&id)
                || framework.unreachable.get(id.as_str()).is_some()
                || framework.completed.get(id.as_str()).is_some();
            let is_its_own = wire.agent_id.value == agent.as_str();
            if is_known || !is_its_own || !proto::task::is_terminal(wire.state()) {
                continue;
            }
            framework.completed.push(Task {
                id,
                agent: agent.clone(),
                role: role_of(&wire, framework),
                resources: Resources::new(),
                wire,
                held: None,
                kill: Kill::NotAsked,
            });
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
        let key = (owner.clone(), id.clone());
        let known = |host: &Agent| host.executors.contains_key(&key);
        if !self.frameworks.contains_key(&owner) || self.agents.get(agent).is_some_and(known) {
            return;
        }
        let role = allocation_role(&info.resources).unwrap_or("*").to_owned();
        let resources = unallocated(&info.resources).unwrap_or_default();
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
                agent.occupy(&still_used);
            }
        }
        if !missing.is_empty() {
            self.tell_agent(
                id,
                to_agent::Message::Reconcile(link::Reconcile { tasks: missing }),
            );
        }
    }

    fn note_early_kills(&mut self, id: &AgentId) {
        for ((owner, task), policy) in self.early_kills.take(id) {
            let framework = self.frameworks.get_mut(&owner);
            let task = framework.and_then(|framework| framework.tasks.get_mut(&task));
            if let Some(task) = task.filter(|task| task.agent == *id) {
                task.kill = Kill::Asked(policy);
            }
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
                    kill_policy: *policy,
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
