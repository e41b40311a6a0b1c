//! Whether a task can run as its framework describes it. Every refusal says how to mend it.

mod checks;
mod invalid;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use proto::resources::Resources;
use proto::v1;
use v1::executor_info::Type as ExecutorType;
use v1::offer::operation::LaunchGroup;

use super::agent::Agent;
use super::framework::{Framework, MAX_TASKS};
use super::ids::{ExecutorId, TaskId};
use super::roles::unallocated;
use checks::{
    check_check, check_command, check_container, check_health, check_variable, not_negative,
};
pub use invalid::Invalid;

/// What a launch is measured against.
pub struct Terms<'a> {
    pub framework: &'a Framework,
    pub agent: &'a Agent,
    pub role: &'a str,
}

/// A task that may run.
#[derive(Debug)]
pub struct Accepted {
    pub id: TaskId,
    /// Complete: resources name the role they are allocated to.
    pub info: v1::TaskInfo,
    pub resources: Resources,
    pub executor: Option<NewExecutor>,
}

/// An executor that starts with this task.
#[derive(Debug)]
pub struct NewExecutor {
    pub id: ExecutorId,
    pub info: v1::ExecutorInfo,
    pub resources: Resources,
}

#[derive(Debug)]
pub struct AcceptedGroup {
    pub executor: v1::ExecutorInfo,
    pub tasks: Vec<Accepted>,
}

impl Terms<'_> {
    pub fn task(&self, task: &v1::TaskInfo, left: &Resources) -> Result<Accepted, Invalid> {
        let id = self.task_id(task)?;
        match (&task.command, &task.executor) {
            (None, None) => return Err(Invalid::NothingToRun(id)),
            (Some(_), Some(_)) => return Err(Invalid::TwoThingsToRun(id)),
            (Some(command), None) => check_command(command)?,
            (None, Some(executor)) if executor.r#type() == ExecutorType::Default => {
                return Err(Invalid::DefaultExecutor);
            }
            (None, Some(executor)) if executor.command.is_none() => {
                return Err(Invalid::ExecutorCommand(executor_id(executor)?));
            }
            (None, Some(_)) => {}
        }
        let mut accepted = self.accept(id, task)?;
        let mut wanted = accepted.resources.clone();
        if let Some(executor) = &task.executor {
            accepted.executor = self.executor(executor)?;
            accepted.info.executor = Some(self.complete(executor));
            if let Some(new) = &accepted.executor {
                wanted += &new.resources;
            }
        }
        fits(&wanted, left)?;
        Ok(accepted)
    }

    pub fn group(&self, group: &LaunchGroup, left: &Resources) -> Result<AcceptedGroup, Invalid> {
        let wish = &group.executor;
        if wish.r#type() != ExecutorType::Default || wish.command.is_some() {
            return Err(Invalid::GroupExecutor);
        }
        let mut new = self.executor(wish)?;
        let executor = self.complete(wish);
        let mut wanted = new
            .as_ref()
            .map(|new| new.resources.clone())
            .unwrap_or_default();
        let mut tasks: Vec<Accepted> = Vec::new();
        let mut ids = BTreeSet::new();
        for task in &group.task_group.tasks {
            let id = self.task_id(task)?;
            if !ids.insert(id.clone()) {
                return Err(Invalid::Duplicate(id));
            }
            let mut accepted = self.accept(id, task)?;
            wanted += &accepted.resources;
            accepted.info.executor = Some(executor.clone());
            // The executor is charged once, with the first of its tasks.
            accepted.executor = new.take();
            tasks.push(accepted);
        }
        if tasks.is_empty() {
            return Err(Invalid::EmptyGroup);
        }
        fits(&wanted, left)?;
        Ok(AcceptedGroup { executor, tasks })
    }

    fn task_id(&self, task: &v1::TaskInfo) -> Result<TaskId, Invalid> {
        let id = TaskId::try_from(&task.task_id).map_err(|source| Invalid::TaskId {
            id: task.task_id.value.clone(),
            source,
        })?;
        if self.framework.tasks.len() >= MAX_TASKS {
            return Err(Invalid::TooManyTasks(id));
        }
        let unreachable = self.framework.unreachable.get(id.as_str());
        if self.framework.tasks.contains_key(&id) || unreachable.is_some() {
            return Err(Invalid::Duplicate(id));
        }
        if task.agent_id.value != self.agent.id.as_str() {
            return Err(Invalid::OtherAgent {
                given: task.agent_id.value.clone(),
                offered: self.agent.id.to_string(),
            });
        }
        Ok(id)
    }

    /// What is the same for single tasks and for those in groups.
    fn accept(&self, id: TaskId, task: &v1::TaskInfo) -> Result<Accepted, Invalid> {
        let of = format!("task {id}");
        let resources = self.resources(&of, &task.resources)?;
        if resources.is_empty() {
            return Err(Invalid::NoResources(of));
        }
        if resources.gpus().fract() != 0.0 {
            return Err(Invalid::PartOfGpu(resources.gpus()));
        }
        if let Some(health) = &task.health_check {
            check_health(health)?;
        }
        if let Some(check) = &task.check {
            check_check(check)?;
        }
        if let Some(container) = &task.container {
            check_container(container)?;
        }
        let grace = task
            .kill_policy
            .as_ref()
            .and_then(|policy| policy.grace_period);
        not_negative("kill_policy.grace_period", grace)?;
        not_negative("max_completion_time", task.max_completion_time)?;
        for variable in task
            .command
            .iter()
            .flat_map(|c| &c.environment)
            .flat_map(|e| &e.variables)
        {
            check_variable(variable)?;
        }
        self.limits(task, &resources)?;
        let info = v1::TaskInfo {
            resources: resources.allocate(self.role).to_protos(),
            ..task.clone()
        };
        Ok(Accepted {
            id,
            info,
            resources,
            executor: None,
        })
    }

    /// `None` when this executor runs on the agent already.
    fn executor(&self, executor: &v1::ExecutorInfo) -> Result<Option<NewExecutor>, Invalid> {
        let id = executor_id(executor)?;
        let own = Some(self.framework.id.wire());
        if executor.framework_id.is_some() && executor.framework_id != own {
            let given = executor.framework_id.clone().unwrap_or_default().value;
            return Err(Invalid::ForeignExecutor {
                executor: id,
                given,
            });
        }
        let info = self.complete(executor);
        let resources = self.resources(&format!("executor {id}"), &executor.resources)?;
        match self
            .agent
            .executors
            .get(&(self.framework.id.clone(), id.clone()))
        {
            Some(running) if running.info == info => Ok(None),
            Some(_) => Err(Invalid::OtherExecutor(id)),
            None => Ok(Some(NewExecutor {
                id,
                info,
                resources,
            })),
        }
    }

    fn complete(&self, executor: &v1::ExecutorInfo) -> v1::ExecutorInfo {
        let resources = unallocated(&executor.resources).unwrap_or_default();
        v1::ExecutorInfo {
            framework_id: Some(self.framework.id.wire()),
            resources: resources.allocate(self.role).to_protos(),
            ..executor.clone()
        }
    }

    fn resources(&self, of: &str, wire: &[v1::Resource]) -> Result<Resources, Invalid> {
        let named = wire
            .iter()
            .filter_map(|r| r.allocation_info.as_ref()?.role.as_deref());
        if let Some(given) = named.into_iter().find(|role| *role != self.role) {
            return Err(Invalid::OtherRole {
                of: of.to_owned(),
                given: given.to_owned(),
                offered: self.role.to_owned(),
            });
        }
        unallocated(wire).map_err(|source| Invalid::Resources {
            of: of.to_owned(),
            source,
        })
    }

    fn limits(&self, task: &v1::TaskInfo, request: &Resources) -> Result<(), Invalid> {
        let knows = self
            .agent
            .has(v1::agent_info::capability::Type::TaskResourceLimits);
        for (name, limit) in &task.limits {
            let request = match name.as_str() {
                "cpus" => request.cpus(),
                "mem" => request.mem(),
                _ => return Err(Invalid::LimitName(name.clone())),
            };
            if !knows {
                return Err(Invalid::LimitsUnknown(self.agent.id.to_string()));
            }
            let limit = limit.value;
            if limit < request {
                return Err(Invalid::LimitTooLow {
                    name: name.clone(),
                    limit,
                    request,
                });
            }
        }
        Ok(())
    }
}

fn executor_id(executor: &v1::ExecutorInfo) -> Result<ExecutorId, Invalid> {
    ExecutorId::try_from(&executor.executor_id).map_err(|source| Invalid::ExecutorId {
        id: executor.executor_id.value.clone(),
        source,
    })
}

fn fits(wanted: &Resources, left: &Resources) -> Result<(), Invalid> {
    if left.contains(wanted) {
        return Ok(());
    }
    Err(Invalid::MoreThanOffered {
        wanted: wanted.to_string(),
        left: left.to_string(),
    })
}
