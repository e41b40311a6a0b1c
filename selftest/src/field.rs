//! Where an attack takes place: a containerizer as the node has it, and directories of its own.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use containerizer::{Config, Containerizer, IDS_OF_EACH as EACH, Stdio, Stopwatch, Then};
use isolators::seccomp::Profile;
use isolators::{
    CapabilitySets, Command, ContainerId, Device, IdRange, Ipc, Limit, PidNamespace, Request,
    Seccomp, Share, Swap, User, mountinfo,
};
use oci_spec::runtime::Spec;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::attack::Walls;
use crate::bundle::Bundle;
use crate::running::{Ended, Launched, Outcome, Running};
use crate::toolbox::Toolbox;
use crate::trouble::{Trouble, cannot, chain};

/// The live configuration: what an agent of this node launches containers with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directories of the battery's own are made in it.
    pub runtime_dir: PathBuf,
    pub cgroups_hierarchy: PathBuf,
    /// Subtrees of the battery's own lie beside it.
    pub cgroups_root: String,
    pub seccomp: Profile,
    pub capabilities: CapabilitySets,
    /// Processes and threads of a task, at most.
    pub pids: Option<u64>,
    pub swap: Swap,
    /// That every task may use.
    pub devices: Vec<Device>,
    /// Tasks have no more processor time than they ask for.
    pub cgroups_enable_cfs: bool,
    /// Where tasks have user namespaces of their own: the host's ids for all of them.
    pub user_namespaces: Option<IdRange>,
    pub toolbox: Toolbox,
    /// The `longshore` program, whose `oci` is an OCI runtime.
    pub program: PathBuf,
}

/// One attack's own.
pub struct Field {
    settings: Settings,
    runtime: Runtime,
    containerizer: Containerizer,
    config: Config,
    state: TempDir,
    directory: TempDir,
    containers: Cell<u32>,
}

/// How long a hostile program may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Fields that this process has had.
static FIELDS: AtomicU32 = AtomicU32::new(0);

impl Field {
    pub fn open(settings: &Settings) -> Result<Self, Trouble> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(cannot("start the async runtime"))?;
        let state = directory(&settings.runtime_dir)?;
        let directory = directory(Path::new("/var/tmp"))?;
        let number = FIELDS.fetch_add(1, Ordering::Relaxed);
        let config = Config {
            runtime_dir: state.path().to_owned(),
            cgroups_hierarchy: settings.cgroups_hierarchy.clone(),
            cgroups_root: format!(
                "{}-selftest-{}-{number}",
                settings.cgroups_root,
                std::process::id()
            ),
            cgroups_enable_cfs: settings.cgroups_enable_cfs,
            cgroups_destroy_timeout: Duration::from_secs(30),
            hidden: Vec::new(),
            seccomp: settings.seccomp.clone(),
        };
        let containerizer = runtime.block_on(async { Containerizer::open(config.clone()) })?;
        let field = Self {
            settings: settings.clone(),
            runtime,
            containerizer,
            config,
            state,
            directory,
            containers: Cell::new(0),
        };
        match field.check_user_namespaces() {
            Ok(()) => Ok(field),
            // The first failure is what must be heard.
            Err(error) => {
                let _ = field.clear();
                Err(error)
            }
        }
    }

    /// Where none can be launched, every attack would seem to fail.
    fn check_user_namespaces(&self) -> Result<(), Trouble> {
        if self.settings.user_namespaces.is_none() {
            return Ok(());
        }
        let mut harmless = Bundle::image(self, Walls::Up)?;
        harmless.bind(&self.make_dir("harmless")?, "/vol", &["rbind", "rw"]);
        harmless.script(&format!(
            "read -r _ _ ids </proc/self/uid_map
            [ $ids = {EACH} ] && echo >/vol/made && echo >/made && echo '! wrote'"
        ));
        let wrote = self.run(&harmless)?.ended()?.reached()?;
        match wrote.is_empty() {
            false => Ok(()),
            true => Err(Trouble::NotLaunched(
                "a container with a user namespace cannot write to its own files".to_owned(),
            )),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// For root file systems, volumes and canaries. Everybody may enter it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Another directory in it.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf, Trouble> {
        let path = self.directory().join(name);
        fs::create_dir_all(&path).map_err(cannot(format!("make {}", path.display())))?;
        Ok(path)
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Of the container that was named last. The agent gives its tasks the first that are free, so these
    /// are the last.
    fn ids(&self) -> Option<IdRange> {
        let pool = self.settings.user_namespaces?;
        let whole = pool.count / EACH;
        let from_end = self.containers.get() % whole.max(1) + 1;
        let first = pool.first + whole.saturating_sub(from_end) * EACH;
        Some(IdRange { first, count: EACH })
    }

    pub fn next_id(&self) -> String {
        let number = self.containers.get() + 1;
        self.containers.set(number);
        format!("c{number}")
    }

    /// The spec of a task that runs a shell script in a sandbox.
    pub fn plan(&self, script: &str) -> Result<Value, Trouble> {
        let id = self.next_id();
        let sandbox = self.make_dir(&format!("sandbox-{id}"))?;
        let request = Request {
            user_namespace: self.ids(),
            root: None,
            sysctls: std::collections::BTreeMap::new(),
            stop_signal: None,
            cpuset: Default::default(),
            priority: Default::default(),
            id: container_id(&id)?,
            command: Command::Exec {
                path: "/bin/sh".to_owned(),
                argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            },
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
            user: User::resolve("root")?,
            sandbox,
            hostname: None,
            cpus: Share {
                request: 1.0,
                limit: Limit::Default,
            },
            memory: Share {
                request: 256 << 20,
                limit: Limit::Default,
            },
            swap: self.settings.swap,
            pids: self.settings.pids,
            devices: self.settings.devices.clone(),
            ipc: Ipc::OwnNamespace,
            pid_namespace: PidNamespace::Own,
            terminal: None,
            volumes: Vec::new(),
            network: isolators::network::Network::Hosts,
            rlimits: Vec::new(),
            capabilities: self.settings.capabilities.clone(),
            seccomp: Seccomp::Default,
        };
        Ok(serde_json::to_value(self.containerizer.plan(&request)?)?)
    }

    /// Launches it and waits for its end.
    pub fn run(&self, bundle: &Bundle) -> Result<Outcome, Trouble> {
        match self.launch(bundle)? {
            Launched::Refused(why) => Ok(Outcome::Refused(why)),
            Launched::Running(running) => running.wait().map(Outcome::Ended),
        }
    }

    pub fn launch(&self, bundle: &Bundle) -> Result<Launched<'_>, Trouble> {
        let spec = match serde_json::from_value::<Spec>(bundle.spec.clone()) {
            Ok(spec) => spec,
            // As the runtime refuses it, too: nothing else reads specs.
            Err(error) => return Ok(Launched::Refused(error.to_string())),
        };
        let id = container_id(&bundle.id)?;
        bundle.hand_over()?;
        let output = self.output()?;
        let stdio = stdio(&output)?;
        let launched = self.runtime.block_on(async {
            let watch = Stopwatch::start();
            let launch =
                self.containerizer
                    .launch_spec(&id, spec, stdio, Then::Supervise {}, watch);
            tokio::time::timeout(PATIENCE, launch).await
        });
        match launched {
            Ok(Ok(container)) => Ok(Launched::Running(Running::new(self, container, output))),
            Ok(Err(error)) => Ok(Launched::Refused(chain(&error))),
            Err(_elapsed) => Err(Trouble::Late(PATIENCE.as_secs())),
        }
    }

    /// A new file for the output of a program.
    pub fn output(&self) -> Result<PathBuf, Trouble> {
        let path = self.directory().join(format!("output-{}", self.next_id()));
        File::create(&path).map_err(cannot("make a file for output"))?;
        Ok(path)
    }

    /// Errors: something is left on the host.
    pub fn clear(self) -> Result<(), Trouble> {
        self.containerizer.remove_cgroups_root();
        let mut left: Vec<String> = cgroups(&self.config)
            .into_iter()
            .map(|path| format!("cgroup {}", path.display()))
            .collect();
        let mounts = mountinfo::own().map_err(cannot("list mounts"))?;
        let ours = [self.directory.path(), self.state.path()];
        let points = mounts.into_iter().map(|mount| mount.point);
        let ours = points.filter(|point| ours.iter().any(|ours| point.starts_with(ours)));
        left.extend(ours.map(|point| format!("mount {}", point.display())));
        let directories = [self.directory, self.state];
        for directory in directories {
            let path = directory.path().to_owned();
            if let Err(error) = directory.close() {
                left.push(format!("{} ({error})", path.display()));
            }
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(Trouble::Left(left.join(", "))),
        }
    }
}

/// What a failed attack leaves is found here, too.
fn cgroups(config: &Config) -> Vec<PathBuf> {
    let top = &config.cgroups_hierarchy;
    let hierarchies = fs::read_dir(top).into_iter().flatten().flatten();
    let places = hierarchies.map(|entry| entry.path()).chain([top.clone()]);
    places
        .map(|place| place.join(&config.cgroups_root))
        .filter(|path| path.exists())
        .collect()
}

fn directory(parent: &Path) -> Result<TempDir, Trouble> {
    let attempt = || format!("make a directory in {}", parent.display());
    fs::create_dir_all(parent)
        .and_then(|()| {
            tempfile::Builder::new()
                .prefix("longshore-selftest-")
                .tempdir_in(parent)
        })
        .and_then(|made| {
            fs::set_permissions(made.path(), PermissionsExt::from_mode(0o755))?;
            Ok(made)
        })
        .map_err(cannot(attempt()))
}

fn container_id(id: &str) -> Result<ContainerId, Trouble> {
    ContainerId::try_from(id.to_owned())
        .map_err(io::Error::other)
        .map_err(cannot("name a container"))
}

pub fn stdio(output: &Path) -> Result<Stdio, Trouble> {
    let open = || {
        let file = File::options().append(true).open(output);
        file.map_err(cannot("open a file for output"))
    };
    Ok(Stdio {
        stdin: None,
        stdout: open()?.into(),
        stderr: open()?.into(),
    })
}

pub fn ended(output: &Path, status: Option<containerizer::ExitStatus>) -> Result<Ended, Trouble> {
    let output = fs::read(output).map_err(cannot("read a program's output"))?;
    Ok(Ended { status, output })
}
