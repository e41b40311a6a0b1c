//! A root file system, made of the host's programs, and containers in it.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerizer::audit::{self, Keeper, Scope};
use containerizer::{
    Config, Container, Containerizer, ExitStatus, LaunchError, Output, Stdio, Stopwatch, Target,
    Then,
};
use isolators::seccomp::Profile;
use isolators::{
    CapabilitySets, Command, ContainerId, Ipc, Limit, PidNamespace, Request, Seccomp, Share, Swap,
    User,
};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Bundle {
    containerizer: Containerizer,
    directory: TempDir,
    cgroups_root: String,
}

/// What the programs of the host are made of, which the container has, too.
const SYSTEM: [&str; 5] = ["/bin", "/lib", "/lib64", "/sbin", "/usr"];

impl Bundle {
    pub fn scope(&self) -> Scope {
        Scope {
            runtime_dir: self.directory.path().join("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: self.cgroups_root.clone(),
            directories: vec![],
            oci_root: "/no/such".into(),
        }
    }

    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("longshore-")
            .tempdir_in("/var/tmp")
            .expect("a directory");
        let cgroups_root = format!("longshore-test-{}-fs-{name}", std::process::id());
        let containerizer = Containerizer::open(Config {
            runtime_dir: directory.path().join("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: cgroups_root.clone(),
            cgroups_enable_cfs: false,
            cgroups_destroy_timeout: Duration::from_secs(10),
            hidden: vec![],
            seccomp: Profile::builtin(),
        });
        let bundle = Self {
            containerizer: containerizer.expect("opens"),
            directory,
            cgroups_root,
        };
        let rootfs = bundle.rootfs();
        fs::create_dir(&rootfs).expect("creates");
        for path in SYSTEM
            .map(Path::new)
            .into_iter()
            .filter(|path| path.is_symlink())
        {
            let to = fs::read_link(path).expect("reads");
            let link = rootfs.join(path.strip_prefix("/").expect("absolute"));
            std::os::unix::fs::symlink(to, link).expect("links");
        }
        bundle
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// A directory of the host with a file that says where it is.
    pub fn directory(&self, name: &str) -> PathBuf {
        let directory = self.path(name);
        fs::create_dir_all(&directory).expect("creates");
        fs::write(directory.join("file"), name).expect("writes");
        directory
    }

    /// A shell script in namespaces and with a /proc and a /dev of its own, and what `patch` adds.
    pub fn spec(&self, patch: Value, script: &str) -> Spec {
        let system = SYSTEM.into_iter().filter(|path| {
            let path = Path::new(path);
            path.is_dir() && !path.is_symlink()
        });
        let binds = system.map(|path| {
            json!({"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]})
        });
        let mounts = binds.chain([
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                   "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        ]);
        let kinds = ["pid", "mount", "ipc", "uts", "cgroup", "network"];
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "root": {"path": self.rootfs()},
            "process": {
                "user": {"uid": 0, "gid": 0},
                "cwd": "/",
                "args": ["/bin/sh", "-c", script],
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "mounts": mounts.collect::<Vec<_>>(),
            "linux": {
                "namespaces": kinds.map(|kind| json!({"type": kind})),
                "cgroupsPath": format!("/{}/c1", self.cgroups_root),
            },
        });
        merge(&mut spec, patch);
        serde_json::from_value(spec).expect("a spec")
    }

    async fn launch(&self, spec: Spec, then: Then) -> Result<Container, LaunchError> {
        let open = |name: &str| File::create(self.path(name)).expect("a log").into();
        let stdio = Stdio {
            stdin: None,
            stdout: open("stdout"),
            stderr: open("stderr"),
        };
        let id = ContainerId::try_from("c1".to_owned()).expect("a good id");
        (self.containerizer)
            .launch_spec(&id, spec, stdio, then, Stopwatch::start())
            .await
    }

    /// What a script that must end with 0 prints.
    pub async fn output(&self, patch: Value, script: &str) -> String {
        self.output_of(self.spec(patch, script)).await
    }

    pub async fn output_of(&self, spec: Spec) -> String {
        let output = self.run_keeping_mounts(spec).await;
        self.nothing_is_left();
        output
    }

    /// Of a test that looks at mounts itself.
    pub async fn run_keeping_mounts(&self, spec: Spec) -> String {
        self.run(spec, Then::Supervise {}).await
    }

    /// Of a command that is the container's first process itself.
    pub async fn output_as_the_command(&self, spec: Spec) -> String {
        self.run(spec, Then::Become {}).await
    }

    async fn run(&self, spec: Spec, then: Then) -> String {
        let launched = self.launch(spec, then).await;
        let container = launched.unwrap_or_else(|error| panic!("{}", chain(&error)));
        self.ended(container).await
    }

    async fn ended(&self, container: Container) -> String {
        let termination = container.wait().await;
        container.forget();
        let read = |name| fs::read_to_string(self.path(name)).expect("reads");
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        let status = termination.status;
        assert_eq!(status, Some(ExitStatus::Exited(0)), "{stdout}\n{stderr}");
        stdout.trim_end().to_owned()
    }

    /// Why a container cannot be launched.
    pub async fn refusal(&self, patch: Value) -> String {
        let refusal = match self
            .launch(self.spec(patch, "true"), Then::Supervise {})
            .await
        {
            Ok(container) => {
                self.end(container).await;
                panic!("launched");
            }
            Err(error) => chain(&error),
        };
        self.nothing_is_left();
        refusal
    }

    /// Our subtree in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let base = Path::new("/sys/fs/cgroup");
        let mounts = fs::read_dir(base).expect("lists");
        let mounts = mounts.map(|entry| entry.expect("lists").path());
        let all = mounts.chain([base.to_owned()]);
        let all = all.map(|mount| mount.join(&self.cgroups_root));
        all.filter(|path| path.exists()).collect()
    }

    /// What an agent asks for, of the host's files.
    pub fn request(&self, id: &str, script: &str) -> Request {
        let sandbox = self.path("sandbox");
        fs::create_dir_all(&sandbox).expect("creates");
        Request {
            id: ContainerId::try_from(id.to_owned()).expect("a good id"),
            command: Command::Shell(script.to_owned()),
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
            user: User::resolve("root").expect("root exists"),
            sandbox,
            hostname: None,
            cpus: Share {
                request: 0.1,
                limit: Limit::Default,
            },
            memory: Share {
                request: 64 << 20,
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
        }
    }

    /// One that goes on.
    pub async fn started(&self, spec: Spec) -> Container {
        let launched = self.launch(spec, Then::Supervise {}).await;
        launched.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// What a script prints that joins the container.
    pub async fn exec(&self, script: &str) -> String {
        let id = ContainerId::try_from("c1".to_owned()).expect("a good id");
        let target = Target::find(&self.path("run"), Path::new("/sys/fs/cgroup"), &id);
        let target = target.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let open = |name: &str| File::create(self.path(name)).expect("a log").into();
        let stdio = Stdio {
            stdin: None,
            stdout: open("joined"),
            stderr: open("stderr"),
        };
        let command = containerizer::Command {
            args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            ..containerizer::Command::default()
        };
        let execution = target.exec(&command, stdio).await;
        let execution = execution.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let status = execution.wait().await;
        let read = |name| fs::read_to_string(self.path(name)).expect("reads");
        assert_eq!(status, 0, "{}\n{}", read("joined"), read("stderr"));
        read("joined")
    }

    async fn launch_request(&self, request: &Request) -> Result<Container, LaunchError> {
        let open = |name: &str| File::create(self.path(name)).expect("a log").into();
        let output = Output {
            stdout: open("stdout"),
            stderr: open("stderr"),
            bounds: (0, 0),
        };
        self.containerizer
            .launch(request, output, Stopwatch::start())
            .await
    }

    pub async fn launched(&self, request: &Request) -> Container {
        let launched = self.launch_request(request).await;
        launched.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub async fn end(&self, container: Container) {
        container.kill();
        container.wait().await;
        container.forget();
    }

    pub async fn output_of_request(&self, request: &Request) -> String {
        let container = self.launched(request).await;
        self.ended(container).await
    }

    /// While other containers run.
    pub async fn refused(&self, request: &Request) -> String {
        match self.launch_request(request).await {
            Ok(container) => {
                self.end(container).await;
                panic!("launched");
            }
            Err(error) => chain(&error),
        }
    }

    pub async fn refusal_of(&self, request: &Request) -> String {
        let refusal = self.refused(request).await;
        self.nothing_is_left();
        refusal
    }

    fn nothing_is_left(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("reads");
        let ours = self.directory.path().to_str().expect("utf-8");
        let ours: Vec<_> = mounts.lines().filter(|line| line.contains(ours)).collect();
        assert_eq!(ours, [""; 0], "mounts left");
        let containers = fs::read_dir(self.path("run/containers")).expect("lists");
        assert_eq!(containers.count(), 0, "records left");
        for cgroup in self.cgroups() {
            let left: Vec<_> = fs::read_dir(&cgroup)
                .expect("lists")
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.is_dir())
                .collect();
            assert_eq!(left, [""; 0].map(PathBuf::from), "cgroups left");
        }
    }
}

/// Whatever a test was about, it leaves nothing.
impl Drop for Bundle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let nobodys = Keeper::Next(BTreeSet::new());
            let left = audit::differences(&self.scope(), BTreeSet::new(), nobodys);
            assert_eq!(left.expect("looks"), []);
        }
        self.containerizer.remove_cgroups_root();
    }
}

/// Namespaces with a process in them, until this is dropped.
pub struct Namespace(std::process::Child);

impl Namespace {
    /// Options of unshare(1) as busybox knows them, too.
    pub fn new(options: &[&str]) -> Self {
        use std::process::{Command, Stdio};
        let mut command = Command::new("unshare");
        // It ends with its input.
        command
            .args(options)
            .args(["-f", "sh", "-c", "echo; read line"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("unshares");
        let output = child.stdout.as_mut().expect("piped");
        // Once it is there.
        std::io::Read::read_exact(output, &mut [0]).expect("reads");
        Self(child)
    }

    pub fn path(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.0.id()).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Objects are merged, mounts come after those there are, and anything else is replaced.
fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                match (into.get_mut(&key), value) {
                    (Some(Value::Array(mounts)), Value::Array(more)) if key == "mounts" => {
                        mounts.extend(more);
                    }
                    (Some(there), value) => merge(there, value),
                    (None, value) => drop(into.insert(key, value)),
                }
            }
        }
        (into, patch) => *into = patch,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
