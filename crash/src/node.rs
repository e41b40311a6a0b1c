//! One node: directories and cgroups of its own, and the real `longshore agent` on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use failpoint::Point;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::plugin;

/// Counts nodes of this process: each has cgroups of its own.
static NODES: AtomicU32 = AtomicU32::new(0);

/// Each node has an address of its own for it.
const PORT: u16 = 5051;

/// For a program that is asked to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at whether a process is there that is not ours to wait for.
const POLL: Duration = Duration::from_millis(20);

/// Which of the two processes, where an agent is upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Agent,
    Successor,
}

/// At which point, the how manieth that comes there dies, and of which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    pub at: Point,
    pub nth: usize,
    pub of: Role,
}

/// What happens on a node.
#[derive(Debug)]
pub enum Event {
    /// Whichever process it was. `None`: another one than we have started, and nobody knows how.
    AgentEnded(Option<ExitStatus>),
    /// The agent has taken, or not, what it was told of a drain.
    DrainAnswered { taken: bool },
}

/// What has become of an upgrade that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    Underway,
    Done,
    Kept(String),
}

pub struct Node {
    directory: tempfile::TempDir,
    cgroups_root: String,
    arguments: Vec<String>,
    /// Where the agent listens: its own address, for executors come back to it.
    address: String,
    agent: Option<Child>,
    /// How many upgrades were tried before the one of this life.
    upgrading: Option<u64>,
    /// `longshore drain`.
    drain: Option<Child>,
    lives: usize,
}

/// Where nodes have their directories: on a disk, if there is one.
pub fn place() -> PathBuf {
    let lasting = Path::new("/var/tmp");
    match lasting.is_dir() {
        true => lasting.to_owned(),
        false => std::env::temp_dir(),
    }
}

impl Node {
    pub fn new() -> anyhow::Result<Node> {
        let directory = tempfile::Builder::new()
            .prefix("longshore-crash-")
            .tempdir_in(place())
            .context("cannot make a directory for a node")?;
        // Tasks run as other users and must reach their sandboxes.
        for (name, mode) in [(".", 0o755), ("marks", 0o777)] {
            let path = directory.path().join(name);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let place = directory.path().display();
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let [high, low] = (number as u16).to_be_bytes();
        let ip = format!("127.{}.{high}.{low}", 64 + std::process::id() % 128);
        let cgroups_root = format!("longshore-crash-{}-{number}", std::process::id());
        let mut arguments = vec![
            format!("--ip={ip}"),
            format!("--port={PORT}"),
            "--hostname=node".to_owned(),
            format!("--work_dir={place}/work"),
            format!("--runtime_dir={place}/run"),
            format!("--cgroups_root={cgroups_root}"),
            format!("--bridge_name=crash{number}"),
            format!("--bridge_subnet=10.{}.{low}.0/24", 64 + high),
            "--resources=cpus:8;mem:4096;disk:1024".to_owned(),
            "--registration_backoff_factor=0ns".to_owned(),
            "--gc_delay=0secs".to_owned(),
            "--disk_watch_interval=1secs".to_owned(),
            "--enforce_container_disk_quota".to_owned(),
            "--container_disk_watch_interval=300ms".to_owned(),
            "--executor_reregistration_timeout=15secs".to_owned(),
            "--max_stdout_size=64KB".to_owned(),
            "--logrotate_stdout_options=rotate 9".to_owned(),
        ];
        arguments.extend(plugin::describe(directory.path())?);
        Ok(Node {
            directory,
            cgroups_root,
            arguments,
            address: format!("{ip}:{PORT}"),
            agent: None,
            upgrading: None,
            drain: None,
            lives: 0,
        })
    }

    /// Starts the next agent, which dies where it is told.
    pub fn start(
        &mut self,
        master: std::net::SocketAddr,
        death: Option<Death>,
    ) -> anyhow::Result<()> {
        self.lives += 1;
        (self.upgrading, self.drain) = (None, None);
        self.await_address();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("agent.log"))?;
        let mut command = Command::new(longshore()?);
        command
            .arg("agent")
            .args(&self.arguments)
            .arg(format!("--master={master}"))
            .env("NO_COLOR", "1")
            .env(
                failpoint::REACHED,
                self.reached_file(self.lives, Role::Agent),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        if let Some(Death { at, nth, of }) = death {
            let variable = match of {
                Role::Agent => failpoint::DIE_AT,
                Role::Successor => failpoint::SUCCESSOR_DIES_AT,
            };
            command.env(variable, format!("{}:{nth}", at.name()));
        }
        self.agent = Some(command.spawn().context("cannot start the agent")?);
        Ok(())
    }

    /// A process that the agent was just about to make into a container's has its socket until it runs its
    /// own program. Whoever restarts agents waits longer than that.
    fn await_address(&self) {
        for _ in 0..500 {
            if std::net::TcpListener::bind(&self.address).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the next thing that happens. Cancel safe.
    pub async fn event(&mut self) -> anyhow::Result<Event> {
        let status = tokio::select! {
            status = ended(self.agent.as_mut()) => status?,
            status = ended(self.drain.as_mut()) => {
                self.drain = None;
                return Ok(Event::DrainAnswered { taken: status?.success() });
            }
        };
        if self.upgrading.is_none() {
            return Ok(Event::AgentEnded(Some(status)));
        }
        while !self.agents().is_empty() {
            tokio::time::sleep(POLL).await;
        }
        Ok(Event::AgentEnded(
            Some(status).filter(|status| !status.success()),
        ))
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if self.upgrading.is_some() {
            self.kill_agents();
        }
        if let Some(agent) = &mut self.agent {
            agent.kill().await?;
        }
        while self.upgrading.is_some() && !self.agents().is_empty() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Asks it to go on as another process.
    pub fn upgrade(&mut self) -> anyhow::Result<()> {
        self.upgrading = Some(self.told_of_upgrades()?.0);
        self.signal(Signal::SIGHUP)
    }

    /// How far that is; `None` when nobody has asked for it in this life.
    pub fn upgraded(&mut self) -> anyhow::Result<Option<Upgrade>> {
        let Some(before) = self.upgrading else {
            return Ok(None);
        };
        let (tried, told) = self.told_of_upgrades()?;
        // The process that goes has more to do than the one that says that it has come.
        let has_gone = (self.agent.as_mut()).is_none_or(|it| matches!(it.try_wait(), Ok(Some(_))));
        Ok(Some(match told {
            Upgrade::Done if tried > before && !has_gone => Upgrade::Underway,
            told if tried > before => told,
            _ => Upgrade::Underway,
        }))
    }

    fn told_of_upgrades(&self) -> anyhow::Result<(u64, Upgrade)> {
        let text = fs::read_to_string(self.path("run/upgrade"))?;
        let told: serde_json::Value = serde_json::from_str(&text)?;
        let state = match told["state"].as_str() {
            Some("upgraded") => Upgrade::Done,
            Some("kept") => Upgrade::Kept(told["why"].to_string()),
            _ => Upgrade::Underway,
        };
        Ok((told["tried"].as_u64().unwrap_or_default(), state))
    }

    /// All that are there, by what they were told.
    fn agents(&self) -> Vec<Pid> {
        let place = format!("--work_dir={}/work", self.directory.path().display());
        let is_agent = |process: &Path| {
            let text = fs::read(process.join("cmdline")).unwrap_or_default();
            let mut words = text.split(|byte| *byte == 0);
            words.nth(1) == Some(b"agent") && words.any(|word| word == place.as_bytes())
        };
        let processes = directories(Path::new("/proc"), 1).filter(|it| is_agent(it));
        let pid = |process: PathBuf| process.file_name()?.to_str()?.parse().ok();
        processes.filter_map(pid).map(Pid::from_raw).collect()
    }

    fn kill_agents(&self) {
        for agent in self.agents() {
            let _ = kill(agent, Signal::SIGKILL);
        }
    }

    /// Has it kill its tasks and take no new ones, or take tasks again.
    pub fn drain(&mut self, how: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(longshore()?);
        command
            .args(["drain", "--agent", &self.address])
            .args(how)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        self.drain = Some(command.spawn().context("cannot run longshore drain")?);
        Ok(())
    }

    /// Asks it to end, and leave its tasks.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if let Some(pid) = self.agent.as_ref().and_then(Child::id) {
            kill(Pid::from_raw(pid.cast_signed()), signal)?;
        }
        Ok(())
    }

    /// The same, and waits for that.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.terminate()?;
        let Some(agent) = &mut self.agent else {
            return Ok(());
        };
        let ended = tokio::time::timeout(PATIENCE, agent.wait()).await;
        let status = ended.context("the agent does not end when asked to")??;
        ensure!(
            status.success() || status.signal() == Some(Signal::SIGTERM as i32),
            "the agent ended with {status} when asked to end"
        );
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How often a task has begun to run.
    pub fn runs(&self, task: &str) -> usize {
        let mark = fs::read_to_string(self.path("marks").join(task));
        mark.map_or(0, |text| text.lines().count())
    }

    fn reached_file(&self, life: usize, of: Role) -> PathBuf {
        self.path(&match of {
            Role::Agent => format!("points.{life}"),
            Role::Successor => format!("points.{life}{}", failpoint::OF_SUCCESSOR),
        })
    }

    /// How often each point was reached in a life, counted from 1.
    pub fn reached(&self, life: usize, of: Role) -> BTreeMap<Point, usize> {
        let text = fs::read_to_string(self.reached_file(life, of)).unwrap_or_default();
        let mut reached = BTreeMap::new();
        for point in text.lines().filter_map(Point::named) {
            *reached.entry(point).or_default() += 1;
        }
        reached
    }

    /// What is left of executors, in sandboxes and in what is written down.
    pub fn executors_kept(&self) -> Vec<PathBuf> {
        let of = |below: &str| {
            directories(&self.path(below), 5)
                .filter(|path| path.parent().is_some_and(|it| it.ends_with("executors")))
        };
        of("work/slaves").chain(of("work/meta/slaves")).collect()
    }

    /// Its newest sandbox.
    pub fn sandbox(&self, executor: &str) -> Option<PathBuf> {
        let executor = Path::new("executors").join(executor).join("runs/latest");
        let latest = directories(&self.path("work/slaves"), 3)
            .map(|framework| framework.join(&executor))
            .find(|latest| latest.exists())?;
        fs::canonicalize(latest).ok()
    }

    /// Whether it is written down which process a task is.
    pub fn has_process_of(&self, task: &str) -> bool {
        let sandbox = self.sandbox(task);
        let container = sandbox.as_deref().and_then(Path::file_name);
        let records = self.path("run/containers");
        container.is_some_and(|container| records.join(container).join("pid").exists())
    }

    /// Names of cgroups of containers.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = directories(top, 1).chain([top.to_owned()]);
        let roots = hierarchies.map(|it| it.join(&self.cgroups_root));
        roots.flat_map(|root| directories(&root, 1)).collect()
    }

    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    pub fn cgroups_root(&self) -> &str {
        &self.cgroups_root
    }

    /// Leaves the directory for somebody to look at.
    pub fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_agents();
        self.agent = None;
        // Only after a trial that has failed is there anything.
        for _ in 0..100 {
            let mut cgroups = self.cgroups();
            for cgroup in &cgroups {
                let pids = fs::read_to_string(cgroup.join("cgroup.procs"));
                let leaf = fs::read_to_string(cgroup.join("leaf/cgroup.procs"));
                for pid in [pids, leaf].into_iter().flatten() {
                    for pid in pid.lines().filter_map(|pid| pid.parse().ok()) {
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    }
                }
                let _ = fs::remove_dir(cgroup.join("leaf"));
                let _ = fs::remove_dir(cgroup);
            }
            cgroups.retain(|cgroup| cgroup.exists());
            if cgroups.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let top = Path::new("/sys/fs/cgroup");
        for hierarchy in directories(top, 1).chain([top.to_owned()]) {
            let _ = fs::remove_dir(hierarchy.join(&self.cgroups_root));
        }
    }
}

async fn ended(process: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match process {
        Some(process) => process.wait().await,
        None => std::future::pending().await,
    }
}

/// Directories below one, at most so deep.
pub fn directories(top: &Path, depth: usize) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(top).into_iter().flatten().flatten();
    let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let inner: Vec<_> = inner.map(|entry| entry.path()).collect();
    Box::new(inner.into_iter().flat_map(move |path| {
        let below = match depth {
            0 | 1 => Box::new(std::iter::empty()),
            _ => directories(&path, depth - 1),
        };
        std::iter::once(path).chain(below)
    }))
}

/// The program under test: `LONGSHORE_BIN`, or the one that was built beside this one.
pub fn longshore() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("LONGSHORE_BIN") {
        return Ok(named.into());
    }
    built("longshore")
}

/// What the same cargo built.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let mut above = ours.ancestors().skip(1).take(2);
    let built = above.find_map(|it| Some(it.join(name)).filter(|it| it.is_file()));
    built.with_context(|| {
        format!(
            "there is no {name} beside this program: run `cargo build -p longshore -p tests --bins \
             --examples`"
        )
    })
}
