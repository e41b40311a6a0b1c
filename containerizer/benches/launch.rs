//! From nothing to reaped: `/bin/true` in a full set of namespaces, by this crate and by the OCI
//! runtimes that are installed, on the same bundle, in turn, in one run; with our default seccomp
//! profile and without one.
//!
//! Ours is measured twice: as the agent does it, in process, and as a program that does nothing else
//! (this one, called with a bundle), because that is what runc and crun are.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is for reading"
)]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use containerizer::{Config, Containerizer, ExitStatus, Stopwatch, Then, Timings};
use isolators::ContainerId;
use isolators::seccomp::{Machine, Profile};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

const WARM_UP: usize = 5;
const ROUNDS: usize = 100;
/// Names this program to itself as a one-shot runtime.
const AS_PROGRAM: &str = "--one-shot";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|a| a == AS_PROGRAM) {
        Some(at) => runtime.block_on(one_shot(&arguments[at + 1..])),
        None => runtime.block_on(compare()),
    }
}

async fn one_shot(arguments: &[String]) {
    let [bundle, runtime_dir, id] = arguments else {
        panic!("bundle, runtime directory and id")
    };
    let containerizer = open(Path::new(runtime_dir));
    launch(&containerizer, &spec(Path::new(bundle), id), id).await;
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

        let this = std::env::current_exe().unwrap();
        let mut program = Command::new(this);
        program
            .arg(AS_PROGRAM)
            .arg(bundle)
            .arg(runtime_dir)
            .arg(format!("{id}-p"));
        as_program.push(timed(&mut program));

        for (peer, taken) in peers.iter().zip(&mut others) {
            let mut program = Command::new(peer);
            program
                .arg("--root")
                .arg(runtime_dir.join(peer))
                .args(["run", "--bundle"])
                .arg(bundle)
                .arg(format!("{id}-{peer}"));
            taken.push(timed(&mut program));
        }
    }
    let p50 = print("longshore, in the agent", in_process, None);
    print_phases(&phases);
    print("longshore, as a program", as_program, Some(p50));
    for (peer, taken) in peers.iter().zip(others) {
        print(&format!("{peer} run"), taken, Some(p50));
    }
}

/// Returns the median in milliseconds.
fn print(name: &str, mut taken: Vec<Duration>, ours: Option<f64>) -> f64 {
    taken.drain(..WARM_UP);
    taken.sort_unstable();
    let at = |percent: usize| taken[(taken.len() * percent / 100).min(taken.len() - 1)];
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let (p50, p99) = (milliseconds(at(50)), milliseconds(at(99)));
    let ratio = p50 / ours.unwrap_or(p50);
    println!("{name:<24} p50 {p50:>6.2} ms   p99 {p99:>6.2} ms   {ratio:>5.1} x");
    p50
}

/// Where the time of a launch went; the rest, until it is reaped, is the kernel's end of it.
fn print_phases(launches: &[Timings]) {
    let names: Vec<&str> = launches[0].phases().map(|(name, _)| name).collect();
    let medians = names.iter().map(|name| {
        let of_one = |launch: &Timings| {
            let mut phases = launch.phases();
            phases.find_map(|(phase, taken)| (phase == *name).then_some(taken))
        };
        let mut taken: Vec<Duration> = launches.iter().filter_map(of_one).collect();
        taken.sort_unstable();
        let median = taken[taken.len() / 2].as_secs_f64() * 1000.0;
        format!("{name} {median:.2}")
    });
    let medians: Vec<String> = medians.collect();
    println!("    of it, p50 in ms: {}", medians.join(", "));
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
    let null = || {
        File::options()
            .write(true)
            .open("/dev/null")
            .unwrap()
            .into()
    };
    let stdio = containerizer::Stdio {
        stdin: None,
        stdout: null(),
        stderr: null(),
    };
    let launched = containerizer
        .launch_spec(
            &id,
            spec.clone(),
            stdio,
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

fn open(runtime_dir: &Path) -> Containerizer {
    Containerizer::open(Config {
        runtime_dir: runtime_dir.to_owned(),
        cgroups_hierarchy: "/sys/fs/cgroup".into(),
        cgroups_root: CGROUPS.to_owned(),
        cgroups_enable_cfs: false,
        cgroups_destroy_timeout: Duration::from_secs(10),
        hidden: vec![],
        seccomp: Profile::builtin(),
    })
    .unwrap()
}

const CGROUPS: &str = "longshore-bench";

fn remove_cgroups() {
    let base = Path::new("/sys/fs/cgroup");
    let mounts = fs::read_dir(base)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for root in mounts
        .chain([base.to_owned()])
        .map(|mount| mount.join(CGROUPS))
    {
        if root.exists() {
            fs::remove_dir(root).unwrap();
        }
    }
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

/// A root file system that holds a static busybox, and the spec.
fn bundle(directory: &Path, seccomp: Value) -> PathBuf {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|p| Path::new(p).exists());
    let Some(busybox) = busybox else {
        panic!("busybox is not installed (busybox-static)")
    };
    let bin = directory.join("bundle/rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(busybox, bin.join("true")).unwrap();
    let bundle = directory.join("bundle");
    let mut config = config();
    if !seccomp.is_null() {
        config["linux"]["seccomp"] = seccomp;
    }
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

/// For us the cgroup is named by the container; runc and crun choose their own when it is not.
fn spec(bundle: &Path, id: &str) -> Spec {
    let config = fs::read_to_string(bundle.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["root"]["path"] = json!(bundle.join("rootfs"));
    config["linux"]["cgroupsPath"] = json!(format!("/{CGROUPS}/{id}"));
    serde_json::from_value(config).unwrap()
}

/// Our default profile, as it is for a container without capabilities.
fn builtin() -> Value {
    let uname = nix::sys::utsname::uname().unwrap();
    let machine = Machine::here(uname.release().to_str().unwrap());
    let resolved = Profile::builtin().resolve(&machine, &HashSet::new());
    json!(resolved.unwrap())
}

/// What container engines ask for: every namespace but user and time, the usual mounts, hidden and
/// read-only paths, reduced capabilities.
fn config() -> Value {
    let capabilities = [
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ];
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": source, "options": options})
    };
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "devpts",
                "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        ],
        "linux": {
            "resources": {"memory": {"limit": 67_108_864}, "cpu": {"shares": 512}},
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}
