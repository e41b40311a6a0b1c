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
    wish(task, "docker.io", true)
}

#[test]
fn a_task_names_its_image_in_either_way() {
    assert_eq!(wished(&v1::TaskInfo::default()), Ok(None));
    let found = wished(&docker("busybox", true)).unwrap().unwrap();
    assert_eq!(
        found.reference.to_string(),
        "docker.io/library/busybox:latest"
    );
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
        Err(BadImage::Reference(_))
    ));
}

fn provisioned(runtime: Runtime, account: Option<Account>) -> Provisioned {
    Provisioned {
        image: Image {
            name: "x".into(),
            digest: Digest::of(b"x"),
            layers: vec![],
            config: ImageConfig {
                os: "linux".into(),
                architecture: "amd64".into(),
                diff_ids: vec![],
                runtime,
            },
            bytes: 0,
            pulled: 0,
        },
        rootfs: images::Rootfs::Stack(Stack {
            root: "/p/root".into(),
            lower: vec!["/p/a".into()],
            upper: "/p/upper".into(),
            work: "/p/work".into(),
        }),
        account,
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
    let wish = wished(&docker("x", false)).unwrap().unwrap();
    let found = provisioned(runtime, Some(account));
    complete(
        &mut request,
        &wish,
        found,
        Path::new("/mnt/s"),
        vec!["/etc/hosts".into()],
    )
    .unwrap();
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
}

#[test]
fn a_task_without_a_command_and_an_image_without_one_is_refused() {
    let wish = wished(&docker("x", false)).unwrap().unwrap();
    let found = provisioned(Runtime::default(), None);
    let error = complete(&mut request(), &wish, found, Path::new("/mnt/s"), vec![]);
    assert_eq!(error, Err(BadImage::Command(NoCommand::OfNeither)));
}
