use images::{Account, Digest, Image, ImageConfig, Runtime, Stack};

use super::*;

fn docker(image: &str, force: bool) -> v1::TaskInfo {
    v1::TaskInfo {
        container: Some(v1::ContainerInfo {
            docker: Some(v1::container_info::DockerInfo {
                image: image.to_owned(),
                force_pull_image: Some(force),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn native(image: v1::Image) -> v1::TaskInfo {
    v1::TaskInfo {
        container: Some(v1::ContainerInfo {
            mesos: Some(v1::container_info::MesosInfo { image: Some(image) }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn wished(task: &v1::TaskInfo) -> Result<Option<Wish>, BadImage> {
    wish(task, &Home::Registry("docker.io".into()), true)
}

#[test]
fn a_task_names_its_image_in_either_way() {
    assert_eq!(wished(&v1::TaskInfo::default()), Ok(None));
    let found = wished(&docker("busybox", true)).unwrap().unwrap();
    assert_eq!(found.name.to_string(), "docker.io/library/busybox:latest");
    assert_eq!(found.when, When::Always);
    let image = v1::Image {
        docker: Some(v1::image::Docker {
            name: "r.example/a:1".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let found = wished(&native(image.clone())).unwrap().unwrap();
    assert_eq!(found.when, When::Missing);
    let forced = v1::Image {
        cached: Some(false),
        ..image
    };
    assert_eq!(wished(&native(forced)).unwrap().unwrap().when, When::Always);
    assert_eq!(wished(&native(v1::Image::default())), Err(BadImage::Appc));
    assert!(matches!(
        wished(&docker("a//b", false)),
        Err(BadImage::Name(_))
    ));
}

fn provisioned(runtime: Runtime, account: Option<Account>) -> Provisioned {
    Provisioned {
        image: Image {
            name: "x".into(),
            digest: Digest::of(b"x"),
            layers: vec![],
            base: None,
            config: ImageConfig {
                os: "linux".into(),
                architecture: "amd64".into(),
                diff_ids: vec![],
                runtime,
            },
            bytes: 0,
            pulled: 0,
        },
        provided: Provided {
            rootfs: Rootfs::Stack(Stack {
                root: "/p/root".into(),
                lower: vec!["/p/a".into()],
                upper: "/p/upper".into(),
                work: "/p/work".into(),
            }),
            volumes: vec![
                ("/data".into(), "/p/volumes/0".into()),
                ("/own".into(), "/p/volumes/1".into()),
            ],
        },
        account,
        groups: vec![],
    }
}

fn request() -> Request {
    let share = |request| isolators::Share {
        request,
        limit: isolators::Limit::Default,
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Request {
        id: "c".to_owned().try_into().unwrap(),
        command: Command::Shell("ls".into()),
        env: vec![
            pair("MESOS_SANDBOX", "/s"),
            pair("A", "task"),
            pair("PATH", PATH),
        ],
        user: User::resolve("root").unwrap(),
        sandbox: "/s".into(),
        hostname: None,
        cpus: isolators::Share {
            request: 1.0,
            limit: isolators::Limit::Default,
        },
        memory: share(1 << 20),
        swap: isolators::Swap::Unlimited,
        pids: None,
        devices: vec![],
        ipc: isolators::Ipc::OwnNamespace,
        pid_namespace: isolators::PidNamespace::Own,
        volumes: vec![],
        network: Network::Hosts,
        terminal: None,
        rlimits: vec![],
        capabilities: isolators::CapabilitySets::default(),
        seccomp: isolators::Seccomp::Default,
        user_namespace: None,
        sysctls: std::collections::BTreeMap::new(),
        stop_signal: None,
        cpuset: Default::default(),
        priority: Default::default(),
        root: None,
    }
}

#[test]
fn an_image_says_what_the_task_leaves_open() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let runtime = Runtime {
        entrypoint: vec!["/run".into()],
        env: vec![pair("PATH", "/image"), pair("A", "image")],
        working_dir: Some("/srv".into()),
        stop_signal: Some("SIGQUIT".into()),
        ..Runtime::default()
    };
    let account = Account {
        name: "app".into(),
        uid: 7,
        gid: 8,
        groups: vec![9],
        home: "/home/app".into(),
    };
    let mut request = request();
    let volume = |source: &str, target: &str| Volume {
        source: source.into(),
        target: target.into(),
        access: Access::ReadWrite,
    };
    request.volumes = vec![volume("/mine", "/own")];
    request.pids = Some(50);
    let hosts = File {
        source: "/etc/hosts".into(),
        target: "/etc/hosts".into(),
    };
    let shown = Shown {
        files: vec![hosts],
        ..Shown::default()
    };
    let wish = wished(&docker("x", false)).unwrap().unwrap();
    let found = provisioned(runtime, Some(account));
    complete(&mut request, &wish, found, Path::new("/mnt/s"), shown).unwrap();
    let exec = Command::Exec {
        path: "/run".into(),
        argv: vec!["/run".into()],
    };
    assert_eq!(request.command, exec);
    assert_eq!(
        (request.user.uid, request.user.gid, &request.user.groups[..]),
        (7, 8, &[9][..])
    );
    assert_eq!(
        request.env,
        [
            pair("HOME", "/home/app"),
            pair("PATH", "/image"),
            pair("A", "image"),
            pair("MESOS_SANDBOX", "/mnt/s"),
            pair("A", "task"),
        ]
    );
    let root = request.root.unwrap();
    assert_eq!(root.working_dir, Path::new("/srv"));
    assert_eq!(root.shown[0].target, Path::new("/etc/hosts"));
    assert_eq!(request.stop_signal, Some(3));
    assert_eq!(
        request.volumes,
        [volume("/p/volumes/0", "/data"), volume("/mine", "/own")]
    );
}

#[test]
fn what_docker_was_asked_to_limit_is_limited() {
    let with = |key: &str, value: &str| {
        let mut task = docker("x", false);
        let info = task.container.as_mut().unwrap().docker.as_mut().unwrap();
        info.parameters.push(v1::Parameter {
            key: key.into(),
            value: value.into(),
        });
        let wish = wished(&task).unwrap().unwrap();
        let mut request = request();
        request.pids = Some(50);
        let runtime = Runtime {
            cmd: vec!["/x".into()],
            ..Runtime::default()
        };
        let found = provisioned(runtime, None);
        complete(
            &mut request,
            &wish,
            found,
            Path::new("/mnt/s"),
            Shown::default(),
        )?;
        Ok::<_, BadImage>(request)
    };
    for (asked, gets) in [("10", 10), ("100", 50)] {
        assert_eq!(with("pids-limit", asked).unwrap().pids, Some(gets));
    }
    assert_eq!(with("memory-swap", "1m").unwrap().swap, Swap::Never);
    assert_eq!(with("memory-swap", "2m"), Err(BadImage::Swap(2 << 20)));
    assert_eq!(with("stop-signal", "INT").unwrap().stop_signal, Some(2));
}

#[test]
fn a_task_may_bring_credentials_as_a_value_and_by_their_name() {
    let with = |secret: v1::Secret| {
        wished(&native(v1::Image {
            docker: Some(v1::image::Docker {
                name: "r.example/a:1".into(),
                config: Some(secret),
                ..Default::default()
            }),
            ..Default::default()
        }))
    };
    let value = |text: &str| v1::Secret {
        value: Some(v1::secret::Value {
            data: text.as_bytes().to_vec(),
        }),
        ..Default::default()
    };
    let text = r#"{"auths": {"r.example": {"auth": "YTpi"}}}"#;
    let found = with(value(text)).unwrap().unwrap().credentials;
    assert!(matches!(found, Some(Brought::Said(it)) if it.of("r.example").is_some()));
    let helper = r#"{"credsStore": "desktop"}"#;
    assert!(matches!(with(value(helper)), Err(BadImage::Credentials(_))));
    let named = v1::Secret {
        reference: Some(v1::secret::Reference {
            name: "pull".into(),
            key: None,
        }),
        ..Default::default()
    };
    let found = with(named).unwrap().unwrap().credentials;
    assert_eq!(found, Some(Brought::Secret("pull".into())));
}

#[test]
fn a_task_without_a_command_and_an_image_without_one_is_refused() {
    let wish = wished(&docker("x", false)).unwrap().unwrap();
    let found = provisioned(Runtime::default(), None);
    let error = complete(
        &mut request(),
        &wish,
        found,
        Path::new("/mnt/s"),
        Shown::default(),
    );
    assert_eq!(error, Err(BadImage::Command(NoCommand::OfNeither)));
}
