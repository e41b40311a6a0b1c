//! The task that the master is asked to launch for an instance.

use proto::v1;

use crate::app::{environment, task};
use crate::instance::Instance;
use crate::root::Revision;

pub fn info(
    revision: &Revision,
    instance: &Instance,
    resources: Vec<v1::Resource>,
) -> v1::TaskInfo {
    let app = &revision.app;
    let task_id = instance.task_id();
    let host = &instance.site.hostname;
    let version = revision.version.to_string();
    let variables = environment::task_env(app, &version, host, &instance.ports, &task_id);
    let variable = |(name, value)| v1::environment::Variable {
        name,
        value: Some(value),
        ..v1::environment::Variable::default()
    };
    let secret = |(name, source): (&str, &str)| v1::environment::Variable {
        name: name.to_owned(),
        r#type: Some(v1::environment::variable::Type::Secret.into()),
        secret: Some(task::secret(source)),
        ..v1::environment::Variable::default()
    };
    let variables = variables.into_iter().map(variable);
    let environment = v1::Environment {
        variables: variables
            .chain(environment::secrets(app).into_iter().map(secret))
            .collect(),
    };
    let mut container = task::container(app);
    if let Some(container) = &mut container {
        task::publish(app, &instance.ports, container);
    }
    v1::TaskInfo {
        name: app.id.task_name(),
        task_id: v1::TaskId { value: task_id },
        agent_id: v1::AgentId {
            value: instance.agent_id.clone(),
        },
        resources,
        command: Some(v1::CommandInfo {
            environment: Some(environment),
            ..task::command(app)
        }),
        container,
        health_check: task::health_check(app, &instance.ports),
        check: task::check(app, &instance.ports),
        labels: task::labels(app),
        discovery: Some(task::discovery(app, &instance.ports)),
        kill_policy: task::kill_policy(app),
        limits: task::limits(app),
        ..v1::TaskInfo::default()
    }
}
