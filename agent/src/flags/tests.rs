use clap::Parser;

use super::values::id_range;
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

/// Flags as an operator would write them, on an agent with a master at a dead port.
pub fn parse(arguments: &[&str]) -> Flags {
    let line = ["agent", "--master=127.0.0.1:1"].iter().chain(arguments);
    Line::parse_from(line).flags
}

#[test]
fn what_is_json_may_stand_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resources");
    std::fs::write(&path, "cpus:3").unwrap();
    let flag = format!("--resources=file://{}", path.display());
    assert_eq!(parse(&[&flag]).resources.as_deref(), Some("cpus:3"));
    let missing = "--resources=file:///no/such/file";
    let parsed = Line::try_parse_from(["agent", "--master=a:1", missing]);
    let error = parsed.map(|line| line.flags).unwrap_err();
    assert!(error.to_string().contains("cannot read /no/such/file"));
}

#[test]
fn durations_and_booleans_read_as_in_mesos() {
    let flags = parse(&[
        "--gc_delay=2days",
        "--switch_user=false",
        "--cgroups_enable_cfs",
    ]);
    assert_eq!(flags.gc_delay, Duration::from_secs(2 * 86_400));
    assert!(!flags.switch_user && flags.cgroups_enable_cfs);
    let size = parse(&["--default_container_shm_size=64MB"]).default_container_shm_size;
    assert_eq!(size, Some(64 << 20));
    for bad in ["--default_container_shm_size=0B", "--pids_limit=0"] {
        assert!(Line::try_parse_from(["agent", "--master=a:1", bad]).is_err());
    }
}

#[test]
fn the_directory_of_secrets_has_its_old_name_too() {
    for name in ["secrets_dir", "image_secrets_dir"] {
        let flags = parse(&[&format!("--{name}=/etc/secrets")]);
        assert_eq!(flags.secrets_dir.as_deref(), Some("/etc/secrets".as_ref()));
    }
}

#[test]
fn an_engine_is_where_its_socket_is() {
    let flags = parse(&[
        "--docker=/usr/bin/docker",
        "--docker_socket=unix:///run/d.sock",
    ]);
    assert_eq!(flags.docker.socket, std::path::Path::new("/run/d.sock"));
    for bad in ["tcp://10.0.0.1:2375", "docker.sock"] {
        let flag = format!("--docker_socket={bad}");
        assert!(Line::try_parse_from(["agent", "--master=a:1", &flag]).is_err());
    }
}

#[test]
fn flags_are_told_as_text_and_unset_ones_left_out() {
    let texts = parse(&["--ip=127.0.0.1", "--port=0"]).texts();
    assert!(texts.contains(&("executor_shutdown_grace_period", "5secs".to_owned())));
    assert!(!texts.iter().any(|(name, _)| *name == "resources"));
}

#[test]
fn ids_of_user_namespaces_are_a_range_of_which_none_is_roots() {
    let range = parse(&["--user_namespace_ids=100000-165535"]).user_namespace_ids;
    assert_eq!((range.first, range.count), (100_000, 65536));
    for bad in [
        "",
        "1-2",
        "0-65536",
        "5",
        "165535-100000",
        "1-4294967295",
        "a-b",
    ] {
        assert!(id_range(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn projects_are_one_range_without_that_of_everything_else() {
    let range = |text: &str| project_range(text).map(|range| (range.first, range.last));
    assert_eq!(range("[5000-10000]"), Ok((5000, 10000)));
    assert_eq!(range("[7-7]"), Ok((7, 7)));
    for bad in ["", "5", "[0-9]", "[9-5]", "[1-4294967295]", "[1-2,5-6]"] {
        assert!(range(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn authenticators_are_those_that_are_built_in_and_a_key_is_a_path() {
    for good in ["basic", "jwt", "basic,jwt"] {
        let flags = parse(&[&format!("--http_authenticators={good}")]);
        assert_eq!(flags.http_authenticators, good);
    }
    let module = ["agent", "--master=a:1", "--http_authenticators=org_module"];
    let error = Line::try_parse_from(module)
        .map(|line| line.flags)
        .unwrap_err();
    assert!(
        error.to_string().contains("modules are not loaded"),
        "{error}"
    );
    for key in ["/etc/key", "file:///etc/key"] {
        let flags = parse(&[&format!("--jwt_secret_key={key}")]);
        assert_eq!(flags.jwt_secret_key, Some("/etc/key".into()));
    }
}

#[test]
fn every_flag_is_told_once_it_is_set() {
    use clap::CommandFactory as _;
    let texts = parse(&[
        "--advertise_ip=10.0.0.5",
        "--advertise_port=80",
        "--allowed_devices={}",
        "--default_container_shm_size=64MB",
        "--pids_limit=9",
        "--attributes=rack:1",
        "--bounding_capabilities={}",
        "--effective_capabilities={}",
        "--executor_environment_variables={}",
        "--bridge_mtu=1400",
        "--container_ports_isolated_range=[1-2]",
        "--bridge_subnet_v6=fd00:1::/64",
        "--default_container_dns={}",
        "--docker_config=/c",
        "--docker_insecure_registries=r",
        "--image_directories=/images",
        "--secrets_dir=/secrets",
        "--docker_registry_mirrors=m",
        "--docker_store_dir=/d",
        "--image_provisioner_backend=copy",
        "--image_gc_config={\"image_disk_headroom\": 0.1}",
        "--fetcher_allowed_schemes=https",
        "--fetcher_allowed_hosts=h",
        "--fetcher_ca_file=/c",
        "--fetcher_cache_dir=/d",
        "--fetcher_netrc_file=/n",
        "--fetcher_hdfs_name_nodes=ours=a+b:1,theirs=c",
        "--fetcher_s3_endpoint=http://s",
        "--fetcher_s3_credentials_file=/a",
        "--frameworks_home=/f",
        "--hostname=n5",
        "--jwt_secret_key=/k",
        "--network_cni_config_dir=/n",
        "--network_cni_plugins_dir=/p:/q",
        "--resources=cpus:1",
        "--sandbox_inodes_limit=1000",
        "--seccomp_config_dir=/s",
        "--seccomp_profile_name=p",
    ])
    .texts();
    let command = Line::command();
    let known = command.get_arguments().filter_map(|a| a.get_long());
    let untold: Vec<&str> = known
        .filter(|name| !texts.iter().any(|(told, _)| told == name))
        .collect();
    assert_eq!(untold, Vec::<&str>::new());
}

#[test]
fn no_password_of_a_store_is_told() {
    let flags = parse(&["--fetcher_s3_endpoint=https://me:hunter2@store:9000/"]);
    let texts = flags.texts();
    let shown = texts
        .iter()
        .find(|(name, _)| *name == "fetcher_s3_endpoint");
    let shown = shown.map(|(_, text)| text.as_str());
    assert_eq!(shown, Some("https://me:***@store:9000/"));
}
