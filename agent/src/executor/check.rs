//! Which tasks with an executor of their own can run here at all. Pure.

use proto::v1::executor_info::Type;
use proto::v1::{ExecutorInfo, FrameworkInfo, TaskInfo};

use crate::networks::wish::{HOLDING, label_of};

/// Why not, whatever the host looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("bad {what} id")]
    BadId {
        what: &'static str,
        source: proto::ids::BadId,
    },
    #[error(
        "executor {0:?} is of type DEFAULT, which has task groups only: use LAUNCH_GROUP, bring an executor of \
         your own, with a \"command\", or give the task a \"command\" and no executor"
    )]
    DefaultExecutor(String),
    #[error("executor {0:?} has no command: set executor.command, with a \"value\" to run")]
    NoCommand(String),
    #[error("the task has both a command and an executor: set only one of them")]
    Both,
    #[error(
        "executor {0:?} is described differently from the one with this id that is here: describe it as \
         before, or use a new id"
    )]
    Different(String),
    #[error(
        "the task's label {0} holds the container that it is in, which is its executor's: give the executor a \
         label of this name and with the same text, too"
    )]
    Holding(&'static str),
    #[error("executor {0:?} has the id of a task, or of an executor of task groups, that is here")]
    Taken(String),
}

/// `running`: the executor with this id that is here.
pub fn check(
    framework: &FrameworkInfo,
    task: &TaskInfo,
    executor: &ExecutorInfo,
    running: Option<&ExecutorInfo>,
) -> Result<(), Refusal> {
    let id =
        |what, id: &str| proto::ids::check(id).map_err(|source| Refusal::BadId { what, source });
    id(
        "framework",
        framework.id.as_ref().map_or("", |id| &id.value),
    )?;
    id("task", &task.task_id.value)?;
    id("executor", &executor.executor_id.value)?;
    let name = || executor.executor_id.value.clone();
    if task.command.is_some() {
        return Err(Refusal::Both);
    }
    if executor.r#type() == Type::Default {
        return Err(Refusal::DefaultExecutor(name()));
    }
    if executor
        .command
        .as_ref()
        .is_none_or(|it| it.value().is_empty())
    {
        return Err(Refusal::NoCommand(name()));
    }
    let differs = |name: &&'static str| {
        let of_task = label_of(task.labels.as_ref(), name);
        of_task.is_some() && of_task != label_of(executor.labels.as_ref(), name)
    };
    // Who asks for it does not want to run without.
    if let Some(label) = HOLDING.into_iter().find(differs) {
        return Err(Refusal::Holding(label));
    }
    match running {
        Some(running) if running != executor => Err(Refusal::Different(name())),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{CommandInfo, ExecutorId, FrameworkId};

    use super::*;

    #[test]
    fn a_task_is_taken_with_a_custom_executor_that_is_always_described_alike() {
        let framework = FrameworkInfo {
            id: Some(FrameworkId { value: "F".into() }),
            ..Default::default()
        };
        let mut task = TaskInfo::default();
        task.task_id.value = "t".into();
        let good = ExecutorInfo {
            executor_id: ExecutorId { value: "E".into() },
            command: Some(CommandInfo {
                value: Some("./executor".into()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let of = |executor: &ExecutorInfo| check(&framework, &task, executor, Some(&good));
        assert_eq!(of(&good), Ok(()));
        assert_eq!(check(&framework, &task, &good, None), Ok(()));
        let labels = |text: &str| {
            let label = proto::v1::Label {
                key: "LONGSHORE_NETWORK_EGRESS".into(),
                value: Some(text.into()),
            };
            Some(proto::v1::Labels {
                labels: vec![label],
            })
        };
        let mut holding = task.clone();
        holding.labels = labels("dns");
        let with = |text: Option<&str>| {
            let executor = ExecutorInfo {
                labels: text.and_then(labels),
                ..good.clone()
            };
            check(&framework, &holding, &executor, None)
        };
        let refusal = Refusal::Holding("LONGSHORE_NETWORK_EGRESS");
        assert_eq!(with(None), Err(refusal.clone()));
        assert_eq!(with(Some("10.0.0.0/8")), Err(refusal));
        assert_eq!(with(Some("dns")), Ok(()));
        let change = |change: fn(&mut ExecutorInfo)| {
            let mut executor = good.clone();
            change(&mut executor);
            of(&executor).unwrap_err()
        };
        let name = || "E".to_owned();
        assert_eq!(
            change(|it| it.name = Some("other".into())),
            Refusal::Different(name())
        );
        assert_eq!(change(|it| it.command = None), Refusal::NoCommand(name()));
        assert_eq!(
            change(|it| it.r#type = Some(Type::Default as i32)),
            Refusal::DefaultExecutor(name())
        );
        assert!(matches!(
            change(|it| it.executor_id.value = "../E".into()),
            Refusal::BadId {
                what: "executor",
                ..
            }
        ));
    }
}
