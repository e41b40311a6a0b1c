//! What it costs that tasks outlive their agent: the checkpoint on the way of a launch, the next agent's
//! start among a thousand tasks, and its memory. Master and agent are processes of their own.

#![expect(clippy::print_stdout, reason = "a bench is for reading")]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::percentiles::Percentiles;

const LAUNCHES: usize = 200;
const RESTARTS: usize = 10;
const TASKS: usize = 1000;
/// Between two looks, which take a processor from who is looked at.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_secs(120);
const SETTLING: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let memory = Cluster::start_roomy("/dev/shm").await;
    checkpoints("on a tmpfs", &memory).await;
    drop(memory);

    let mut cluster = Cluster::start_roomy("/var/tmp").await;
    checkpoints("on this disk", &cluster).await;
    let empty = restarts(&mut cluster, 0).await;
    empty.print("without a task", None);
    let alone = Memory::of(&cluster);

    cluster.post(&app("crowd", TASKS)).await;
    until("all tasks run", || async {
        running(&cluster, TASKS).await.then_some(())
    })
    .await;
    alone.print("without a task, after its restart", None);
    // A burst leaves what the agent gives back when it is over.
    tokio::time::sleep(SETTLING).await;
    Memory::of(&cluster).print(
        &format!("with {TASKS} tasks that it launched"),
        Some(&alone),
    );
    let full = restarts(&mut cluster, TASKS).await;
    full.print(&format!("with {TASKS} tasks running"), Some(&empty));
    let files = Files::below(cluster.agents[0].directory());
    println!(
        "  {} files, {:.1} MB, of checkpoints and records; reading them one after the other takes {:.0} ms",
        files.count,
        files.bytes as f64 / 1e6,
        milliseconds(files.taken)
    );
    Memory::of(&cluster).print(
        &format!("with {TASKS} tasks that it took over"),
        Some(&alone),
    );
    cluster.remove("crowd").await;
    until("all tasks are gone", || async {
        running(&cluster, 0).await.then_some(())
    })
    .await;
    cluster.nothing_left().await;
}

/// Without ports: there are none for so many.
fn app(id: &str, instances: usize) -> Value {
    json!({
        "id": id, "cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16,
        "instances": instances, "portDefinitions": [],
    })
}

/// The phase of a launch in which its task is written down, beside plain writes of as many bytes, in turn.
async fn checkpoints(place: &str, cluster: &Cluster) {
    let (mut ours, mut renamed, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    let agent = &cluster.agents[0];
    for number in 0..LAUNCHES {
        let id = format!("launch-{number}");
        cluster.post(&app(&id, 1)).await;
        let launch = until("the task runs", || async {
            let containers = agent.api.json("/containers").await;
            let launch = containers[0]["launch"].clone();
            (running(cluster, 1).await && launch.is_object()).then_some(launch)
        })
        .await;
        ours.push(Duration::from_secs_f64(
            launch["checkpoint_ms"].as_f64().unwrap() / 1e3,
        ));
        let bytes = written(agent.directory());
        let directory = agent.directory().join(format!("plain-{number}"));
        renamed.push(timed(|| write_and_rename(&directory, &bytes)));
        synced.push(timed(|| write_and_sync(&directory, &bytes)));
        cluster.remove(&id).await;
        until("the task is gone", || async {
            running(cluster, 0).await.then_some(())
        })
        .await;
    }
    cluster.nothing_left().await;
    let (ours, renamed, synced) = (
        Percentiles::of(ours),
        Percentiles::of(renamed),
        Percentiles::of(synced),
    );
    println!(
        "checkpoint on the way of a launch, {place}, {LAUNCHES} times: {ours:.3} (goal: p50 0.150 ms)\n  \
         as many bytes in as many files, written and renamed: {renamed:.3}, {:.1}x of that\n  \
         as many bytes in one file, written and waited for with fdatasync: {synced:.3}, {:.1}x of that",
        ours.p50 / renamed.p50,
        ours.p50 / synced.p50,
    );
}

/// What was written down of the newest task before anything was done for it.
fn written(below: &Path) -> Vec<Vec<u8>> {
    let mut newest = Vec::new();
    for name in ["executor.info", "task.info"] {
        let mut found = Vec::new();
        files(&below.join("work/meta"), &mut found);
        found.retain(|path| path.file_name().unwrap() == name);
        let newest_of = found
            .into_iter()
            .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
        newest.push(fs::read(newest_of.unwrap()).unwrap());
    }
    newest
}

fn write_and_rename(directory: &Path, contents: &[Vec<u8>]) {
    for (number, content) in contents.iter().enumerate() {
        let directory = directory.join(number.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("new"), content).unwrap();
        fs::rename(directory.join("new"), directory.join("info")).unwrap();
    }
}

fn write_and_sync(directory: &Path, contents: &[Vec<u8>]) {
    let mut file = fs::File::create(directory.join("journal")).unwrap();
    file.write_all(&contents.concat()).unwrap();
    file.sync_data().unwrap();
}

/// Of one start after a `kill -9`, from its exec on.
struct Restart {
    /// Until its HTTP answers.
    answers: Duration,
    /// Until it shows its tasks.
    serves: Duration,
    /// Until the master has it back.
    registered: Duration,
}

struct Restarts {
    answers: Percentiles,
    serves: Percentiles,
    registered: Percentiles,
}

async fn restarts(cluster: &mut Cluster, tasks: usize) -> Restarts {
    let mut all = Vec::new();
    for _ in 0..RESTARTS {
        all.push(restart(cluster, tasks).await);
    }
    let of = |part: fn(&Restart) -> Duration| Percentiles::of(all.iter().map(part).collect());
    Restarts {
        answers: of(|it| it.answers),
        serves: of(|it| it.serves),
        registered: of(|it| it.registered),
    }
}

async fn restart(cluster: &mut Cluster, tasks: usize) -> Restart {
    let before = registration(cluster).await;
    let processes = cluster.agents[0].processes();
    cluster.agents[0].kill();
    let started = Instant::now();
    cluster.agents[0].execute();
    let agent = &cluster.agents[0];
    let answer = |path: &'static str| async move {
        let answer = agent.api.ask(reqwest::Method::GET, path, None).await.ok()?;
        answer.status.is_success().then_some(answer)
    };
    until("the agent answers", || answer("/health")).await;
    let answers = started.elapsed();
    let state = until("the agent serves", || answer("/state")).await;
    let serves = started.elapsed();
    until("the agent is registered", || async {
        let now = registration(cluster).await;
        (now["active"] == true && now["reregistered_time"] != before["reregistered_time"])
            .then_some(())
    })
    .await;
    let registered = started.elapsed();
    let state = state.json();
    let executors = state["frameworks"].as_array().into_iter().flatten();
    let executors = executors.map(|it| it["executors"].as_array().unwrap().len());
    assert_eq!(executors.sum::<usize>(), tasks, "known to the agent");
    assert!(running(cluster, tasks).await, "known to the master");
    assert_eq!(agent.processes(), processes, "a process was replaced");
    Restart {
        answers,
        serves,
        registered,
    }
}

impl Restarts {
    fn print(&self, when: &str, beside: Option<&Restarts>) {
        println!("restart of an agent {when}, {RESTARTS} times:");
        let ratio = |ours: &Percentiles, theirs: Option<&Percentiles>| {
            theirs.map_or(String::new(), |theirs| {
                format!(", {:.1}x of an agent without tasks", ours.p50 / theirs.p50)
            })
        };
        for (what, ours, theirs, goal) in [
            (
                "its HTTP answers",
                &self.answers,
                beside.map(|it| &it.answers),
                "",
            ),
            (
                "it shows its tasks",
                &self.serves,
                beside.map(|it| &it.serves),
                "",
            ),
            (
                "the master has it back",
                &self.registered,
                beside.map(|it| &it.registered),
                " (goal: 500 ms)",
            ),
        ] {
            println!("  until {what:<23} {ours}{goal}{}", ratio(ours, theirs));
        }
    }
}

/// What the master knows of the only agent.
async fn registration(cluster: &Cluster) -> Value {
    cluster.api.json("/slaves").await["slaves"][0].clone()
}

/// Whether that many tasks run, as the master knows it.
async fn running(cluster: &Cluster, tasks: usize) -> bool {
    let metrics = cluster.api.json("/metrics/snapshot").await;
    metrics["master/tasks_running"] == tasks as f64
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < LONGEST, "waited {LONGEST:?} until {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Of the agent, in MB.
struct Memory {
    resident: f64,
    private: f64,
}

impl Memory {
    fn of(cluster: &Cluster) -> Memory {
        let pid = cluster.agents[0].pid().unwrap();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let mb = |field: &str| {
            let value = rollup
                .lines()
                .find_map(|line| line.strip_prefix(field))
                .unwrap();
            let kb: f64 = value.trim().trim_end_matches(" kB").parse().unwrap();
            kb / 1024.0
        };
        Memory {
            resident: mb("Rss:"),
            private: mb("Private_Clean:") + mb("Private_Dirty:"),
        }
    }

    fn print(&self, when: &str, alone: Option<&Memory>) {
        let each = alone.map_or(String::new(), |alone| {
            let more = (self.private - alone.private) * 1024.0 / TASKS as f64;
            format!(" (goal: 60 MB), {more:.1} KB private for each task")
        });
        println!(
            "agent {when}: {:.1} MB resident, {:.1} MB private{each}",
            self.resident, self.private
        );
    }
}

/// All that the next agent reads.
struct Files {
    count: usize,
    bytes: usize,
    taken: Duration,
}

impl Files {
    fn below(agent: &Path) -> Files {
        let started = Instant::now();
        let mut paths = Vec::new();
        files(&agent.join("work/meta"), &mut paths);
        let sizes = paths.iter().map(|path| fs::read(path).unwrap().len());
        Files {
            bytes: sizes.sum(),
            count: paths.len(),
            taken: started.elapsed(),
        }
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files(&entry.path(), found),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn milliseconds(taken: Duration) -> f64 {
    taken.as_secs_f64() * 1e3
}
