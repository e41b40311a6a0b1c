//! What the container of an executor has: what the executor itself needs, and what its live tasks do.
//!
//! Source: spec/mesos-agent.md section 21.2.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use failpoint::{Point, reach};
use proto::resources::Resources;
use proto::v1::environment::Variable;
use proto::v1::environment::variable::Type;
use proto::v1::value::Scalar;
use proto::v1::{CommandInfo, ExecutorInfo, FrameworkInfo, Secret, TaskId, TaskInfo, secret};

use super::authentication;
use crate::book::Kind;
use crate::container::Container;
use crate::docker::DockerError;
use crate::paths::Run;
use crate::task::launch::{Host, Job, LaunchError};
use crate::task::prepare::{planned, with_docker};

#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    #[error("cannot plan the container again")]
    Plan(#[from] LaunchError),
    #[error(transparent)]
    Update(#[from] containerizer::UpdateError),
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// The executor as a launch sees it: a task that runs the executor's command. Pure.
pub fn job<'a>(
    run: &Run,
    sandbox: &Path,
    framework: &FrameworkInfo,
    executor: &ExecutorInfo,
    token: Option<String>,
    tasks: impl Iterator<Item = &'a TaskInfo>,
) -> Job {
    let tasks: Vec<&TaskInfo> = tasks.collect();
    let task = TaskInfo {
        name: executor.name().to_owned(),
        task_id: TaskId {
            value: run.executor.clone(),
        },
        resources: (tasks.iter())
            .flat_map(|task| task.resources.clone())
            .collect(),
        limits: limits(&tasks),
        command: executor
            .command
            .clone()
            .map(|command| with_token(command, token)),
        container: executor.container.clone(),
        labels: executor.labels.clone(),
        ..TaskInfo::default()
    };
    Job {
        run: run.clone(),
        sandbox: sandbox.to_owned(),
        framework: framework.clone(),
        executor: executor.clone(),
        task,
        kind: Kind::Custom,
        member: None,
    }
}

fn with_token(mut command: CommandInfo, token: Option<String>) -> CommandInfo {
    if let Some(token) = token {
        let variable = Variable {
            name: authentication::VARIABLE.to_owned(),
            r#type: Some(Type::Secret as i32),
            secret: Some(Secret {
                value: Some(secret::Value { data: token.into() }),
                ..Secret::default()
            }),
            ..Variable::default()
        };
        let environment = command.environment.get_or_insert_default();
        environment.variables.push(variable);
    }
    command
}

/// Of all tasks together. Where one has a limit, those without have their request for one, as they would have
/// alone; of processors, those are not limited at all, and so neither is the whole.
fn limits(tasks: &[&TaskInfo]) -> BTreeMap<String, Scalar> {
    let names: BTreeSet<&String> = tasks.iter().flat_map(|task| task.limits.keys()).collect();
    let sum = |name: &String| -> Option<f64> {
        let limits = tasks.iter().map(|task| match task.limits.get(name) {
            Some(limit) => Some(limit.value),
            None if name == "mem" => {
                let own = Resources::from_protos(&task.resources);
                Some(own.unwrap_or_default().mem())
            }
            None => None,
        });
        limits.sum()
    };
    let named = |name: &String| Some((name.clone(), Scalar { value: sum(name)? }));
    names.into_iter().filter_map(named).collect()
}

/// Gives the container what `job` says now. Blocks.
pub fn resize(host: &Host, job: &Job, container: &Container) -> Result<(), ResizeError> {
    host.quotas.adjust(&job.sandbox, job.disk());
    match container {
        Container::Native(container) => {
            let plan = planned(host, job)?;
            host.containerizer.resize(container, &plan.container)?;
        }
        Container::Docker(container) => {
            let plan = with_docker(host, job)?;
            container.update(&plan.create.host_config.resources)?;
        }
    }
    reach(Point::ExecutorResized);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(resources: &str, limits: &[(&str, f64)]) -> TaskInfo {
        let limit = |(name, value): &(&str, f64)| ((*name).to_owned(), Scalar { value: *value });
        TaskInfo {
            resources: Resources::parse(resources, "*").unwrap().to_protos(),
            limits: limits.iter().map(limit).collect(),
            ..Default::default()
        }
    }

    fn of(tasks: &[TaskInfo]) -> (f64, Option<f64>, Option<f64>) {
        let (framework, executor) = (FrameworkInfo::default(), ExecutorInfo::default());
        let path = Path::new("/s");
        let job = job(
            &Run::default(),
            path,
            &framework,
            &executor,
            None,
            tasks.iter(),
        );
        let limit = |name: &str| job.task.limits.get(name).map(|limit| limit.value);
        let sum = crate::book::total(&job.task.resources).mem();
        (sum, limit("cpus"), limit("mem"))
    }

    #[test]
    fn a_container_is_for_all_of_its_tasks() {
        let (plain, limited) = ("cpus:1;mem:64", [("cpus", 2.0), ("mem", 100.0)]);
        assert_eq!(of(&[]), (0.0, None, None));
        assert_eq!(
            of(&[task(plain, &[]), task(plain, &[])]),
            (128.0, None, None)
        );
        let both = [task(plain, &limited), task(plain, &limited)];
        assert_eq!(of(&both), (128.0, Some(4.0), Some(200.0)));
        let one = [task(plain, &limited), task(plain, &[])];
        assert_eq!(of(&one), (128.0, None, Some(164.0)));
        let endless = [
            task(plain, &limited),
            task(plain, &[("mem", f64::INFINITY)]),
        ];
        assert_eq!(of(&endless).2, Some(f64::INFINITY));
    }
}
