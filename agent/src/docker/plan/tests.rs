use std::time::Duration;

use proto::v1::container_info::{DockerInfo, Type, docker_info};

use super::*;
use crate::paths::Run;

fn variables() -> AgentVariables {
    AgentVariables {
        operator: BTreeMap::new(),
        endpoint: "10.0.0.5:5051".into(),
        libprocess_ip: None,
        shutdown_grace: Duration::from_secs(5),
        recovery_timeout: Duration::from_secs(900),
        reregistration_timeout: Duration::from_secs(2),
    }
}

fn job(command: Option<v1::CommandInfo>, docker: DockerInfo) -> Job {
    let container = v1::ContainerInfo {
        r#type: Type::Docker as i32,
        docker: Some(docker),
        ..Default::default()
    };
    Job {
        run: Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "T".into(),
            container: "C".into(),
        },
        sandbox: "/work/sandbox".into(),
        framework: v1::FrameworkInfo::default(),
        executor: v1::ExecutorInfo::default(),
        task: v1::TaskInfo {
            task_id: v1::TaskId { value: "T".into() },
            resources: Resources::parse("cpus:0.5;mem:64;ports:[31000-31000]", "*")
                .unwrap()
                .to_protos(),
            command,
            container: Some(container),
            ..Default::default()
        },
        kind: Kind::Command,
        member: None,
    }
}

fn docker(parameters: &[(&str, &str)]) -> DockerInfo {
    let parameter = |(key, value): &(&str, &str)| v1::Parameter {
        key: (*key).into(),
        value: (*value).into(),
    };
    DockerInfo {
        image: "docker:///busybox:1.36".into(),
        parameters: parameters.iter().map(parameter).collect(),
        ..Default::default()
    }
}

fn planned(job: &Job) -> Result<Plan, BadTask> {
    let fetch = fetcher::Request {
        uris: vec![],
        sandbox: job.sandbox.clone(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    };
    let limit = logs::Limit {
        size: 10 << 20,
        keep: 4,
    };
    let (variables, dns) = (variables(), DefaultDns::default());
    let terms = Terms {
        variables: &variables,
        strictness: Strictness {
            caps_cpus: false,
            swaps: true,
            pids: None,
        },
        memory: 1 << 30,
        sandbox: Path::new("/mnt/mesos/sandbox"),
        secrets: Path::new("/run/secrets/C"),
        owner: "/work",
        logs: Limits {
            stdout: Some(limit),
            stderr: Some(limit),
        },
        dns: &dns,
    };
    let id = ContainerId::try_from("C".to_owned()).unwrap();
    plan(job, id, fetch, &terms)
}

fn shell(value: &str) -> Option<v1::CommandInfo> {
    Some(v1::CommandInfo {
        value: Some(value.into()),
        ..Default::default()
    })
}

#[test]
fn a_task_is_a_container_with_its_sandbox_its_share_and_its_name() {
    let plan = planned(&job(shell("echo hello"), docker(&[]))).unwrap();
    let create = &plan.create;
    assert_eq!((&*create.image, plan.image.pulls), ("busybox:1.36", false));
    assert_eq!(create.entrypoint, Some(vec!["/bin/sh".to_owned()]));
    assert_eq!(
        create.cmd,
        Some(vec!["-c".to_owned(), "echo hello".to_owned()])
    );
    let host = &create.host_config;
    assert_eq!(host.network_mode, "host");
    assert_eq!(
        (&*host.mounts[0].source, &*host.mounts[0].target),
        ("/work/sandbox", "/mnt/mesos/sandbox")
    );
    assert_eq!(
        (host.resources.cpu_shares, host.resources.memory),
        (Some(512), Some(64 << 20))
    );
    assert_eq!(create.labels["longshore.work_dir"], "/work");
    assert_eq!(create.labels["longshore.container"], "C");
    assert!(
        create
            .env
            .contains(&"MESOS_CONTAINER_NAME=mesos-C".to_owned())
    );
    assert!(
        create
            .env
            .contains(&"MESOS_SANDBOX=/mnt/mesos/sandbox".to_owned())
    );
    assert!(!create.env.iter().any(|it| it.starts_with("PATH=")));
    assert_eq!(create.healthcheck, Some(Healthcheck::none()));
    let log = host.log_config.as_ref().unwrap();
    assert_eq!(log.driver, "json-file");
    assert_eq!(log.config["max-size"], (120 << 20).to_string());
}

#[test]
fn words_that_are_for_no_shell_are_added_to_the_images_entry_point() {
    let command = |value: Option<&str>, arguments: &[&str]| {
        Some(v1::CommandInfo {
            shell: Some(false),
            value: value.map(str::to_owned),
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            ..Default::default()
        })
    };
    let table: [(_, Option<&[&str]>); 4] = [
        (
            command(Some("/bin/echo"), &["a"]),
            Some(&["/bin/echo", "a"]),
        ),
        (command(None, &["a", "b"]), Some(&["a", "b"])),
        (command(None, &[]), None),
        (None, None),
    ];
    for (command, words) in table {
        let create = planned(&job(command, docker(&[]))).unwrap().create;
        assert_eq!(create.entrypoint, None);
        let words = words.map(|words| words.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(create.cmd, words);
    }
    let none = Some(v1::CommandInfo::default());
    let refused = planned(&job(none, docker(&[])));
    assert!(matches!(refused, Err(BadTask::NoCommand)));
}

#[test]
fn parameters_count_before_what_the_task_says_elsewhere_but_for_our_labels() {
    let parameters = [
        ("net", "none"),
        ("entrypoint", "/bin/bash"),
        ("memory", "128m"),
        ("label", "longshore.container=another"),
        ("env", "A=b"),
        ("log-opt", "max-size=1m"),
    ];
    let create = planned(&job(shell("x"), docker(&parameters)))
        .unwrap()
        .create;
    assert_eq!(create.host_config.network_mode, "none");
    assert_eq!(create.entrypoint, Some(vec!["/bin/bash".to_owned()]));
    assert_eq!(create.host_config.resources.memory, Some(128 << 20));
    assert_eq!(create.labels["longshore.container"], "C");
    assert_eq!(create.env.last().unwrap(), "A=b");
    assert_eq!(
        create.host_config.log_config.unwrap().config["max-size"],
        "1m"
    );
    let refused = planned(&job(shell("x"), docker(&[("volumes-from", "a")])));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("\"volumes-from\""), "{refused}");
}

#[test]
fn ports_privileges_and_pulls_are_as_the_task_says() {
    let mut info = docker(&[]);
    info.network = Some(docker_info::Network::Bridge as i32);
    info.privileged = Some(true);
    info.force_pull_image = Some(true);
    info.port_mappings.push(docker_info::PortMapping {
        host_port: 31000,
        container_port: 80,
        protocol: None,
    });
    let plan = planned(&job(shell("x"), info)).unwrap();
    let host = &plan.create.host_config;
    assert!(plan.image.pulls && host.privileged);
    assert_eq!(host.port_bindings["80/tcp"][0].host_port, "31000");
}

#[test]
fn what_an_engine_would_ignore_is_refused_by_its_name() {
    let mut terminal = job(shell("x"), docker(&[]));
    let container = terminal.task.container.as_mut().unwrap();
    container.tty_info = Some(v1::TtyInfo::default());
    let refused = planned(&terminal).unwrap_err().to_string();
    assert!(refused.starts_with("tty_info is not for"), "{refused}");
}

#[test]
fn no_label_that_holds_a_task_is_passed_over() {
    let labels = [
        (
            "LONGSHORE_NETWORK_EGRESS",
            "use a container of the type MESOS",
        ),
        (
            "LONGSHORE_NETWORK_SEND_RATE",
            "use a container of the type MESOS",
        ),
        (
            "LONGSHORE_NETWORK_RECEIVE_RATE",
            "use a container of the type MESOS",
        ),
        (
            "LONGSHORE_DNS_SERVERS",
            "use docker.parameters, such as dns",
        ),
        ("LONGSHORE_DNS_SEARCH", "use docker.parameters, such as dns"),
        (
            "LONGSHORE_DNS_OPTIONS",
            "use docker.parameters, such as dns",
        ),
    ];
    for (key, instead) in labels {
        let mut job = job(shell("true"), docker(&[]));
        let value = Some("1MB".to_owned());
        let key = key.to_owned();
        job.task.labels = Some(v1::Labels {
            labels: vec![v1::Label {
                key: key.clone(),
                value,
            }],
        });
        let error = planned(&job).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{key} is not for containers of a Docker Engine: {instead}")
        );
    }
}

#[test]
fn a_variable_that_is_said_twice_is_told_once_as_it_was_said_last() {
    let mut job = job(shell("x"), docker(&[]));
    let variable = |value: &str| v1::environment::Variable {
        name: "A".into(),
        value: Some(value.into()),
        ..Default::default()
    };
    let command = job.task.command.as_mut().unwrap();
    command.environment = Some(v1::Environment {
        variables: vec![variable("1"), variable("2")],
    });
    let env = planned(&job).unwrap().create.env;
    let told: Vec<_> = env.iter().filter(|it| it.starts_with("A=")).collect();
    assert_eq!(told, ["A=2"]);
}
