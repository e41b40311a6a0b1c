//! One node: directories and cgroups of its own, and the real `longshore agent` on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use failpoint::Point;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// Counts nodes of this process: each has cgroups of its own.
static NODES: AtomicU32 = AtomicU32::new(0);

/// For a program that is asked to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// At which point, and the how manieth that comes there dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    pub at: Point,
    pub nth: usize,
}

pub struct Node {
    directory: tempfile::TempDir,
    cgroups_root: String,
    arguments: Vec<String>,
    agent: Option<Child>,
    lives: usize,
}

impl Node {
    pub fn new(master: std::net::SocketAddr) -> anyhow::Result<Node> {
        let directory = tempfile::Builder::new()
            .prefix("longshore-crash-")
            .tempdir_in("/var/tmp")
            .context("cannot make a directory for a node")?;
        // Tasks run as other users and must reach their sandboxes.
        for (name, mode) in [(".", 0o755), ("marks", 0o777)] {
            let path = directory.path().join(name);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let place = directory.path().display();
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let cgroups_root = format!("longshore-crash-{}-{number}", std::process::id());
        let arguments = vec![
            format!("--master={master}"),
            "--port=0".to_owned(),
            "--hostname=node".to_owned(),
            format!("--work_dir={place}/work"),
            format!("--runtime_dir={place}/run"),
            format!("--cgroups_root={cgroups_root}"),
            "--resources=cpus:8;mem:4096;disk:1024".to_owned(),
            "--registration_backoff_factor=0ns".to_owned(),
            "--gc_delay=0secs".to_owned(),
            "--disk_watch_interval=1secs".to_owned(),
            "--max_stdout_size=64KB".to_owned(),
            "--logrotate_stdout_options=rotate 9".to_owned(),
        ];
        Ok(Node {
            directory,
            cgroups_root,
            arguments,
            agent: None,
            lives: 0,
        })
    }

    /// Starts the next agent, which dies where it is told.
    pub fn start(&mut self, death: Option<Death>) -> anyhow::Result<()> {
        self.lives += 1;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("agent.log"))?;
        let mut command = Command::new(longshore()?);
        command
            .arg("agent")
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            .env(failpoint::REACHED, self.reached_file(self.lives))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        if let Some(Death { at, nth }) = death {
            command.env(failpoint::DIE_AT, format!("{}:{nth}", at.name()));
        }
        self.agent = Some(command.spawn().context("cannot start the agent")?);
        Ok(())
    }

    /// Waits for the end of the agent. Cancel safe.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        match &mut self.agent {
            Some(agent) => Ok(agent.wait().await?),
            None => std::future::pending().await,
        }
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(agent) = &mut self.agent {
            agent.kill().await?;
        }
        Ok(())
    }

    /// Asks it to end, and leave its tasks.
    pub fn terminate(&self) -> anyhow::Result<()> {
        if let Some(pid) = self.agent.as_ref().and_then(Child::id) {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
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

    fn reached_file(&self, life: usize) -> PathBuf {
        self.path(&format!("points.{life}"))
    }

    /// How often each point was reached in a life, counted from 1.
    pub fn reached(&self, life: usize) -> BTreeMap<Point, usize> {
        let text = fs::read_to_string(self.reached_file(life)).unwrap_or_default();
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
    pub fn sandbox(&self, task: &str) -> Option<PathBuf> {
        let executor = Path::new("executors").join(task).join("runs/latest");
        let latest = directories(&self.path("work/slaves"), 3)
            .map(|framework| framework.join(&executor))
            .find(|latest| latest.exists())?;
        fs::canonicalize(latest).ok()
    }

    /// Names of cgroups of containers.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = directories(top, 1).chain([top.to_owned()]);
        let roots = hierarchies.map(|it| it.join(&self.cgroups_root));
        roots.flat_map(|root| directories(&root, 1)).collect()
    }

    /// `longshore audit`, of which nothing may come.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let output = Command::new(longshore()?)
            .args(["audit", "--json"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("the audit says {text} {:?}", output.stderr))?;
        let differences = said["differences"].as_array().cloned().unwrap_or_default();
        // Ports of this host are those of others, too.
        let differences: Vec<_> = (differences.iter())
            .filter(|difference| difference["kind"] != "port")
            .collect();
        ensure!(differences.is_empty(), "an audit finds {differences:#?}");
        Ok(())
    }

    /// Of a node whose agent has been stopped and that has no task.
    pub fn nothing_left(&self) -> anyhow::Result<()> {
        let root = self.cgroups_root.as_str();
        let top = Path::new("/sys/fs/cgroup");
        let mut hierarchies = directories(top, 1).chain([top.to_owned()]);
        if let Some(left) = hierarchies.find(|it| it.join(root).exists()) {
            bail!("{root} is left in {}", left.display());
        }
        let place = self.directory.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        if let Some(mount) = mounts.lines().find(|line| line.contains(&place)) {
            bail!("a mount is left: {mount}");
        }
        for process in directories(Path::new("/proc"), 1) {
            let text = fs::read(process.join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace('\0', " ");
            let at = fs::read_link(process.join("cwd")).unwrap_or_default();
            if text.contains(&place) || at.starts_with(&place) {
                bail!("process {} is left: {text}", process.display());
            }
        }
        let records = directories(&self.path("run/containers"), 1).count();
        ensure!(records == 0, "{records} records of containers are left");
        Ok(())
    }

    /// Leaves the directory for somebody to look at.
    pub fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
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

/// Directories below one, at most so deep.
fn directories(top: &Path, depth: usize) -> Box<dyn Iterator<Item = PathBuf>> {
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
    let ours = std::env::current_exe()?;
    let mut above = ours.ancestors().skip(1).take(2);
    let built = above.find_map(|it| Some(it.join("longshore")).filter(|it| it.is_file()));
    built.context("there is no longshore beside this program: run `cargo build --bin longshore`")
}
