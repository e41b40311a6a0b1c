//! What it costs to ask a container what it uses: the answer that the agent polls for, and everything
//! that the kernel counts.
//!
//! `cargo bench -p containerizer --bench statistics`, as root.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is for reading"
)]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::fs::File;
use std::hint::black_box;
use std::time::{Duration, Instant};

use containerizer::{Config, Container, Containerizer, Stdio, Stopwatch, Then};
use isolators::seccomp::Profile;
use isolators::{
    CapabilitySets, Command, ContainerId, Ipc, Limit, PidNamespace, Request, Seccomp, Share, Swap,
    User,
};
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, Spec};

use percentile::percentile;

#[path = "support/percentile.rs"]
mod percentile;

const WARM_UP: usize = 20;
const ROUNDS: usize = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("launching containers takes root");
        std::process::exit(1);
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let containerizer = Containerizer::open(Config {
        runtime_dir: directory.path().join("run"),
        cgroups_hierarchy: "/sys/fs/cgroup".into(),
        cgroups_root: format!("longshore-bench-{}", std::process::id()),
        cgroups_enable_cfs: false,
        cgroups_destroy_timeout: Duration::from_secs(10),
        hidden: vec![],
        seccomp: Profile::builtin(),
    });
    let containerizer = containerizer.unwrap();
    let container = launch(&containerizer, directory.path().join("sandbox")).await;
    measure("as polled", || {
        black_box(container.snapshot().unwrap());
    });
    measure("details", || {
        black_box(container.details().unwrap());
    });
    container.kill();
    container.wait().await;
    container.forget();
    containerizer.remove_cgroups_root();
}

async fn launch(containerizer: &Containerizer, sandbox: std::path::PathBuf) -> Container {
    std::fs::create_dir(&sandbox).unwrap();
    let null = || {
        File::options()
            .write(true)
            .open("/dev/null")
            .unwrap()
            .into()
    };
    let request = Request {
        id: ContainerId::try_from("c1".to_owned()).unwrap(),
        command: Command::Shell("while :; do sleep 0.1; done".to_owned()),
        env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        user: User::resolve("root").unwrap(),
        sandbox,
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
    };
    let mut spec = containerizer.plan(&request).unwrap();
    give_network(&mut spec);
    let stdio = Stdio {
        stdin: None,
        stdout: null(),
        stderr: null(),
    };
    let (then, watch) = (Then::Supervise {}, Stopwatch::start());
    let launched = containerizer.launch_spec(&request.id, spec, stdio, then, watch);
    launched.await.unwrap()
}

/// One of its own, which tasks do not have yet.
fn give_network(spec: &mut Spec) {
    let mut linux = spec.linux().clone().unwrap();
    let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
    let mut namespaces = linux.namespaces().clone().unwrap();
    namespaces.push(network.build().unwrap());
    linux.set_namespaces(Some(namespaces));
    spec.set_linux(Some(linux));
}

fn measure(name: &str, mut ask: impl FnMut()) {
    let mut taken: Vec<_> = (0..WARM_UP + ROUNDS)
        .map(|_| {
            let started = Instant::now();
            ask();
            started.elapsed()
        })
        .collect();
    taken.drain(..WARM_UP);
    let at = |percent| percentile(&taken, percent);
    println!(
        "{name:24} p50 {:?}  p90 {:?}  p99 {:?}",
        at(50),
        at(90),
        at(99)
    );
}
