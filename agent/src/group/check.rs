//! Which task groups can run here at all. Pure.

use std::collections::BTreeSet;

use proto::v1::container_info::Type as ContainerType;
use proto::v1::executor_info::Type;
use proto::v1::linux_info::IpcMode;
use proto::v1::{ContainerInfo, ExecutorInfo, FrameworkInfo, LinuxInfo, TaskInfo};

use super::record::Groups;
use crate::networks::wish::{BadNetwork, HOLDING, label_of};
use crate::task::command_executor;

/// Why not, whatever the host looks like.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("bad executor id")]
    BadId(#[source] proto::ids::BadId),
    #[error("task {0:?} of the group cannot run")]
    Task(String, #[source] command_executor::Refusal),
    #[error("the executor of a task group must have the type DEFAULT and no command")]
    Executor,
    #[error("the task group has no task")]
    Empty,
    #[error("task {0:?} is twice in the group: give each an id of its own")]
    Twice(String),
    #[error(
        "executor {executor:?} has had a task {task:?} before: use another id, or wait until the executor has \
         ended"
    )]
    Again { executor: String, task: String },
    #[error(
        "{0:?} is the id of a task or executor of another kind that is here: use another id for the executor"
    )]
    Taken(String),
    #[error(
        "executor {0:?} is described differently from the one with this id that is here: describe it as \
         before, or use a new id"
    )]
    Different(String),
    #[error("the executor's \"container\" asks for {0}, which a task group's cannot have: {1}")]
    OfExecutor(&'static str, &'static str),
    #[error("task {task:?} of the group asks for {what}: {remedy}")]
    OfTask {
        task: String,
        what: &'static str,
        remedy: &'static str,
    },
    #[error(
        "label {label} of task {task:?} holds the network that it is in, which is its executor's: give the executor \
         a label of this name and with the same text, too"
    )]
    Holding { task: String, label: &'static str },
    #[error("the executor's network cannot be had")]
    Network(#[from] BadNetwork),
}

/// `running`: the executor with this id that is here, and the groups that it has had.
pub fn check(
    framework: &FrameworkInfo,
    executor: &ExecutorInfo,
    tasks: &[TaskInfo],
    running: Option<(&ExecutorInfo, &Groups)>,
) -> Result<(), Refusal> {
    let name = executor.executor_id.value.clone();
    proto::ids::check(&name).map_err(Refusal::BadId)?;
    if executor.r#type() != Type::Default || executor.command.is_some() {
        return Err(Refusal::Executor);
    }
    if tasks.is_empty() {
        return Err(Refusal::Empty);
    }
    if let Some((info, groups)) = running {
        if info != executor {
            return Err(Refusal::Different(name));
        }
        if let Some(task) = tasks.iter().find(|it| groups.have_had(&it.task_id.value)) {
            return Err(Refusal::Again {
                executor: name,
                task: task.task_id.value.clone(),
            });
        }
    }
    executor.container.as_ref().map_or(Ok(()), of_executor)?;
    let mut ids = BTreeSet::new();
    for task in tasks {
        let id = || task.task_id.value.clone();
        let checked = command_executor::check(framework, task);
        checked.map_err(|refusal| Refusal::Task(id(), refusal))?;
        if !ids.insert(&task.task_id.value) {
            return Err(Refusal::Twice(id()));
        }
        if let Some((what, remedy)) = of_task(task) {
            let task = id();
            return Err(Refusal::OfTask { task, what, remedy });
        }
        let differs = |label: &&'static str| {
            let of_task = label_of(task.labels.as_ref(), label);
            of_task.is_some() && of_task != label_of(executor.labels.as_ref(), label)
        };
        // Who asks for it does not want to run without.
        if let Some(label) = HOLDING.into_iter().find(differs) {
            return Err(Refusal::Holding { task: id(), label });
        }
    }
    Ok(())
}

fn of_executor(container: &ContainerInfo) -> Result<(), Refusal> {
    let has_image = |it: &ContainerInfo| it.mesos.as_ref().is_some_and(|it| it.image.is_some());
    let table = [
        (
            container.r#type() == ContainerType::Docker,
            "a container of Docker's",
            "use the type MESOS",
        ),
        (
            has_image(container),
            "an image",
            "nothing runs in it; give the tasks their images",
        ),
        (
            !container.volumes.is_empty(),
            "volumes",
            "give them to the tasks that use them",
        ),
    ];
    match table.into_iter().find(|(is_asked, ..)| *is_asked) {
        Some((_, what, remedy)) => Err(Refusal::OfExecutor(what, remedy)),
        None => Ok(()),
    }
}

/// What it asks for and cannot have, and the remedy.
fn of_task(task: &TaskInfo) -> Option<(&'static str, &'static str)> {
    let container = task.container.clone().unwrap_or_default();
    let linux = container.linux_info.clone().unwrap_or_default();
    let shares = |it: &LinuxInfo| it.share_cgroups.unwrap_or(true);
    let table = [
        (
            task.container.is_some() && container.r#type() == ContainerType::Docker,
            "a container of Docker's",
            "use the type MESOS",
        ),
        (
            !container.network_infos.is_empty(),
            "networks of its own",
            "name them in the executor's \"container\": all tasks of the group share those",
        ),
        (
            container.hostname.is_some(),
            "a hostname",
            "name it in the executor's \"container\": all tasks of the group share it",
        ),
        (
            !task.limits.is_empty() && shares(&linux),
            "limits, but shares its cgroups with the executor",
            "set linux_info.share_cgroups to false, or leave out the limits",
        ),
        (
            linux.share_pid_namespace(),
            "the pid namespace of its executor",
            "this build has none that could be shared; leave out linux_info.share_pid_namespace",
        ),
        (
            linux.ipc_mode() == IpcMode::ShareParent,
            "the IPC namespace of its executor",
            "this build has none that could be shared; leave out linux_info.ipc_mode",
        ),
    ];
    let asked = table.into_iter().find(|(is_asked, ..)| *is_asked);
    asked.map(|(_, what, remedy)| (what, remedy))
}

#[cfg(test)]
mod tests {
    use proto::error::chain;
    use proto::v1::value::Scalar;
    use proto::v1::{
        CommandInfo, ExecutorId, FrameworkId, Image, Label, Labels, NetworkInfo, TaskId, Volume,
        container_info,
    };

    use super::*;

    fn executor() -> ExecutorInfo {
        ExecutorInfo {
            r#type: Some(Type::Default as i32),
            executor_id: ExecutorId { value: "G".into() },
            ..Default::default()
        }
    }

    fn task(id: &str) -> TaskInfo {
        TaskInfo {
            task_id: TaskId { value: id.into() },
            command: Some(CommandInfo {
                value: Some("true".into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn checked(
        executor: &ExecutorInfo,
        tasks: &[TaskInfo],
        running: Option<(&ExecutorInfo, &Groups)>,
    ) -> Result<(), String> {
        let framework = FrameworkInfo {
            id: Some(FrameworkId { value: "F".into() }),
            ..Default::default()
        };
        check(&framework, executor, tasks, running).map_err(|refusal| chain(&refusal))
    }

    fn contained(container: ContainerInfo) -> TaskInfo {
        TaskInfo {
            container: Some(ContainerInfo {
                r#type: ContainerType::Mesos as i32,
                ..container
            }),
            ..task("t")
        }
    }

    fn linux(linux: LinuxInfo) -> TaskInfo {
        contained(ContainerInfo {
            linux_info: Some(linux),
            ..Default::default()
        })
    }

    fn limited(container: Option<ContainerInfo>) -> TaskInfo {
        TaskInfo {
            limits: [("cpus".to_owned(), Scalar { value: 1.0 })].into(),
            container,
            ..task("t")
        }
    }

    #[test]
    fn what_the_tasks_share_is_the_executors_to_ask_for() {
        let table = [
            (
                contained(ContainerInfo {
                    network_infos: vec![NetworkInfo::default()],
                    ..Default::default()
                }),
                "networks of its own",
            ),
            (
                contained(ContainerInfo {
                    hostname: Some("h".into()),
                    ..Default::default()
                }),
                "a hostname",
            ),
            (limited(None), "set linux_info.share_cgroups to false"),
            (
                linux(LinuxInfo {
                    share_pid_namespace: Some(true),
                    ..Default::default()
                }),
                "the pid namespace",
            ),
            (
                linux(LinuxInfo {
                    ipc_mode: Some(IpcMode::ShareParent as i32),
                    ..Default::default()
                }),
                "the IPC namespace",
            ),
        ];
        for (task, words) in table {
            let why = checked(&executor(), &[task], None).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let apart = linux(LinuxInfo {
            share_cgroups: Some(false),
            ..Default::default()
        });
        assert_eq!(
            checked(&executor(), &[limited(apart.container)], None),
            Ok(())
        );
    }

    #[test]
    fn an_executor_has_a_network_and_nothing_to_run() {
        let asks = |container: ContainerInfo| ExecutorInfo {
            container: Some(container),
            ..executor()
        };
        let image = container_info::MesosInfo {
            image: Some(Image::default()),
        };
        let table = [
            (
                ExecutorInfo {
                    r#type: Some(Type::Custom as i32),
                    ..executor()
                },
                "the type DEFAULT",
            ),
            (
                ExecutorInfo {
                    command: Some(CommandInfo::default()),
                    ..executor()
                },
                "no command",
            ),
            (
                asks(ContainerInfo {
                    r#type: ContainerType::Docker as i32,
                    ..Default::default()
                }),
                "use the type MESOS",
            ),
            (
                asks(ContainerInfo {
                    r#type: ContainerType::Mesos as i32,
                    mesos: Some(image),
                    ..Default::default()
                }),
                "an image",
            ),
            (
                asks(ContainerInfo {
                    r#type: ContainerType::Mesos as i32,
                    volumes: vec![Volume::default()],
                    ..Default::default()
                }),
                "volumes",
            ),
        ];
        for (executor, words) in table {
            let why = checked(&executor, &[task("t")], None).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn an_executor_takes_more_groups_and_no_task_twice() {
        let (executor, mut groups) = (executor(), Groups::default());
        groups.add(vec!["old".to_owned()]);
        let running = Some((&executor, &groups));
        let two = [task("one"), task("two")];
        assert_eq!(checked(&executor, &two, running), Ok(()));
        let table: [(&[TaskInfo], _); 4] = [
            (&[], "no task"),
            (&[task("one"), task("one")], "is twice in the group"),
            (&[task("old")], "has had a task \"old\" before"),
            (&[task("a/b")], "task \"a/b\" of the group cannot run"),
        ];
        for (tasks, words) in table {
            let why = checked(&executor, tasks, running).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let other = ExecutorInfo {
            name: Some("other".into()),
            ..executor.clone()
        };
        let why = checked(&other, &two, running).unwrap_err();
        assert!(why.contains("is described differently"), "{why}");
    }

    #[test]
    fn who_is_to_be_held_is_held_with_the_executor_or_not_at_all() {
        let held = |text: &str| {
            let label = Label {
                key: HOLDING[0].to_owned(),
                value: Some(text.to_owned()),
            };
            Some(Labels {
                labels: vec![label],
            })
        };
        let tasks = [TaskInfo {
            labels: held("1MB"),
            ..task("t")
        }];
        let with = |labels| ExecutorInfo {
            labels,
            ..executor()
        };
        let why = checked(&with(None), &tasks, None).unwrap_err();
        assert!(why.contains("give the executor a label"), "{why}");
        assert!(checked(&with(held("2MB")), &tasks, None).is_err());
        assert_eq!(checked(&with(held("1MB")), &tasks, None), Ok(()));
    }
}
