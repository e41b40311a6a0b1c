use std::collections::BTreeMap;

use proto::v1;
use v1::agent_info::capability::Type as AgentCapability;

use super::{Invalid, Terms};
use crate::cluster::framework::{Framework, Remembered};
use crate::cluster::ids::FrameworkId;
use crate::cluster::simulation::world::{World, some_resources};

fn task() -> v1::TaskInfo {
    v1::TaskInfo {
        name: "t".to_owned(),
        task_id: v1::TaskId {
            value: "t".to_owned(),
        },
        agent_id: v1::AgentId {
            value: "m0-S0".to_owned(),
        },
        resources: some_resources("cpus:0.5;mem:32"),
        command: Some(command("true")),
        ..v1::TaskInfo::default()
    }
}

fn command(value: &str) -> v1::CommandInfo {
    v1::CommandInfo {
        value: Some(value.to_owned()),
        ..v1::CommandInfo::default()
    }
}

fn variable(value: Option<&str>) -> v1::CommandInfo {
    let variable = v1::environment::Variable {
        name: "A".to_owned(),
        value: value.map(str::to_owned),
        ..v1::environment::Variable::default()
    };
    let environment = Some(v1::Environment {
        variables: vec![variable],
    });
    v1::CommandInfo {
        environment,
        ..command("true")
    }
}

fn http_check(path: &str, delay: f64) -> v1::HealthCheck {
    v1::HealthCheck {
        r#type: Some(v1::health_check::Type::Http.into()),
        http: Some(v1::health_check::HttpCheckInfo {
            port: 80,
            path: Some(path.to_owned()),
            ..v1::health_check::HttpCheckInfo::default()
        }),
        delay_seconds: Some(delay),
        ..v1::HealthCheck::default()
    }
}

fn half_a_gpu() -> Vec<v1::Resource> {
    let mut resources = some_resources("gpus:1");
    resources[0].scalar = Some(v1::value::Scalar { value: 0.5 });
    resources
}

fn limit(name: &str, value: f64) -> BTreeMap<String, v1::value::Scalar> {
    [(name.to_owned(), v1::value::Scalar { value })].into()
}

/// Judges a task against an offer of all of an agent with 1 cpu and 1024 MB.
fn judge(task: &v1::TaskInfo) -> Result<v1::TaskInfo, Invalid> {
    let mut world = World::new();
    world.agent_joins(0);
    let agent = world.cluster.agents.values_mut().next().unwrap();
    agent.capabilities.push(AgentCapability::TaskResourceLimits);
    let remembered = Remembered {
        frameworks: 1,
        completed_tasks: 1,
        unreachable_tasks: 1,
    };
    let id = FrameworkId::assigned("m0", 0);
    let framework = Framework::new(id, v1::FrameworkInfo::default(), 0.0, &remembered);
    let terms = Terms {
        framework: &framework,
        agent,
        role: "*",
    };
    terms.task(task, &agent.total).map(|accepted| accepted.info)
}

#[test]
fn an_accepted_task_says_which_role_its_resources_are_allocated_to() {
    let accepted = judge(&task()).unwrap();
    let role = |r: &v1::Resource| {
        r.allocation_info
            .as_ref()
            .and_then(|info| info.role.clone())
    };
    assert!(
        accepted
            .resources
            .iter()
            .all(|r| role(r).as_deref() == Some("*"))
    );
}

#[test]
fn every_refusal_names_what_to_mend() {
    let cases = [
        (
            v1::TaskInfo {
                task_id: v1::TaskId {
                    value: "a/b".to_owned(),
                },
                ..task()
            },
            "\"a/b\"",
        ),
        (
            v1::TaskInfo {
                agent_id: v1::AgentId {
                    value: "x".to_owned(),
                },
                ..task()
            },
            "agent m0-S0",
        ),
        (
            v1::TaskInfo {
                command: None,
                ..task()
            },
            "neither command nor executor",
        ),
        (
            v1::TaskInfo {
                executor: Some(v1::ExecutorInfo::default()),
                ..task()
            },
            "only one of them",
        ),
        (
            v1::TaskInfo {
                command: Some(command("")),
                ..task()
            },
            "command.value",
        ),
        (
            v1::TaskInfo {
                command: Some(variable(None)),
                ..task()
            },
            "\"A\"",
        ),
        (
            v1::TaskInfo {
                resources: Vec::new(),
                ..task()
            },
            "no resources",
        ),
        (
            v1::TaskInfo {
                resources: some_resources("cpus:1.001"),
                ..task()
            },
            "cpus:1.001",
        ),
        (
            v1::TaskInfo {
                resources: half_a_gpu(),
                ..task()
            },
            "gpus",
        ),
        (
            v1::TaskInfo {
                resources: some_resources("cpus(ops):1"),
                ..task()
            },
            "more than",
        ),
        (
            v1::TaskInfo {
                health_check: Some(http_check("x", 1.0)),
                ..task()
            },
            "slash",
        ),
        (
            v1::TaskInfo {
                health_check: Some(http_check("/", -1.0)),
                ..task()
            },
            "delay_seconds is -1",
        ),
        (
            v1::TaskInfo {
                health_check: Some(v1::HealthCheck::default()),
                ..task()
            },
            "health_check.type",
        ),
        (
            v1::TaskInfo {
                limits: limit("disk", 1.0),
                ..task()
            },
            "only cpus and mem",
        ),
        (
            v1::TaskInfo {
                limits: limit("mem", 1.0),
                ..task()
            },
            "below the 32",
        ),
    ];
    for (task, text) in cases {
        let error = proto::error::chain(&judge(&task).unwrap_err());
        assert!(error.contains(text), "{error:?} does not say {text:?}");
    }
}

#[test]
fn ordinary_tasks_pass() {
    let cases = [
        v1::TaskInfo {
            command: Some(variable(Some(""))),
            ..task()
        },
        v1::TaskInfo {
            health_check: Some(http_check("/health", 0.0)),
            ..task()
        },
        v1::TaskInfo {
            limits: limit("cpus", f64::INFINITY),
            ..task()
        },
        v1::TaskInfo {
            resources: some_resources("cpus:1;mem:1024;ports:[31000-31009]"),
            ..task()
        },
    ];
    for task in cases {
        assert!(judge(&task).is_ok(), "{:?}", judge(&task));
    }
}
