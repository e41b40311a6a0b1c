//! Why a task cannot run, in words for whoever wrote it.

use proto::ids::BadId;
use proto::resources::BadResources;

use crate::cluster::framework::MAX_TASKS;
use crate::cluster::ids::{ExecutorId, TaskId};

#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error("task id {id:?} is not possible")]
    TaskId { id: String, source: BadId },
    #[error("executor id {id:?} is not possible")]
    ExecutorId { id: String, source: BadId },
    #[error("task id {0} is in use by a task of this framework: take a new id for every launch")]
    Duplicate(TaskId),
    #[error(
        "task {0} is one too many: a framework has at most {MAX_TASKS} that have not ended or whose \
         end it has not acknowledged"
    )]
    TooManyTasks(TaskId),
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
        "volume {path:?} has {sources} sources: set at most one of host_path, image and source"
    )]
    VolumeSources { path: String, sources: usize },
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
