//! From nothing to reaped: `/bin/true` in a full set of namespaces, by this crate and by the OCI
//! runtimes that are installed, on the same bundle, in turn, in one run; with our default seccomp
//! profile and without one.
//!
//! Ours is measured twice: as the agent does it, in process, and as a program that does nothing else
//! (`longshore oci run`, of the build that LONGSHORE_BIN names), because that is what runc and crun are.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is for reading"
)]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use containerizer::{Containerizer, ExitStatus, Stopwatch, Then, Timings};
use isolators::ContainerId;
use oci_spec::runtime::Spec;
use serde_json::Value;

use support::{builtin, bundle, open, percentile, phases_of, remove_cgroups, silence, spec};

mod support;

const WARM_UP: usize = 5;
/// Enough that a 99th percentile is not one of them by itself.
const ROUNDS: usize = 300;
/// Whose phases are shown, too: where the tail comes from.
const SLOWEST: usize = 10;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("launching containers takes root");
        std::process::exit(1);
    }
    // As /run is on most hosts: what a runtime records should not wait for a disk.
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let runtime_dir = directory.path().join("run");
    let containerizer = open(&runtime_dir);
    let peers: Vec<&str> = ["crun", "runc"]
        .into_iter()
        .filter(|name| installed(name))
        .collect();
    for (name, seccomp) in [("bare", Value::Null), ("filtered", builtin())] {
        println!("{name}:");
        let bundle = bundle(&directory.path().join(name), seccomp);
        compare_on(&bundle, &runtime_dir, &containerizer, &peers, name).await;
    }
    let left: Vec<_> = fs::read_dir(runtime_dir.join("containers"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "left over: {left:?}");
    remove_cgroups();
}

async fn compare_on(
    bundle: &Path,
    runtime_dir: &Path,
    containerizer: &Containerizer,
    peers: &[&str],
    name: &str,
) {
    let longshore = std::env::var_os("LONGSHORE_BIN");
    if longshore.is_none() {
        println!("LONGSHORE_BIN names no program: `longshore oci run` is not compared");
    }
    let mut in_process = Vec::new();
    let mut phases = Vec::new();
    let mut as_program = Vec::new();
    let mut others: Vec<Vec<Duration>> = vec![Vec::new(); peers.len()];
    for round in 0..WARM_UP + ROUNDS {
        let id = format!("bench-{}-{name}-{round}", std::process::id());
        let ours = spec(bundle, &id);
        let started = Instant::now();
        let timings = launch(containerizer, &ours, &id).await;
        in_process.push(started.elapsed());
        phases.push(timings);

        if let Some(longshore) = &longshore {
            let mut program = Command::new(longshore);
            program.arg("oci");
            as_program.push(timed(run(
                &mut program,
                runtime_dir,
                bundle,
                &format!("{id}-p"),
            )));
        }

        for (peer, taken) in peers.iter().zip(&mut others) {
            let mut program = Command::new(peer);
            let id = format!("{id}-{peer}");
            taken.push(timed(run(&mut program, runtime_dir, bundle, &id)));
        }
    }
    let mut order: Vec<usize> = (WARM_UP..in_process.len()).collect();
    order.sort_by_key(|round| std::cmp::Reverse(in_process[*round]));
    let slowest: Vec<_> = (order.iter().take(SLOWEST))
        .map(|round| phases[*round].clone())
        .collect();
    let p50 = print("longshore, in the agent", &in_process, None);
    println!("    of it, p50 in ms: {}", phases_of(&phases));
    println!("    of the {SLOWEST} slowest: {}", phases_of(&slowest));
    if longshore.is_some() {
        print("longshore oci run", &as_program, Some(p50));
    }
    for (peer, taken) in peers.iter().zip(others) {
        print(&format!("{peer} run"), &taken, Some(p50));
    }
}

/// Returns the median in milliseconds.
fn print(name: &str, taken: &[Duration], ours: Option<f64>) -> f64 {
    let at = |percent| percentile(&taken[WARM_UP..], percent).as_secs_f64() * 1000.0;
    let (p50, p99) = (at(50), at(99));
    let ratio = p50 / ours.unwrap_or(p50);
    println!("{name:<24} p50 {p50:>6.2} ms   p99 {p99:>6.2} ms   {ratio:>5.1} x");
    p50
}

/// The same words for every runtime, with its state on the same file system.
fn run<'a>(
    program: &'a mut Command,
    runtime_dir: &Path,
    bundle: &Path,
    id: &str,
) -> &'a mut Command {
    let name = Path::new(program.get_program()).file_name().unwrap();
    let state = runtime_dir.join("state-of").join(name);
    program.arg("--root").arg(state);
    program.args(["run", "--bundle"]).arg(bundle).arg(id)
}

fn timed(program: &mut Command) -> Duration {
    let started = Instant::now();
    let status = program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let taken = started.elapsed();
    assert!(status.success(), "{program:?}: {status}");
    taken
}

async fn launch(containerizer: &Containerizer, spec: &Spec, id: &str) -> Timings {
    let id = ContainerId::try_from(id.to_owned()).unwrap();
    let launched = containerizer
        .launch_spec(
            &id,
            spec.clone(),
            silence(),
            Then::Become {},
            Stopwatch::start(),
        )
        .await;
    let container = launched.unwrap();
    let termination = container.wait().await;
    assert_eq!(
        termination.status,
        Some(ExitStatus::Exited(0)),
        "{termination:?}"
    );
    container.forget();
    container.timings().cloned().unwrap_or_default()
}

fn installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    if !found {
        println!("{program} is not installed: not compared");
    }
    found
}
