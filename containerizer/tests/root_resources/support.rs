//! Containers with resources in their OCI form, and their cgroups seen from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use containerizer::audit::{self, Keeper, Scope};
use containerizer::{
    Config, Container, Containerizer, LaunchError, Stdio, Stopwatch, Target, Termination, Then,
};
use isolators::cgroups::Hierarchy;
use isolators::seccomp::Profile;
use isolators::{
    CapabilitySets, Command, ContainerId, Ipc, Limit, PidNamespace, Request, Seccomp, Share, Swap,
    User,
};
use oci_spec::runtime::{LinuxResources, Spec};
use serde_json::Value;
use tempfile::TempDir;

pub struct Host {
    pub containerizer: Containerizer,
    pub root: String,
    directory: TempDir,
}

pub fn resources(json: Value) -> LinuxResources {
    serde_json::from_value(json).unwrap()
}

impl Host {
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("longshore-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let root = format!("longshore-test-{}-{name}", std::process::id());
        fs::create_dir(directory.path().join("sandbox")).unwrap();
        let containerizer = Containerizer::open(Config {
            runtime_dir: directory.path().join("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: root.clone(),
            cgroups_enable_cfs: false,
            cgroups_destroy_timeout: Duration::from_secs(10),
            hidden: vec![],
            seccomp: Profile::builtin(),
        });
        Self {
            containerizer: containerizer.unwrap(),
            root,
            directory,
        }
    }

    pub fn hierarchy(&self) -> Hierarchy {
        Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap()
    }

    pub fn is_v2(&self) -> bool {
        matches!(self.hierarchy(), Hierarchy::V2(_))
    }

    /// Of this version of cgroups.
    pub fn either<T>(&self, v1: T, v2: T) -> T {
        if self.is_v2() { v2 } else { v1 }
    }

    /// As a task's, but for the resources.
    fn spec(&self, command: &str, resources: Value) -> Spec {
        let mut spec = serde_json::to_value(self.task(command)).unwrap();
        spec["linux"]["resources"] = resources;
        serde_json::from_value(spec).unwrap()
    }

    pub fn task(&self, command: &str) -> Spec {
        let spec = self.containerizer.plan(&Request {
            id: id(),
            command: Command::Shell(command.to_owned()),
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
            user: User::resolve("root").unwrap(),
            sandbox: self.sandbox(),
            hostname: None,
            cpus: Share {
                request: 0.1,
                limit: Limit::Default,
            },
            memory: Share {
                request: 32 << 20,
                limit: Limit::Default,
            },
            swap: Swap::Unlimited,
            pids: None,
            devices: vec![],
            ipc: Ipc::OwnNamespace,
            pid_namespace: PidNamespace::Own,
            terminal: None,
            volumes: vec![],
            network: isolators::network::Network::Hosts,
            rlimits: vec![],
            capabilities: CapabilitySets::default(),
            seccomp: Seccomp::Default,
            user_namespace: None,
            sysctls: std::collections::BTreeMap::new(),
            stop_signal: None,
            cpuset: Default::default(),
            priority: Default::default(),
            root: None,
        });
        spec.unwrap()
    }

    /// The container as another program finds it.
    pub fn find(&self) -> Target {
        let runtime_dir = self.directory.path().join("run");
        Target::find(&runtime_dir, Path::new("/sys/fs/cgroup"), &id()).unwrap()
    }

    pub fn sandbox(&self) -> PathBuf {
        self.directory.path().join("sandbox")
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.sandbox().join("output")).unwrap_or_default()
    }

    pub async fn launch(&self, command: &str, resources: Value) -> Result<Container, LaunchError> {
        self.launch_spec(self.spec(command, resources)).await
    }

    pub async fn launch_spec(&self, spec: Spec) -> Result<Container, LaunchError> {
        let open = || -> OwnedFd {
            let path = self.sandbox().join("output");
            let file = File::options().append(true).create(true).open(path);
            file.unwrap().into()
        };
        let stdio = Stdio {
            stdin: None,
            stdout: open(),
            stderr: open(),
        };
        let (then, watch) = (Then::Supervise {}, Stopwatch::start());
        self.containerizer
            .launch_spec(&id(), spec, stdio, then, watch)
            .await
    }

    pub async fn launched(&self, command: &str, resources: Value) -> Container {
        let launched = self.launch(command, resources).await;
        launched.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub async fn refusal(&self, resources: Value) -> String {
        match self.launch("true", resources).await {
            Ok(container) => panic!("launched {container:?}"),
            Err(error) => chain(&error),
        }
    }

    /// What it said to the end.
    pub async fn output(&self, command: &str, resources: Value) -> String {
        let container = self.launched(command, resources).await;
        self.to_the_end(&container).await
    }

    pub async fn to_the_end(&self, container: &Container) -> String {
        container.wait().await;
        container.forget();
        self.said()
    }

    pub async fn end(&self, container: &Container) -> Termination {
        container.kill();
        let termination = container.wait().await;
        container.forget();
        assert_eq!(termination.leftovers, [""; 0]);
        termination
    }

    /// A control file of the container's cgroup; `None` when there is none.
    pub fn read(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.directory_of(file).join(file)).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// The container's cgroup in the hierarchy of the controller that a file is named after.
    pub fn directory_of(&self, file: &str) -> PathBuf {
        let controller = file.split('.').next().unwrap_or(file);
        let mount = match self.hierarchy() {
            Hierarchy::V1(mounts) => {
                let found = mounts.into_iter().find(|mount| mount.has(controller));
                found.expect("a mount of the controller").path
            }
            Hierarchy::V2(mount) => mount,
        };
        mount.join(&self.root).join("c1")
    }

    pub fn holds(&self, expected: &[(&str, &str)]) {
        for (file, value) in expected {
            assert_eq!(self.read(file).as_deref(), Some(*value), "{file}");
        }
    }

    pub fn finish(self) {
        let scope = Scope {
            runtime_dir: self.directory.path().join("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: self.root.clone(),
            directories: vec![],
            oci_root: "/no/such".into(),
        };
        let nobodys = Keeper::Next(BTreeSet::new());
        let left = audit::differences(&scope, BTreeSet::new(), nobodys).unwrap();
        assert_eq!(left, []);
        self.containerizer.remove_cgroups_root();
        assert_eq!(self.left(), [""; 0].map(PathBuf::from));
    }

    fn left(&self) -> Vec<PathBuf> {
        let mounts: Vec<_> = match self.hierarchy() {
            Hierarchy::V1(mounts) => mounts.into_iter().map(|mount| mount.path).collect(),
            Hierarchy::V2(mount) => vec![mount],
        };
        let all = mounts.iter().map(|mount| mount.join(&self.root));
        all.filter(|path| path.exists()).collect()
    }
}

/// A test that failed half-way must not leave its container running.
impl Drop for Host {
    fn drop(&mut self) {
        for directory in self.left() {
            let c1 = directory.join("c1");
            let _ = fs::write(c1.join("freezer.state"), "THAWED");
            let _ = fs::write(c1.join("cgroup.kill"), "1");
            let pids = fs::read_to_string(c1.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
                let pid = nix::unistd::Pid::from_raw(pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}

pub fn id() -> ContainerId {
    ContainerId::try_from("c1".to_owned()).unwrap()
}

pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Waits until something is true, as long as a slow guest may take.
pub async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
