//! A thousand containers on one node: how long they take to be there, what each costs in memory, what a
//! launch among them takes, and how long they take to be gone. In one run, on one runtime directory.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is for reading"
)]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use containerizer::audit::{self, Keeper, Scope};
use containerizer::{Container, Containerizer, Stopwatch, Then, Timings};
use isolators::ContainerId;
use oci_spec::runtime::Spec;

use support::{
    CGROUPS, builtin, bundle, open, percentile, phases_of, remove_cgroups, silence, spec,
};

mod support;

const CROWD: usize = 1000;
const ROUNDS: usize = 200;
const SETTLING: Duration = Duration::from_secs(3);
/// Between launches of which each meets a node at rest. The kernel takes the memory cgroup of the one before
/// apart meanwhile, once for each file system of all containers, under the lock that a launch needs.
const REST: Duration = Duration::from_millis(20);

fn main() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("launching containers takes root");
        std::process::exit(1);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // As in the agent.
        .max_blocking_threads(64)
        .build();
    // Where an agent's tasks run, too: on the threads that hear of what they wait for.
    runtime
        .unwrap()
        .block_on(async { tokio::spawn(measure()).await.unwrap() });
}

async fn measure() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let containerizer = open(&directory.path().join("run"));
    let bundle = bundle(&directory.path().join("crowd"), builtin());
    let before = own_memory();

    let (mut alone, mut alone_at_rest) = (Launches::default(), Launches::default());
    alone.measure(&containerizer, &bundle, "before", None).await;
    let rest = Some(REST);
    alone_at_rest
        .measure(&containerizer, &bundle, "rested-before", rest)
        .await;
    let started = Instant::now();
    let crowd = start(&containerizer, &bundle).await;
    println!(
        "{CROWD} containers run after   {}",
        shown(started.elapsed())
    );

    // As an agent does when a burst is over.
    containerizer::release_unused_memory();
    let private: u64 = crowd.iter().map(|it| private_memory(it.pid())).sum();
    println!(
        "private memory of each        {} KB in its init, {} KB in this process",
        private / 1024 / CROWD as u64,
        own_memory().saturating_sub(before) / 1024 / CROWD as u64
    );
    let (mut among, mut among_at_rest) = (Launches::default(), Launches::default());
    among.measure(&containerizer, &bundle, "among", None).await;
    among_at_rest
        .measure(&containerizer, &bundle, "rested-among", rest)
        .await;

    println!(
        "an audit among them           {}",
        shown(audit(&directory.path().join("run")))
    );

    let started = Instant::now();
    crowd.iter().for_each(Container::kill);
    for container in &crowd {
        container.wait().await;
    }
    println!("all are gone after            {}", shown(started.elapsed()));
    crowd.iter().for_each(Container::forget);
    // A machine that becomes slower meanwhile is not to be blamed on them; what the kernel still takes apart
    // of them is not an empty node.
    tokio::time::sleep(SETTLING).await;
    alone.measure(&containerizer, &bundle, "after", None).await;
    alone_at_rest
        .measure(&containerizer, &bundle, "rested-after", rest)
        .await;
    println!("one launch on a node at rest, {REST:?} after the end of the one before:");
    compare_both(&alone_at_rest, &among_at_rest);
    println!(
        "one launch at once after the end of the one before, which the kernel still takes apart:"
    );
    compare_both(&alone, &among);
    remove_cgroups();
}

/// Median of what it takes to compare the kernel with the records.
fn audit(runtime_dir: &Path) -> Duration {
    let scope = Scope {
        runtime_dir: runtime_dir.to_owned(),
        cgroups_hierarchy: "/sys/fs/cgroup".into(),
        cgroups_root: CGROUPS.to_owned(),
        directories: vec![],
        oci_root: "/no/such".into(),
    };
    let taken: Vec<_> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let found = audit::differences(&scope, BTreeSet::new(), Keeper::Running).unwrap();
            assert_eq!(found, []);
            started.elapsed()
        })
        .collect();
    percentile(&taken, 50)
}

/// All at once, as an agent is given them.
async fn start(containerizer: &Containerizer, bundle: &Path) -> Vec<Container> {
    let launches: Vec<_> = (0..CROWD)
        .map(|n| {
            let (containerizer, bundle) = (containerizer.clone(), bundle.to_owned());
            let name = format!("crowd-{}-{n}", std::process::id());
            tokio::spawn(async move {
                let order = order(&bundle, &name, &["/bin/sleep", "1000"]);
                launch(&containerizer, order).await
            })
        })
        .collect();
    let mut containers = Vec::with_capacity(CROWD);
    for launch in launches {
        containers.push(launch.await.unwrap());
    }
    containers
}

/// What launches took, one after another.
#[derive(Default)]
struct Launches {
    /// From nothing until the command runs.
    begun: Vec<Duration>,
    /// From nothing until all of it is gone.
    ended: Vec<Duration>,
    phases: Vec<Timings>,
}

impl Launches {
    async fn measure(
        &mut self,
        containerizer: &Containerizer,
        bundle: &Path,
        name: &str,
        rest: Option<Duration>,
    ) {
        for round in 0..ROUNDS {
            if let Some(rest) = rest {
                tokio::time::sleep(rest).await;
            }
            let name = format!("{name}-{}-{round}", std::process::id());
            let order = order(bundle, &name, &["/bin/true"]);
            let started = Instant::now();
            let container = launch(containerizer, order).await;
            self.begun.push(started.elapsed());
            container.wait().await;
            self.ended.push(started.elapsed());
            self.phases.extend(container.timings().cloned());
            container.forget();
        }
    }
}

fn compare_both(alone: &Launches, among: &Launches) {
    compare("  until its command runs, p50 ", &alone.begun, &among.begun);
    compare("  until all of it is gone, p50", &alone.ended, &among.ended);
    println!("    of it, in ms, alone: {}", phases_of(&alone.phases));
    println!("    of it, in ms, among: {}", phases_of(&among.phases));
}

fn compare(what: &str, alone: &[Duration], among: &[Duration]) {
    let (alone, among) = (percentile(alone, 50), percentile(among, 50));
    println!(
        "{what} {} alone, {} among them: {:.2} x",
        shown(alone),
        shown(among),
        among.as_secs_f64() / alone.as_secs_f64()
    );
}

fn order(bundle: &Path, name: &str, command: &[&str]) -> (ContainerId, Spec) {
    let mut spec = spec(bundle, name);
    let mut process = spec.process().clone().unwrap();
    process.set_args(Some(
        command.iter().map(|word| (*word).to_owned()).collect(),
    ));
    spec.set_process(Some(process));
    (ContainerId::try_from(name.to_owned()).unwrap(), spec)
}

async fn launch(containerizer: &Containerizer, (id, spec): (ContainerId, Spec)) -> Container {
    let then = Then::Supervise {};
    let launched = containerizer.launch_spec(&id, spec, silence(), then, Stopwatch::start());
    launched.await.unwrap()
}

/// Bytes that no other process shares.
fn private_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    let kilobytes = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.sum::<u64>() * 1024
}

fn own_memory() -> u64 {
    private_memory(std::process::id())
}

fn shown(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}
