//! The executor of a command task: an entry in the books, for no process of that kind exists. The
//! command runs directly in the executor's container. Source: spec/mesos-agent.md section 10.1.

use std::time::Duration;

use proto::v1;

use super::machine::Policy;

/// What a command executor is said to use itself, on top of its task.
const OVERHEAD_CPUS: f64 = 0.1;
const OVERHEAD_MEM_MB: f64 = 32.0;

const DEFAULT_GRACE: Duration = Duration::from_secs(3);

/// Why a task cannot be run by this agent at all, whatever the host looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("bad {what} id")]
    BadId {
        what: &'static str,
        source: proto::ids::BadId,
    },
    #[error("task has neither a command nor an executor: set \"command\", with a \"value\" to run")]
    NoCommand,
    #[error(
        "an executor of the framework's own has the id of this task, which would be its executor's, too: use another id"
    )]
    Taken,
}

/// Checks what the rest of the agent relies on: ids that are safe in paths, and a command.
pub fn check(framework: &v1::FrameworkInfo, task: &v1::TaskInfo) -> Result<(), Refusal> {
    let id =
        |what, id: &str| proto::ids::check(id).map_err(|source| Refusal::BadId { what, source });
    id(
        "framework",
        framework.id.as_ref().map_or("", |id| &id.value),
    )?;
    id("task", &task.task_id.value)?;
    let has_command = task
        .command
        .as_ref()
        .is_some_and(|command| !command.value().is_empty());
    // An image may bring its own command: whether it does, and can run here, the launch finds out.
    if !has_command && super::volumes::image(task).is_none() {
        return Err(Refusal::NoCommand);
    }
    Ok(())
}

/// The executor that Mesos would generate for `task`.
#[expect(
    deprecated,
    reason = "clients read an executor's source as they read its id"
)]
pub fn executor_info(framework: &v1::FrameworkInfo, task: &v1::TaskInfo) -> v1::ExecutorInfo {
    let id = task.task_id.value.clone();
    let role = task
        .resources
        .iter()
        .find_map(|r| r.allocation_info.clone());
    let scalar = |name: &str, value| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: role.clone(),
        ..Default::default()
    };
    let command = task.command.clone().unwrap_or_default();
    v1::ExecutorInfo {
        name: Some(format!(
            "Command Executor (Task: {id}) (Command: {})",
            brief(&command)
        )),
        executor_id: v1::ExecutorId { value: id.clone() },
        source: Some(id),
        framework_id: framework.id.clone(),
        resources: vec![
            scalar("cpus", OVERHEAD_CPUS),
            scalar("mem", OVERHEAD_MEM_MB),
        ],
        command: Some(command),
        container: task.container.clone(),
        discovery: task.discovery.clone(),
        labels: task.labels.clone(),
        // Time for the task's own grace, and for an executor to say so afterwards.
        shutdown_grace_period: own_grace(task).map(|grace| v1::DurationInfo {
            nanoseconds: i64::try_from((grace + Duration::from_secs(2)).as_nanos())
                .unwrap_or(i64::MAX),
        }),
        ..Default::default()
    }
}

/// What of it is shown, and so kept while its task is known. The rest the task says, too, and the disk.
#[expect(deprecated, reason = "as above")]
pub fn shown(executor: &v1::ExecutorInfo) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        r#type: executor.r#type,
        executor_id: executor.executor_id.clone(),
        framework_id: executor.framework_id.clone(),
        name: executor.name.clone(),
        source: executor.source.clone(),
        resources: executor.resources.clone(),
        labels: executor.labels.clone(),
        ..Default::default()
    }
}

pub fn policy(framework: &v1::FrameworkInfo, task: &v1::TaskInfo) -> Policy {
    use v1::framework_info::capability::Type;
    Policy {
        grace: own_grace(task).unwrap_or(DEFAULT_GRACE),
        reports_killing: super::is_capable(framework, Type::TaskKillingState),
        max_completion_time: task.max_completion_time.as_ref().map(super::duration),
    }
}

fn own_grace(task: &v1::TaskInfo) -> Option<Duration> {
    task.kill_policy
        .as_ref()?
        .grace_period
        .as_ref()
        .map(super::duration)
}

fn brief(command: &v1::CommandInfo) -> String {
    let text = if command.shell() {
        command.value().to_owned()
    } else {
        command.arguments.join(" ")
    };
    let text = match text.char_indices().nth(15) {
        Some(_) => text.chars().take(12).chain("...".chars()).collect(),
        None => text,
    };
    if command.shell() {
        format!("sh -c '{text}'")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(value: &str) -> v1::TaskInfo {
        v1::TaskInfo {
            task_id: v1::TaskId { value: "t1".into() },
            command: Some(v1::CommandInfo {
                value: Some(value.into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn framework() -> v1::FrameworkInfo {
        v1::FrameworkInfo {
            id: Some(v1::FrameworkId { value: "f".into() }),
            ..Default::default()
        }
    }

    #[test]
    fn the_executors_name_quotes_the_beginning_of_the_command() {
        let name = |value| executor_info(&framework(), &task(value)).name().to_owned();
        assert_eq!(
            name("sleep 9"),
            "Command Executor (Task: t1) (Command: sh -c 'sleep 9')"
        );
        assert_eq!(
            name("while true; do date; done"),
            "Command Executor (Task: t1) (Command: sh -c 'while true; ...')"
        );
    }

    #[test]
    fn the_overhead_is_a_tenth_of_a_cpu_and_32_mb() {
        let info = executor_info(&framework(), &task("true"));
        let resources = proto::resources::Resources::from_protos(&info.resources).unwrap();
        assert_eq!((resources.cpus(), resources.mem()), (0.1, 32.0));
    }

    #[test]
    fn what_is_kept_of_an_executor_shows_the_same() {
        let mut task = task("sleep 9");
        task.labels = Some(v1::Labels {
            labels: vec![v1::Label {
                key: "team".into(),
                value: Some("harbour".into()),
            }],
        });
        let info = executor_info(&framework(), &task);
        let kept = shown(&info);
        assert_eq!(kept.command, None);
        assert_eq!(proto::v0::executor(&kept), proto::v0::executor(&info));
        let named = |it: &v1::ExecutorInfo| (it.name().to_owned(), it.executor_id.clone());
        assert_eq!(named(&kept), named(&info));
    }

    #[test]
    fn a_task_says_its_own_grace_or_gets_three_seconds() {
        let mut task = task("true");
        assert_eq!(policy(&framework(), &task).grace, Duration::from_secs(3));
        task.kill_policy = Some(v1::KillPolicy {
            grace_period: Some(v1::DurationInfo {
                nanoseconds: 500_000_000,
            }),
        });
        assert_eq!(
            policy(&framework(), &task).grace,
            Duration::from_millis(500)
        );
    }

    #[test]
    fn what_cannot_run_here_is_refused_with_the_remedy() {
        assert_eq!(check(&framework(), &task("true")), Ok(()));
        assert_eq!(check(&framework(), &task("")), Err(Refusal::NoCommand));
        let mut image = task("");
        image.container = Some(v1::ContainerInfo {
            docker: Some(v1::container_info::DockerInfo {
                image: "nginx".into(),
                ..Default::default()
            }),
            ..Default::default()
        });
        assert_eq!(check(&framework(), &image), Ok(()));
        let mut escape = task("true");
        escape.task_id.value = "../x".into();
        assert!(matches!(
            check(&framework(), &escape),
            Err(Refusal::BadId { what: "task", .. })
        ));
    }
}
