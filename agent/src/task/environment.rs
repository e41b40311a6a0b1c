//! A task's environment, built from nothing: the agent's own is not inherited.
//!
//! Source for names and order: spec/mesos-agent.md section 5.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proto::v1;
use proto::v1::environment::variable::Type;

use crate::paths::Run;

/// Of a task that names none.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of a task of a group: where others reach it.
pub const CONTAINER_IP: &str = "MESOS_CONTAINER_IP";

/// What a task is told by its agent.
pub const OWN: &[&str] = &[
    "LIBPROCESS_IP",
    "LIBPROCESS_PORT",
    "MESOS_AGENT_ENDPOINT",
    "MESOS_ALLOCATION_ROLE",
    "MESOS_CHECKPOINT",
    CONTAINER_IP,
    "MESOS_DIRECTORY",
    "MESOS_EXECUTOR_ID",
    "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
    "MESOS_FRAMEWORK_ID",
    "MESOS_HTTP_COMMAND_EXECUTOR",
    "MESOS_RECOVERY_TIMEOUT",
    "MESOS_SANDBOX",
    "MESOS_SLAVE_ID",
    "MESOS_SLAVE_PID",
    "MESOS_SUBSCRIPTION_BACKOFF_MAX",
];

/// What is the same for every task of this agent.
#[derive(Debug, Clone)]
pub struct AgentVariables {
    /// `--executor_environment_variables`.
    pub operator: BTreeMap<String, String>,
    /// As others reach the agent: `ip:port`, with exactly one colon.
    pub endpoint: String,
    /// `LIBPROCESS_IP` of the agent itself.
    pub libprocess_ip: Option<String>,
    /// `--executor_shutdown_grace_period`.
    pub shutdown_grace: Duration,
    /// `--recovery_timeout`.
    pub recovery_timeout: Duration,
    /// `--executor_reregistration_timeout`.
    pub reregistration_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    #[error(
        "environment variable {0} of a check is a secret that the agent keeps: give it to the task, whose \
         environment its checks have"
    )]
    SecretReference(String),
    #[error("environment variable {0} is a secret that is not UTF-8 text, or has a NUL in it")]
    SecretNotText(String),
    #[error("environment variable {0:?} has no usable name: it must not be empty or hold '='")]
    BadName(String),
}

/// In order; a later entry wins over an earlier one of the same name.
pub fn environment(
    agent: &AgentVariables,
    run: &Run,
    sandbox: &Path,
    framework: &v1::FrameworkInfo,
    executor: &v1::ExecutorInfo,
    task: &v1::TaskInfo,
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
    if let Some(ip) = &agent.libprocess_ip {
        set("LIBPROCESS_IP", ip.clone());
    }
    for (name, value) in &agent.operator {
        set(name, value.clone());
    }
    set("LIBPROCESS_PORT", "0".to_owned());
    let grace = executor.shutdown_grace_period.as_ref().map(super::duration);
    let grace = grace.unwrap_or(agent.shutdown_grace);
    set("MESOS_FRAMEWORK_ID", run.framework.clone());
    set("MESOS_EXECUTOR_ID", run.executor.clone());
    set("MESOS_SLAVE_ID", run.agent.clone());
    set("MESOS_SLAVE_PID", format!("slave(1)@{}", agent.endpoint));
    set("MESOS_AGENT_ENDPOINT", agent.endpoint.clone());
    set("MESOS_DIRECTORY", sandbox.display().to_string());
    // Any value at all means "yes" to some executors, so "no" is silence.
    if framework.checkpoint() {
        set("MESOS_CHECKPOINT", "1".to_owned());
        let text = proto::units::format_duration;
        set("MESOS_RECOVERY_TIMEOUT", text(agent.recovery_timeout));
        set(
            "MESOS_SUBSCRIPTION_BACKOFF_MAX",
            text(agent.reregistration_timeout),
        );
    }
    set("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned());
    set(
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
        proto::units::format_duration(grace),
    );
    if let Some(allocation) = task
        .resources
        .iter()
        .find_map(|r| r.allocation_info.as_ref())
    {
        set("MESOS_ALLOCATION_ROLE", allocation.role().to_owned());
    }
    set("MESOS_SANDBOX", sandbox.display().to_string());
    let wanted = task
        .command
        .as_ref()
        .and_then(|command| command.environment.as_ref());
    for variable in wanted.iter().flat_map(|environment| &environment.variables) {
        set(&variable.name, value(variable)?);
    }
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), PATH.to_owned()));
    }
    Ok(env)
}

pub fn value(variable: &v1::environment::Variable) -> Result<String, EnvironmentError> {
    let name = || variable.name.clone();
    if variable.name.is_empty() || variable.name.contains('=') {
        return Err(EnvironmentError::BadName(name()));
    }
    match variable.r#type() {
        Type::Value | Type::Unknown => Ok(variable.value().to_owned()),
        Type::Secret => {
            let secret = variable
                .secret
                .as_ref()
                .and_then(|secret| secret.value.as_ref());
            let secret = secret.ok_or_else(|| EnvironmentError::SecretReference(name()))?;
            let text = String::from_utf8(secret.data.clone()).ok();
            // Refused here: who finds it later tells what it found.
            let text = text.filter(|text| !text.contains('\0'));
            text.ok_or_else(|| EnvironmentError::SecretNotText(name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentVariables {
        AgentVariables {
            operator: BTreeMap::from([("REGION".into(), "ger".into())]),
            endpoint: "10.0.0.5:5051".into(),
            libprocess_ip: None,
            shutdown_grace: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(15 * 60),
            reregistration_timeout: Duration::from_secs(2),
        }
    }

    fn of(variables: Vec<v1::environment::Variable>, checkpoint: bool) -> Vec<(String, String)> {
        let run = Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "T".into(),
            container: "C".into(),
        };
        let framework = v1::FrameworkInfo {
            checkpoint: Some(checkpoint),
            ..Default::default()
        };
        let task = v1::TaskInfo {
            command: Some(v1::CommandInfo {
                environment: Some(v1::Environment { variables }),
                ..Default::default()
            }),
            ..Default::default()
        };
        environment(
            &agent(),
            &run,
            Path::new("/s"),
            &framework,
            &Default::default(),
            &task,
        )
        .unwrap()
    }

    fn last<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
        env.iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_task_knows_where_it_is() {
        let env = of(vec![], false);
        let table = [
            ("MESOS_FRAMEWORK_ID", "F"),
            ("MESOS_SLAVE_PID", "slave(1)@10.0.0.5:5051"),
            ("MESOS_AGENT_ENDPOINT", "10.0.0.5:5051"),
            ("MESOS_SANDBOX", "/s"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
            ("LIBPROCESS_PORT", "0"),
            ("REGION", "ger"),
            ("PATH", PATH),
        ];
        for (name, value) in table {
            assert_eq!(last(&env, name), Some(value), "{name}");
        }
        assert_eq!(last(&env, "MESOS_CHECKPOINT"), None);
        let checkpointed = of(vec![], true);
        for (name, value) in [
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
        ] {
            assert_eq!(last(&checkpointed, name), Some(value), "{name}");
        }
    }

    #[test]
    fn everything_but_the_path_and_the_operators_own_is_listed() {
        for (name, _) in of(vec![], true) {
            let is_listed = OWN.contains(&name.as_str());
            assert!(is_listed || name == "PATH" || name == "REGION", "{name}");
        }
    }

    #[test]
    fn the_task_has_the_last_word_and_the_agents_own_environment_none() {
        let variable = |name: &str, value: &str| v1::environment::Variable {
            name: name.into(),
            value: Some(value.into()),
            ..Default::default()
        };
        let env = of(
            vec![variable("PATH", "/opt"), variable("REGION", "fra")],
            false,
        );
        assert_eq!(last(&env, "PATH"), Some("/opt"));
        assert_eq!(last(&env, "REGION"), Some("fra"));
        assert_eq!(last(&env, "CARGO_MANIFEST_DIR"), None);
    }
}
