//! Whether a task can run as its framework describes it. Every refusal says how to mend it.

use std::collections::BTreeSet;

use proto::ids::BadId;
use proto::resources::{BadResources, Resources};
use proto::v1;
use v1::executor_info::Type as ExecutorType;
use v1::offer::operation::LaunchGroup;

use super::accept::unallocated;
use super::agent::Agent;
use super::framework::Framework;
use super::ids::{ExecutorId, TaskId};

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

#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error("task id {id:?} is not possible")]
    TaskId { id: String, source: BadId },
    #[error("executor id {id:?} is not possible")]
    ExecutorId { id: String, source: BadId },
    #[error("task id {0} is in use by a task of this framework: take a new id for every launch")]
    Duplicate(TaskId),
    #[error("agent_id is {given:?} but the offer is of agent {offered}: copy it from the offer")]
    OtherAgent { given: String, offered: String },
    #[error("task {0} has neither command nor executor: set one of them")]
    NothingToRun(TaskId),
    #[error("task {0} has both command and executor: set only one of them")]
    TwoThingsToRun(TaskId),
    #[error("command has no value: set command.value, or command.shell to false and arguments")]
    EmptyCommand,
    #[error("an executor of type DEFAULT only runs task groups: use LAUNCH_GROUP")]
    DefaultExecutor,
    #[error("the executor of a task group must have the type DEFAULT and no command")]
    GroupExecutor,
    #[error("executor {0} has no command: set executor.command")]
    ExecutorCommand(ExecutorId),
    #[error(
        "executor {0} differs from the one with this id on the agent: use the same description or a new id"
    )]
    OtherExecutor(ExecutorId),
    #[error(
        "executor {executor} names the framework {given:?}: set framework_id to your own or leave it out"
    )]
    ForeignExecutor { executor: ExecutorId, given: String },
    #[error("a task group has no tasks")]
    EmptyGroup,
    #[error("{0} uses no resources: name at least cpus and mem")]
    NoResources(String),
    #[error("resources of {of} cannot be read")]
    Resources { of: String, source: BadResources },
    #[error(
        "{of} names resources allocated to role {given:?}, but the offer is for role {offered:?}"
    )]
    OtherRole {
        of: String,
        given: String,
        offered: String,
    },
    #[error("task and executor need {wanted}, which is more than the {left} left of the offer")]
    MoreThanOffered { wanted: String, left: String },
    #[error("gpus is {0}: only whole GPUs can be used")]
    PartOfGpu(f64),
    #[error("{field} is missing: its type needs it")]
    Missing { field: &'static str },
    #[error("{field} is {value}: it must not be negative")]
    Negative { field: &'static str, value: String },
    #[error("the path of an HTTP check is {0:?}: begin it with a slash")]
    CheckPath(String),
    #[error("the scheme of an HTTP check is {0:?}: use http or https")]
    CheckScheme(String),
    #[error(
        "volume {path:?} has {sources} sources: set exactly one of host_path, image and source"
    )]
    VolumeSources { path: String, sources: usize },
    #[error("docker parameter {0:?} is reserved: remove it")]
    DockerParameter(String),
    #[error("environment variable {0:?} must have either a value or a secret, as its type says")]
    Variable(String),
    #[error("limits names {0:?}: only cpus and mem can be limited")]
    LimitName(String),
    #[error(
        "limit {name} is {limit}, below the {request} requested: raise it or lower the request"
    )]
    LimitTooLow {
        name: String,
        limit: f64,
        request: f64,
    },
    #[error("agent {0} does not know limits: leave them out")]
    LimitsUnknown(String),
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
        for task in &group.task_group.tasks {
            let id = self.task_id(task)?;
            if tasks.iter().any(|other| other.id == id) {
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

fn check_command(command: &v1::CommandInfo) -> Result<(), Invalid> {
    // With shell set to false an image may bring its own command.
    match command.shell() && command.value().is_empty() {
        true => Err(Invalid::EmptyCommand),
        false => Ok(()),
    }
}

fn check_health(check: &v1::HealthCheck) -> Result<(), Invalid> {
    use v1::health_check::Type;
    let missing = |field| Err(Invalid::Missing { field });
    match check.r#type() {
        Type::Command if check.command.is_none() => return missing("health_check.command"),
        Type::Http if check.http.is_none() => return missing("health_check.http"),
        Type::Tcp if check.tcp.is_none() => return missing("health_check.tcp"),
        Type::Unknown => return missing("health_check.type"),
        Type::Command | Type::Http | Type::Tcp => {}
    }
    if let Some(http) = &check.http {
        check_path(http.path.as_deref())?;
        if let Some(scheme) = http
            .scheme
            .as_deref()
            .filter(|s| !["http", "https"].contains(s))
        {
            return Err(Invalid::CheckScheme(scheme.to_owned()));
        }
    }
    seconds([
        ("health_check.delay_seconds", check.delay_seconds()),
        ("health_check.interval_seconds", check.interval_seconds()),
        ("health_check.timeout_seconds", check.timeout_seconds()),
        (
            "health_check.grace_period_seconds",
            check.grace_period_seconds(),
        ),
    ])
}

fn check_check(check: &v1::CheckInfo) -> Result<(), Invalid> {
    use v1::check_info::Type;
    let missing = |field| Err(Invalid::Missing { field });
    match check.r#type() {
        Type::Command if check.command.is_none() => return missing("check.command"),
        Type::Http if check.http.is_none() => return missing("check.http"),
        Type::Tcp if check.tcp.is_none() => return missing("check.tcp"),
        Type::Unknown => return missing("check.type"),
        Type::Command | Type::Http | Type::Tcp => {}
    }
    check_path(check.http.as_ref().and_then(|http| http.path.as_deref()))?;
    seconds([
        ("check.delay_seconds", check.delay_seconds()),
        ("check.interval_seconds", check.interval_seconds()),
        ("check.timeout_seconds", check.timeout_seconds()),
    ])
}

fn check_path(path: Option<&str>) -> Result<(), Invalid> {
    match path.filter(|path| !path.starts_with('/')) {
        Some(path) => Err(Invalid::CheckPath(path.to_owned())),
        None => Ok(()),
    }
}

fn seconds<const N: usize>(fields: [(&'static str, f64); N]) -> Result<(), Invalid> {
    match fields
        .into_iter()
        .find(|(_, value)| value.is_nan() || *value < 0.0)
    {
        Some((field, value)) => Err(Invalid::Negative {
            field,
            value: value.to_string(),
        }),
        None => Ok(()),
    }
}

fn not_negative(field: &'static str, time: Option<v1::DurationInfo>) -> Result<(), Invalid> {
    match time.filter(|time| time.nanoseconds < 0) {
        Some(time) => Err(Invalid::Negative {
            field,
            value: format!("{} ns", time.nanoseconds),
        }),
        None => Ok(()),
    }
}

fn check_container(container: &v1::ContainerInfo) -> Result<(), Invalid> {
    if container.r#type() == v1::container_info::Type::Docker && container.docker.is_none() {
        return Err(Invalid::Missing {
            field: "container.docker",
        });
    }
    let parameters = container
        .docker
        .iter()
        .flat_map(|docker| &docker.parameters);
    if let Some(parameter) = parameters
        .into_iter()
        .find(|parameter| parameter.key == "name")
    {
        return Err(Invalid::DockerParameter(parameter.key.clone()));
    }
    let mut paths = BTreeSet::new();
    for volume in &container.volumes {
        // A container path alone asks for a volume in the sandbox, which old frameworks still do.
        let sources = [
            volume.host_path.is_some(),
            volume.image.is_some(),
            volume.source.is_some(),
        ];
        let sources = sources.into_iter().filter(|set| *set).count();
        if sources > 1 || (sources == 0 && !paths.insert(&volume.container_path)) {
            return Err(Invalid::VolumeSources {
                path: volume.container_path.clone(),
                sources,
            });
        }
    }
    Ok(())
}

fn check_variable(variable: &v1::environment::Variable) -> Result<(), Invalid> {
    use v1::environment::variable::Type;
    let consistent = match variable.r#type() {
        Type::Value | Type::Unknown => variable.value.is_some() && variable.secret.is_none(),
        Type::Secret => variable.secret.is_some() && variable.value.is_none(),
    };
    consistent
        .then_some(())
        .ok_or_else(|| Invalid::Variable(variable.name.clone()))
}
