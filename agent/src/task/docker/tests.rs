use proto::v1::container_info::docker_info::{Network, PortMapping};
use proto::v1::r_limit_info::r_limit::Type as Limit;

use super::*;

fn task(change: impl FnOnce(&mut DockerInfo)) -> v1::TaskInfo {
    let mut docker = DockerInfo {
        image: "busybox".into(),
        ..Default::default()
    };
    change(&mut docker);
    v1::TaskInfo {
        container: Some(v1::ContainerInfo {
            docker: Some(docker),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn with(parameters: &[(&str, &str)]) -> Result<v1::TaskInfo, BadDocker> {
    let task = task(|docker| {
        let parameter = |(key, value): &(&str, &str)| v1::Parameter {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        docker.parameters = parameters.iter().map(parameter).collect();
    });
    native(&task, "bridge", u64::MAX).map(Cow::into_owned)
}

fn container(parameters: &[(&str, &str)]) -> v1::ContainerInfo {
    with(parameters).unwrap().container.unwrap()
}

#[test]
fn a_task_without_a_docker_image_stays_as_it_is() {
    let task = v1::TaskInfo::default();
    assert!(matches!(
        native(&task, "bridge", u64::MAX),
        Ok(Cow::Borrowed(_))
    ));
}

#[test]
fn dockers_bridge_is_that_of_the_node() {
    let port = PortMapping {
        host_port: 31000,
        container_port: 80,
        protocol: Some("udp".into()),
    };
    let bridged = task(|docker| {
        docker.set_network(Network::Bridge);
        docker.port_mappings = vec![port];
    });
    let info = native(&bridged, "bridge", u64::MAX)
        .unwrap()
        .into_owned()
        .container
        .unwrap();
    assert_eq!(info.network_infos[0].name(), "bridge");
    let mapping = &info.network_infos[0].port_mappings[0];
    assert_eq!(
        (
            mapping.host_port,
            mapping.container_port,
            mapping.protocol()
        ),
        (31000, 80, "udp")
    );
    assert!(info.docker.unwrap().port_mappings.is_empty());
    let nowhere = task(|docker| docker.set_network(Network::None));
    let nowhere = native(&nowhere, "bridge", u64::MAX).unwrap().into_owned();
    let infos = nowhere.container.unwrap().network_infos;
    assert_eq!((infos.len(), infos[0].name()), (1, "none"));
    let unnamed = task(|docker| docker.set_network(Network::User));
    assert!(matches!(
        native(&unnamed, "bridge", u64::MAX),
        Err(BadDocker::Network(_))
    ));
    assert!(container(&[]).network_infos.is_empty());
    let none = task(|docker| docker.set_network(Network::None));
    let none = native(&none, "bridge", u64::MAX).unwrap().into_owned();
    assert_eq!(none.container.unwrap().network_infos[0].name(), "none");
    for (said, name) in [("bridge", "bridge"), ("none", "none"), ("own", "own")] {
        let info = container(&[("network", "x"), ("net", said)]);
        assert_eq!(info.network_infos[0].name(), name, "{said}");
    }
    assert!(container(&[("net", "host")]).network_infos.is_empty());
    assert!(with(&[("net", "container:x")]).is_err());
}

#[test]
fn an_option_that_means_something_is_said_in_its_own_field() {
    let task = with(&[("env", "A=b=c"), ("user", "app:www"), ("--e", "E=")]).unwrap();
    let command = task.command.unwrap();
    let variables = command.environment.unwrap().variables;
    let pairs: Vec<_> = variables
        .iter()
        .map(|it| (it.name.as_str(), it.value()))
        .collect();
    assert_eq!(pairs, [("A", "b=c"), ("E", "")]);
    assert_eq!(command.user.as_deref(), Some("app:www"));

    let info = container(&[
        ("v", "/data:/in:ro"),
        ("volume", "/x:/y"),
        ("hostname", "h"),
    ]);
    let volumes: Vec<_> = (info.volumes.iter())
        .map(|it| (it.host_path(), it.container_path.as_str(), it.mode()))
        .collect();
    use v1::volume::Mode::{Ro, Rw};
    assert_eq!(volumes, [("/data", "/in", Ro), ("/x", "/y", Rw)]);
    assert_eq!(info.hostname.as_deref(), Some("h"));

    let info = container(&[
        ("ulimit", "nofile=10:20"),
        ("ulimit", "core=-1"),
        ("shm-size", "64m"),
    ]);
    let limits = info.rlimit_info.unwrap().rlimits;
    assert_eq!(
        (limits[0].r#type(), limits[0].soft, limits[0].hard),
        (Limit::RlmtNofile, Some(10), Some(20))
    );
    assert_eq!(
        (limits[1].r#type(), limits[1].soft),
        (Limit::RlmtCore, None)
    );
    assert_eq!(info.linux_info.unwrap().shm_size, Some(64));

    let info = container(&[
        ("workdir", "/w"),
        ("entrypoint", "/e"),
        ("name", "x"),
        ("restart", "no"),
    ]);
    let left = info.docker.unwrap().parameters;
    let left: Vec<_> = left.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(left, ["workdir", "entrypoint"]);
}

#[test]
fn a_task_of_the_training_runs_as_it_stands() {
    let mut task = with(&[("name", "busy-container"), ("restart", "no")]).unwrap();
    assert!(
        task.container
            .take()
            .unwrap()
            .docker
            .unwrap()
            .parameters
            .is_empty()
    );
}

#[test]
fn logs_are_rotated_as_docker_was_asked_to() {
    let task = with(&[("log-opt", "max-size=10m"), ("log-opt", "max-file=3")]).unwrap();
    let limits = crate::logs::Limits::default().of(&task).unwrap();
    let limit = limits.stdout.unwrap();
    assert_eq!((limit.size, limit.keep), (10 << 20, 2));
    assert_eq!(limits.stderr, limits.stdout);
    assert!(with(&[("log-opt", "max-file=0")]).is_err());
    assert!(with(&[("log-opt", "tag=x")]).is_err());
}

#[test]
fn options_of_the_kernel_and_of_terminals_are_said_in_their_fields() {
    let info = container(&[
        ("pid", "host"),
        ("security-opt", "seccomp=unconfined"),
        ("tty", "true"),
    ]);
    let linux = info.linux_info.unwrap();
    assert!(linux.share_pid_namespace());
    assert!(linux.seccomp.unwrap().unconfined());
    assert!(info.tty_info.is_some());
    let info = container(&[("pull", "always"), ("sysctl", "a=b"), ("dns", "10.0.0.1")]);
    let docker = info.docker.unwrap();
    assert!(docker.force_pull_image());
    assert_eq!(docker.parameters.len(), 2);
}

#[test]
fn mounts_and_limits_are_said_in_their_fields() {
    let task = with(&[
        ("mount", "type=bind,src=/a,dst=/b,readonly"),
        (
            "mount",
            "type=tmpfs,target=/run,tmpfs-size=1m,tmpfs-mode=700",
        ),
        ("cpus", "1.5"),
        ("memory", "64m"),
        ("cpuset-cpus", "0"),
    ]);
    let task = task.unwrap();
    let limit = |name: &str| task.limits[name].value;
    assert_eq!((limit("cpus"), limit("mem")), (1.5, 64.0));
    let info = task.container.unwrap();
    let volume = &info.volumes[0];
    assert_eq!((volume.host_path(), &*volume.container_path), ("/a", "/b"));
    assert_eq!(volume.mode(), v1::volume::Mode::Ro);
    let left = info.docker.unwrap().parameters;
    let left: Vec<_> = (left.iter())
        .map(|it| format!("{}={}", it.key, it.value))
        .collect();
    assert_eq!(left, ["tmpfs=/run:size=1048576,mode=700", "cpuset-cpus=0"]);
}

#[test]
fn an_option_that_means_nothing_here_is_refused_by_its_name() {
    assert_eq!(
        with(&[("device-cgroup-rule", "x")]),
        Err(BadDocker::Unknown("device-cgroup-rule".into()))
    );
    for (key, value) in [
        ("env", "A"),
        ("volume", "name:/x"),
        ("volume", "/x"),
        ("volume", "/x:/y:z"),
        ("ulimit", "nofile"),
        ("ulimit", "nothing=1"),
        ("cap-add", "FLY"),
        ("shm-size", "much"),
        ("shm-size", "5k"),
        ("ipc", "container:x"),
        ("restart", "always"),
        ("privileged", "maybe"),
        ("security-opt", "seccomp=/p.json"),
        ("pid", "container:x"),
        ("mount", "type=volume,source=data,target=/b"),
        ("mount", "type=bind,source=a,target=/b"),
        ("mount", "type=tmpfs,source=/a,target=/b"),
        ("cpus", "0"),
        ("memory", "much"),
    ] {
        let found = with(&[(key, value)]);
        assert!(
            matches!(found, Err(BadDocker::Value { .. })),
            "{key}={value}"
        );
    }
}

#[test]
fn capabilities_are_added_to_those_that_each_container_has_and_dropped() {
    use v1::capability_info::Capability as C;
    let effective = |parameters: &[(&str, &str)]| {
        let linux = container(parameters).linux_info?;
        Some(
            linux
                .effective_capabilities?
                .capabilities()
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(effective(&[]), None);
    let added = effective(&[("cap-add", "net_admin")]).unwrap();
    assert!(added.contains(&C::NetAdmin) && added.contains(&C::Chown));
    let dropped = effective(&[("cap-drop", "CAP_CHOWN")]).unwrap();
    assert!(!dropped.contains(&C::Chown) && dropped.contains(&C::Setuid));
    let only = effective(&[("cap-drop", "ALL"), ("cap-add", "KILL")]);
    assert_eq!(only, Some(vec![C::Kill]));
    let all = effective(&[("cap-add", "all")]).unwrap();
    assert!(all.contains(&C::SysAdmin) && all.contains(&C::NetAdmin));
}

#[test]
fn a_privileged_task_may_do_all_that_a_container_can() {
    let privileged = task(|docker| docker.privileged = Some(true));
    let info = native(&privileged, "bridge", u64::MAX)
        .unwrap()
        .into_owned()
        .container
        .unwrap();
    let linux = info.linux_info.unwrap();
    assert!(linux.seccomp.unwrap().unconfined());
    assert!(linux.effective_capabilities.unwrap().capabilities.len() > 30);
    assert!(!info.docker.unwrap().privileged());
}
