//! Kills agent, master and first processes of containers at random, while tasks come and go: `soak MINUTES [SEED]`.
//! The seed repeats what is killed and how long the pauses are.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]
#![expect(clippy::unwrap_used, reason = "a failure is a panic, as in a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tests::apps::shell;
use tests::cluster::Cluster;
use tests::eventually;

/// Instances of the app whose tasks end only when they are killed.
const STEADY: usize = 5;

const USAGE: &str = "usage: soak MINUTES [SEED]";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Agent,
    Master,
    Init,
}

/// Of what is to be done next. SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn victim(&mut self) -> Victim {
        match self.below(10) {
            0..5 => Victim::Agent,
            5..8 => Victim::Init,
            _ => Victim::Master,
        }
    }

    fn pause(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}

struct Soak {
    cluster: Cluster,
    /// Each run leaves its task's id here, in a file of that app.
    marks: tempfile::TempDir,
    kills: BTreeMap<Victim, u64>,
    /// Steady tasks that were seen to run.
    steady: BTreeSet<String>,
    /// Tasks whose first process we have killed, which is told a moment later.
    killed: BTreeSet<String>,
    lost: u64,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let words: Vec<u64> = (std::env::args().skip(1))
        .map(|word| word.parse().expect(USAGE))
        .collect();
    let (minutes, seed) = match words[..] {
        [minutes] => (minutes, u64::from(std::process::id())),
        [minutes, seed] => (minutes, seed),
        _ => panic!("{USAGE}"),
    };
    println!("{minutes} minutes with seed {seed}");
    let mut soak = Soak::begin().await;
    let (mut dice, began) = (Dice(seed), Instant::now());
    let mut told = began;
    while began.elapsed() < Duration::from_secs(60 * minutes) {
        soak.kill_one(&mut dice).await;
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            println!("{:>4} s  {}", began.elapsed().as_secs(), soak.counts());
        }
    }
    soak.end().await;
}

impl Soak {
    async fn begin() -> Soak {
        let cluster = Cluster::start_with_scheduler_apart(1).await;
        let marks = tempfile::tempdir_in("/var/tmp").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(marks.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let soak = Soak {
            cluster,
            marks,
            kills: BTreeMap::new(),
            steady: BTreeSet::new(),
            killed: BTreeSet::new(),
            lost: 0,
        };
        let brief = "sleep 0.$RANDOM; exit $((RANDOM % 3))";
        for (name, then, instances) in [
            ("steady", "exec sleep 100000", STEADY),
            ("brief", brief, 3),
            ("stubborn", "trap '' TERM; sleep 1", 1),
        ] {
            let mark = soak.mark(name);
            let mut app = shell(
                name,
                &format!("echo $MESOS_TASK_ID >> {}; {then}", mark.display()),
            );
            app["instances"] = instances.into();
            app["backoffSeconds"] = 0.into();
            app["maxLaunchDelaySeconds"] = 0.into();
            soak.cluster.post(&app).await;
        }
        soak
    }

    fn mark(&self, app: &str) -> PathBuf {
        self.marks.path().join(app)
    }

    async fn kill_one(&mut self, dice: &mut Dice) {
        self.look().await;
        let victim = dice.victim();
        let down = dice.pause(1500);
        match victim {
            Victim::Agent => {
                self.cluster.agents[0].kill();
                tokio::time::sleep(down).await;
                self.cluster.agents[0].start().await;
            }
            Victim::Master => {
                self.cluster.kill_master();
                tokio::time::sleep(down).await;
                self.cluster.start_master().await;
            }
            Victim::Init => match self.kill_init(dice) {
                true => {}
                false => return,
            },
        }
        *self.kills.entry(victim).or_default() += 1;
        // Now and then the next one comes before all is well again.
        if dice.below(3) == 0 {
            tokio::time::sleep(dice.pause(1000)).await;
        } else {
            self.well().await;
        }
    }

    /// That of any container with a task of ours that runs its command.
    fn kill_init(&mut self, dice: &mut Dice) -> bool {
        let processes = self.cluster.agents[0].processes();
        let commands: Vec<_> = processes.into_iter().filter_map(command).collect();
        if commands.is_empty() {
            return false;
        }
        let chosen = dice.below(commands.len() as u64);
        let (task, init) = &commands[usize::try_from(chosen).unwrap()];
        self.killed.insert(task.clone());
        // It may be at its end by itself.
        let _ = kill(Pid::from_raw(*init), Signal::SIGKILL);
        true
    }

    /// All steady tasks run, on an agent that is registered.
    async fn well(&self) {
        self.cluster.registered(1).await;
        self.cluster.running("steady", STEADY).await;
    }

    async fn running(&self) -> Option<BTreeSet<String>> {
        let answer = self.cluster.marathon.get("/v2/apps/steady/tasks").await;
        let tasks = answer.json()["tasks"].as_array()?.clone();
        let running = (tasks.iter()).filter(|task| task["state"] == "TASK_RUNNING");
        let id = |task: &Value| task["id"].as_str().unwrap_or_default().to_owned();
        Some(running.map(id).collect())
    }

    /// Whoever has run and runs no more was killed by us, or is lost.
    async fn look(&mut self) {
        let Some(running) = self.running().await else {
            return;
        };
        let gone: Vec<_> = self.steady.difference(&running).cloned().collect();
        for task in gone.iter().filter(|task| !self.killed.contains(*task)) {
            self.lost += 1;
            println!("lost: {task} has run and was not killed");
        }
        self.steady = running;
    }

    fn counts(&self) -> String {
        let (mut begun, mut twice) = (0, 0);
        for app in ["steady", "brief", "stubborn"] {
            let text = fs::read_to_string(self.mark(app)).unwrap_or_default();
            let ids: Vec<_> = text.lines().collect();
            begun += ids.len();
            twice += ids.len() - ids.iter().collect::<BTreeSet<_>>().len();
        }
        let kills = |victim| self.kills.get(&victim).copied().unwrap_or(0);
        let lost = self.lost;
        format!(
            "killed: agent {}, master {}, init {}; tasks begun {begun}, lost {lost}, run twice {twice}",
            kills(Victim::Agent),
            kills(Victim::Master),
            kills(Victim::Init),
        )
    }

    /// Everything is told, and nothing is left.
    async fn end(mut self) {
        self.well().await;
        self.look().await;
        eventually("the agent and the scheduler agree", || async {
            self.agree().await
        })
        .await;
        let failure = self.cluster.failure("steady").await;
        let message = failure["message"].as_str().unwrap_or_default();
        let is_told = !self.kills.contains_key(&Victim::Init) || !message.is_empty();
        for app in ["steady", "brief", "stubborn"] {
            self.cluster.remove(app).await;
        }
        self.cluster.nothing_left().await;
        let counts = self.counts();
        println!("{counts}, an audit finds nothing");
        let fine = counts.ends_with("lost 0, run twice 0");
        assert!(fine && is_told, "{counts}; {failure}");
    }

    /// The steady tasks that run on the agent are those that the scheduler knows.
    async fn agree(&self) -> Result<(), String> {
        let known = self.running().await.unwrap_or_default();
        let processes = self.cluster.agents[0].processes();
        let there: BTreeSet<_> = (processes.into_iter().filter_map(command))
            .map(|(task, _)| task)
            .filter(|task| task.starts_with("steady"))
            .collect();
        match known == there {
            true => Ok(()),
            false => Err(json!({ "known": known, "there": there }).to_string()),
        }
    }
}

/// The task of a command, and the first process of its container.
fn command(pid: i32) -> Option<(String, i32)> {
    let of = |pid: i32, name: &str| Path::new("/proc").join(pid.to_string()).join(name);
    let environment = fs::read(of(pid, "environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let task = (environment.split('\0')).find_map(|it| it.strip_prefix("MESOS_TASK_ID="))?;
    let status = fs::read_to_string(of(pid, "status")).ok()?;
    let parent = status.lines().find_map(|it| it.strip_prefix("PPid:"))?;
    let parent = parent.trim().parse().ok()?;
    let program = fs::read_link(of(parent, "exe")).ok()?;
    let is_init = program.to_string_lossy().contains("longshore-init");
    is_init.then(|| (task.to_owned(), parent))
}
