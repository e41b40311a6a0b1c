//! What is known of a container's end.

use containerizer::{
    Access, Containerizer, Death, ExitStatus, Fault, KernelWord, PassedOn, PressureOf, Sender,
    Termination,
};
use isolators::Request;
use isolators::cgroups::Version;

use crate::support::{Host, exited, until_output};

#[tokio::test]
async fn root_running_out_of_memory_is_told_with_limit_peak_victim_and_who_else_had_some() {
    let host = Host::new("oom");
    let request = host.request("tail /dev/zero; sleep 1000");
    let termination = host.run(&request).await;
    let oom = termination.out_of_memory.expect("an out-of-memory kill");
    assert_eq!(oom.limit, Some(32 << 20));
    assert!(oom.peak <= 32 << 20 && oom.peak > 16 << 20, "{oom:?}");
    let victim = oom.victim.as_ref().expect("a victim");
    assert_eq!(victim.name, "tail");
    let largest = oom.largest.first().expect("processes");
    assert_eq!((largest.pid, largest.name.as_str()), (victim.pid, "tail"));
    assert!(largest.rss > 16 << 20, "{oom:?}");
    let is_there = |name: &str| oom.largest.iter().any(|task| task.name == name);
    assert!(is_there("longshore-init"), "{oom:?}");
    let usage = oom.usage.expect("usage");
    assert!(usage.anonymous > 16 << 20, "{oom:?}");
    if let Some(pressure) = oom.pressure {
        let of = match host.hierarchy().version() {
            Version::V1 => PressureOf::Host,
            Version::V2 => PressureOf::Container,
        };
        assert_eq!(pressure.of, of);
    }
    // The shell would have slept on: a container that has lost a process to the kernel is ended.
    assert_eq!(termination.leftovers, [""; 0]);
    host.finish();
}

#[tokio::test]
async fn root_a_signal_from_outside_is_told_apart_from_one_of_its_own_processes() {
    let host = Host::new("sender");
    let container = host
        .launch(&host.request("echo up; exec sleep 1000"))
        .await
        .expect("launches");
    until_output(&host, "up").await;
    container.terminate();
    let Termination { status, death, .. } = container.wait().await;
    container.forget();
    assert_eq!(status, Some(ExitStatus::Signaled(15)));
    let by = Sender::Outside { uid: 0 };
    assert_eq!(death.passed_on, Some(PassedOn { signal: 15, by }));

    // The first process passes it on to all.
    let inside = host.run(&host.request("kill -TERM 1; sleep 1000")).await;
    assert_eq!(inside.status, Some(ExitStatus::Signaled(15)));
    let passed_on = inside.death.passed_on.expect("a sender");
    assert!(
        matches!(passed_on.by, Sender::Inside { pid, uid: 0 } if pid > 1),
        "{passed_on:?}"
    );

    // Init has no part in this one, and does not know.
    let direct = host.run(&host.request("kill -TERM $$; sleep 1000")).await;
    assert_eq!(direct.status, Some(ExitStatus::Signaled(15)));
    assert_eq!(direct.death, Death::default());

    let container = host
        .launch(&host.request("echo again; exec sleep 1000"))
        .await
        .expect("launches");
    until_output(&host, "again").await;
    container.kill();
    assert!(container.wait().await.death.first_process_killed);
    container.forget();
    host.finish();
}

#[tokio::test]
async fn root_a_signal_that_the_command_handles_is_remembered() {
    let host = Host::new("handled");
    let request = host.request("trap 'exit 3' USR1; kill -USR1 1; while :; do sleep 0.01; done");
    let termination = host.run(&request).await;
    assert_eq!(termination.status, exited(3));
    let passed_on = termination.death.passed_on.expect("a sender");
    assert_eq!(passed_on.signal, 10);
    host.finish();
}

/// The kernel tells its log of it on processors of this kind.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn root_a_segmentation_fault_is_told_with_its_address() {
    let host = Host::new("segfault");
    // A pointer that leads to address 8.
    let crash = |begin: &str| Request {
        ..host.request(&format!(
            "{begin}exec perl -e 'print unpack(\"p\", pack(\"Q\", 8))'"
        ))
    };
    let termination = host.run(&crash("ulimit -c 0; ")).await;
    assert_eq!(termination.status, Some(ExitStatus::Signaled(11)));
    let Some(KernelWord::Fault(Fault { what, access, .. })) = termination.death.kernel else {
        panic!("{termination:?}")
    };
    assert_eq!(
        (what.as_str(), access),
        ("segfault at 0x8", Some(Access::Read))
    );
    assert!(!termination.death.core_dumped);

    // A later agent knows of it, too.
    let waits = crash("until [ -e go ]; do sleep 0.01; done; ulimit -c 0; ");
    let container = host.launch(&waits).await.expect("launches");
    let other = Containerizer::open(host.config.clone()).expect("opens");
    let found = other.recover().await.expect("recovers").containers;
    std::fs::write(host.sandbox().join("go"), "").expect("writes");
    let termination = found[0].wait().await;
    assert!(
        matches!(termination.death.kernel, Some(KernelWord::Fault(_))),
        "{termination:?}"
    );
    container.wait().await;
    container.forget();

    // Nobody made a mistake here, and the kernel has nothing to say.
    let sent = host.run(&host.request("kill -SEGV $$; sleep 1000")).await;
    assert_eq!(sent.status, Some(ExitStatus::Signaled(11)));
    assert_eq!(sent.death.kernel, Some(KernelWord::Silent));
    host.finish();
}
