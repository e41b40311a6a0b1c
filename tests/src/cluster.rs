//! A master (mostly with the scheduler in it) and agents, each a process of its own on loopback.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::Signal;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::http::{Service, free_port};
use crate::program::{Program, longshore};
use crate::{eventually, host};

/// Counts agents of this process, so that no two offer the same ports or share cgroups.
static AGENTS: AtomicU16 = AtomicU16::new(0);

#[derive(Debug)]
pub struct Cluster {
    // Before the directory, so that agents are gone when it is removed.
    pub agents: Vec<Agent>,
    master: Option<Program>,
    master_flags: Vec<String>,
    scheduler: Scheduler,
    pub api: Service,
    pub marathon: Service,
    directory: tempfile::TempDir,
    /// What dies with the kernel, where that is apart.
    runtime: Option<tempfile::TempDir>,
}

#[derive(Debug)]
enum Scheduler {
    InMaster,
    Apart(Option<Program>),
}

#[derive(Debug)]
pub struct Agent {
    program: Option<Program>,
    pub api: Service,
    /// The host name that it reports.
    pub name: String,
    pub cgroups_root: String,
    /// First and last port that it offers.
    pub ports: (u16, u16),
    directory: PathBuf,
    arguments: Vec<String>,
    /// The program that it is started from.
    pub executable: PathBuf,
}

impl Cluster {
    /// Up, with that many agents registered.
    pub async fn start(agents: u16) -> Self {
        Self::new(&[], Scheduler::InMaster).up(agents).await
    }

    /// The same, with these flags of the master.
    pub async fn start_with(master_flags: &[&str], agents: u16) -> Self {
        Self::new(master_flags, Scheduler::InMaster)
            .up(agents)
            .await
    }

    /// The same, with the scheduler in a process of its own.
    pub async fn start_with_scheduler_apart(agents: u16) -> Self {
        Self::new(&[], Scheduler::Apart(None)).up(agents).await
    }

    /// With one agent that has room for thousands of small tasks. All that lasts is below `directory`, and
    /// what dies with the kernel on a tmpfs, as on most hosts.
    pub async fn start_roomy(directory: &str) -> Self {
        let mut cluster = Self::below(directory, &[], Scheduler::InMaster);
        let runtime = place_below("/dev/shm");
        cluster.start_master().await;
        let mut agent = Agent::new(0, &cluster.api, cluster.directory.path());
        agent.set(
            "resources",
            "cpus:64;mem:65536;disk:65536;ports:[31990-31999]",
        );
        agent.set("runtime_dir", &runtime.path().display().to_string());
        agent.start().await;
        cluster.agents.push(agent);
        cluster.runtime = Some(runtime);
        cluster.registered(1).await;
        cluster
    }

    /// Has the only agent, which does not run, keep what dies with the kernel on a tmpfs, as on most hosts: there.
    pub fn keep_in_memory(&mut self) -> PathBuf {
        // Where there is none, as on an emulated machine, all is in memory.
        let mut below = ["/dev/shm", "/var/tmp"].into_iter();
        let below = below.find(|it| Path::new(it).exists());
        let runtime = place_below(below.unwrap());
        let place = runtime.path().to_owned();
        self.agents[0].set("runtime_dir", &place.display().to_string());
        self.runtime = Some(runtime);
        place
    }

    fn new(master_flags: &[&str], scheduler: Scheduler) -> Self {
        // Not below /tmp: tests mount volumes there, which would hide the sandboxes.
        Self::below("/var/tmp", master_flags, scheduler)
    }

    fn below(directory: &str, master_flags: &[&str], scheduler: Scheduler) -> Self {
        let directory = place_below(directory);
        Self {
            agents: Vec::new(),
            master: None,
            master_flags: master_flags.iter().map(|&flag| flag.to_owned()).collect(),
            scheduler,
            api: Service::at(free_port()),
            marathon: Service::at(free_port()),
            directory,
            runtime: None,
        }
    }

    async fn up(mut self, agents: u16) -> Self {
        self.start_master().await;
        if let Scheduler::Apart(_) = self.scheduler {
            self.start_scheduler().await;
        }
        for number in 0..agents {
            let mut agent = Agent::new(number, &self.api, self.directory.path());
            agent.start().await;
            self.agents.push(agent);
        }
        self.registered(agents).await;
        self
    }

    pub async fn start_master(&mut self) {
        let work_dir = self.directory.path().join("master");
        let mut arguments = vec![
            "master".to_owned(),
            format!("--port={}", self.api.port()),
            format!("--work_dir={}", work_dir.display()),
        ];
        arguments.extend_from_slice(&self.master_flags);
        arguments.push(match self.scheduler {
            Scheduler::InMaster => format!("--http_port={}", self.marathon.port()),
            Scheduler::Apart(_) => "--no-scheduler".to_owned(),
        });
        self.master = Some(Program::start("master", &arguments, self.directory.path()));
        self.api.ready("/health").await;
        if let Scheduler::InMaster = self.scheduler {
            self.marathon.ready("/ping").await;
        }
    }

    /// The one that is a process of its own from then on.
    pub async fn start_scheduler(&mut self) {
        let work_dir = self.directory.path().join("scheduler");
        let arguments = [
            "scheduler".to_owned(),
            format!("--master={}", self.api.address),
            format!("--http_port={}", self.marathon.port()),
            format!("--work_dir={}", work_dir.display()),
        ];
        let program = Program::start("scheduler", &arguments, self.directory.path());
        self.scheduler = Scheduler::Apart(Some(program));
        self.marathon.ready("/ping").await;
    }

    /// As `kill -9` does to one that is a process of its own.
    pub fn kill_scheduler(&mut self) {
        self.scheduler = Scheduler::Apart(None);
    }

    /// As `kill -9` does.
    pub fn kill_master(&mut self) {
        self.master = None;
    }

    /// Process ids of the master, the agents and a scheduler of its own, as far as they run.
    pub fn programs(&self) -> impl Iterator<Item = u32> {
        let agents = self
            .agents
            .iter()
            .filter_map(|agent| agent.program.as_ref());
        let scheduler = match &self.scheduler {
            Scheduler::InMaster => None,
            Scheduler::Apart(scheduler) => scheduler.as_ref(),
        };
        let programs = self.master.iter().chain(scheduler).chain(agents);
        programs.map(Program::pid)
    }

    /// Until this many agents are active at the master.
    pub async fn registered(&self, agents: u16) {
        eventually(&format!("{agents} agents are registered"), || async {
            let state = self.api.json("/slaves").await;
            let slaves = state["slaves"].as_array().cloned().unwrap_or_default();
            let active = slaves
                .iter()
                .filter(|slave| slave["active"] == true)
                .count();
            match active == usize::from(agents) {
                true => Ok(()),
                false => Err(format!("{active} are, of {state:#}")),
            }
        })
        .await;
    }
}

impl Agent {
    fn new(number: u16, master: &Service, below: &Path) -> Self {
        let unique = AGENTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("agent-{number}");
        let directory = below.join(&name);
        std::fs::create_dir(&directory).unwrap();
        open_to_all(&directory);
        let api = Service::at(free_port());
        let first = 31_000 + unique * 20;
        let ports = (first, first + 19);
        let cgroups_root = format!("longshore-test-{}-{unique}", std::process::id());
        let arguments = vec![
            "agent".to_owned(),
            format!("--master={}", master.address),
            format!("--port={}", api.port()),
            format!("--work_dir={}", directory.join("work").display()),
            format!("--runtime_dir={}", directory.join("run").display()),
            format!("--cgroups_root={cgroups_root}"),
            format!(
                "--resources=cpus:2;mem:4096;disk:1024;ports:[{first}-{}]",
                ports.1
            ),
            format!("--attributes=number:{number}"),
            format!("--hostname={name}"),
            // As long as it may be: emulated machines are slow.
            "--executor_reregistration_timeout=15secs".to_owned(),
        ];
        Self {
            program: None,
            api,
            name,
            cgroups_root,
            ports,
            directory,
            arguments,
            executable: longshore(),
        }
    }

    pub async fn start(&mut self) {
        self.execute();
        self.api.ready("/health").await;
    }

    /// The same, without a look at what becomes of it.
    pub fn execute(&mut self) {
        let (name, directory) = ("agent", &self.directory);
        let started = Program::start_from(&self.executable, name, &self.arguments, directory);
        self.program = Some(started);
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.program.as_ref().map(Program::pid)
    }

    fn set(&mut self, flag: &str, value: &str) {
        let begin = format!("--{flag}=");
        self.arguments.retain(|it| !it.starts_with(&begin));
        self.arguments.push(begin + value);
    }

    /// Stops the agent itself with SIGSTOP, say, and nothing of its containers.
    pub fn signal(&self, signal: Signal) {
        self.program().signal(signal);
    }

    /// The one that was started; another one may have replaced it since.
    pub fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }

    pub fn program_mut(&mut self) -> &mut Program {
        self.program.as_mut().unwrap()
    }

    /// As `kill -9` does: its containers stay.
    pub fn kill(&mut self) {
        self.program = None;
        for process in self.namesakes() {
            process.kill();
        }
    }

    /// All processes with its command line, children that are to replace it included.
    pub fn namesakes(&self) -> Vec<Namesake> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
        let named = pids.filter_map(|pid| Namesake::of(pid, &self.arguments));
        named.collect()
    }

    /// Its command line, from the subcommand on.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// From its next start on.
    pub fn add_argument(&mut self, argument: String) {
        self.arguments.push(argument);
    }

    /// The same in the place of what was said of the flag before.
    pub fn set_flag(&mut self, flag: &str, value: &str) {
        let prefix = format!("--{flag}=");
        self.arguments.retain(|it| !it.starts_with(&prefix));
        self.add_argument(prefix + value);
    }

    /// Where its `work` and `run` directories are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Host pids of everything in its containers.
    pub fn processes(&self) -> std::collections::BTreeSet<i32> {
        host::processes(&host::cgroups(&self.cgroups_root))
    }

    /// Fails while a cgroup of a container, a process in one or a mount is there.
    pub fn nothing_left(&self) -> Result<(), String> {
        host::nothing_left(&self.cgroups_root, &self.directory)
    }
}

/// A process that is the agent, or was started to be.
#[derive(Debug)]
pub struct Namesake {
    pub pid: i32,
    process: OwnedFd,
}

impl Namesake {
    fn of(pid: i32, arguments: &[String]) -> Option<Self> {
        let process = pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Looked at while the descriptor says whose the number is.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let tail: String = arguments.iter().map(|it| format!("{it}\0")).collect();
        line.ends_with(tail.as_bytes())
            .then_some(Self { pid, process })
    }

    pub fn kill(&self) {
        // It may have ended meanwhile.
        let _ended = pidfd_send_signal(&self.process, rustix::process::Signal::KILL);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        host::remove_all(&self.cgroups_root);
    }
}

/// Tasks run as other users and must reach their sandboxes in it.
fn place_below(directory: &str) -> tempfile::TempDir {
    let place = tempfile::Builder::new()
        .prefix("longshore-test-")
        .tempdir_in(directory)
        .unwrap();
    open_to_all(place.path());
    place
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}
