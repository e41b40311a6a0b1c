//! A containerizer of the test's own, and what it leaves on the host.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerizer::audit::{self, Keeper, Scope};
use containerizer::{
    Config, Container, Containerizer, ExitStatus, LaunchError, Output, Stopwatch, Termination,
};
use isolators::cgroups::Hierarchy;
use isolators::seccomp::Profile;
use isolators::{
    CapabilitySets, Command, ContainerId, Ipc, Limit, PidNamespace, Request, Seccomp, Share, Swap,
    User,
};
use tempfile::TempDir;

/// A containerizer of its own; `finish` checks that nothing of it is left on the host.
pub struct Host {
    pub containerizer: Containerizer,
    pub config: Config,
    pub directory: TempDir,
}

impl Host {
    pub fn new(name: &str) -> Self {
        // Below /var: /tmp itself is what some of these tests mount.
        let directory = tempfile::Builder::new()
            .prefix("longshore-")
            .tempdir_in("/var/tmp");
        let directory = directory.expect("a directory");
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("opens up");
        let config = Config {
            runtime_dir: directory.path().join("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: format!("longshore-test-{}-{name}", std::process::id()),
            cgroups_enable_cfs: false,
            cgroups_destroy_timeout: Duration::from_secs(10),
            hidden: vec![],
            seccomp: Profile::builtin(),
        };
        let containerizer = Containerizer::open(config.clone()).expect("opens");
        Self {
            containerizer,
            config,
            directory,
        }
    }

    pub fn sandbox(&self) -> PathBuf {
        let sandbox = self.directory.path().join("sandbox");
        fs::create_dir_all(&sandbox).expect("a sandbox");
        sandbox
    }

    /// As the containerizer finds it, too.
    pub fn hierarchy(&self) -> Hierarchy {
        Hierarchy::detect(&self.config.cgroups_hierarchy).expect("cgroups")
    }

    pub fn request(&self, command: &str) -> Request {
        Request {
            id: ContainerId::try_from("c1".to_owned()).expect("a good id"),
            command: Command::Shell(command.to_owned()),
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
            user: User::resolve("root").expect("root exists"),
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
        }
    }

    /// Its logs in the sandbox.
    pub fn streams(&self) -> Output {
        let open = |name: &str| {
            let path = self.sandbox().join(name);
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .expect("a log")
                .into()
        };
        Output {
            stdout: open("stdout"),
            stderr: open("stderr"),
            bounds: (0, 0),
        }
    }

    pub async fn launch(&self, request: &Request) -> Result<Container, LaunchError> {
        let (output, watch) = (self.streams(), Stopwatch::start());
        self.containerizer.launch(request, output, watch).await
    }

    pub async fn run(&self, request: &Request) -> Termination {
        let container = self
            .launch(request)
            .await
            .unwrap_or_else(|e| panic!("{}", chain(&e)));
        let termination = container.wait().await;
        container.forget();
        termination
    }

    /// The output of a command that must end with 0.
    pub async fn output(&self, request: &Request) -> String {
        let termination = self.run(request).await;
        let read = |name| fs::read_to_string(self.sandbox().join(name)).unwrap_or_default();
        assert_eq!(
            termination.status,
            Some(ExitStatus::Exited(0)),
            "stderr: {}",
            read("stderr")
        );
        assert_eq!(termination.leftovers, [""; 0]);
        read("stdout").trim_end().to_owned()
    }

    pub async fn refusal(&self, request: &Request) -> String {
        match self.launch(request).await {
            Ok(container) => panic!("launched {container:?}"),
            Err(error) => chain(&error),
        }
    }

    pub fn scope(&self) -> Scope {
        Scope {
            runtime_dir: self.config.runtime_dir.clone(),
            cgroups_hierarchy: self.config.cgroups_hierarchy.clone(),
            cgroups_root: self.config.cgroups_root.clone(),
            directories: vec![],
            oci_root: "/no/such".into(),
        }
    }

    pub fn finish(&self) {
        let nobodys = Keeper::Next(BTreeSet::new());
        let left = audit::differences(&self.scope(), BTreeSet::new(), nobodys).expect("looks");
        assert_eq!(left, []);
        for cgroup in cgroups(&self.config.cgroups_root) {
            fs::remove_dir(&cgroup).unwrap_or_else(|e| panic!("left in {}: {e}", cgroup.display()));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("reads");
        let ours = self.directory.path().to_str().expect("utf-8");
        assert!(!mounts.contains(ours), "mounts left: {mounts}");
    }
}

/// A test that failed half-way must not leave its container running.
impl Drop for Host {
    fn drop(&mut self) {
        for cgroup in cgroups(&self.config.cgroups_root) {
            for directory in ["c1", "c1/leaf"] {
                let procs = fs::read_to_string(cgroup.join(directory).join("cgroup.procs"));
                for pid in procs
                    .unwrap_or_default()
                    .lines()
                    .filter_map(|l| l.parse().ok())
                {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                }
            }
        }
    }
}

/// Our subtree in every hierarchy.
pub fn cgroups(root: &str) -> Vec<PathBuf> {
    let base = Path::new("/sys/fs/cgroup");
    let mounts = fs::read_dir(base)
        .expect("cgroups")
        .map(|e| e.expect("lists").path());
    let all = mounts
        .chain([base.to_owned()])
        .map(|mount| mount.join(root));
    all.filter(|path| path.exists()).collect()
}

pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

pub fn exited(code: i32) -> Option<ExitStatus> {
    Some(ExitStatus::Exited(code))
}

pub async fn until_output(host: &Host, text: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(host.sandbox().join("stdout"))
        .unwrap_or_default()
        .contains(text)
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "no {text:?} in stdout"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
