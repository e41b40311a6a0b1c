//! Records of processes that are not those of the container any more: nobody else is taken for them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use containerizer::{Birth, Container, Containerizer, Identity, Recovered, Target};

use super::*;
use crate::support::chain;

/// A process that has nothing to do with containers.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().expect("starts"))
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("can be asked").is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn launched(host: &Host) -> (Container, Identity, PathBuf) {
    let container = host.launch(&host.request("echo up; sleep 1000")).await;
    let container = container.expect("launches");
    until_output(host, "up").await;
    let record = host.config.runtime_dir.join("containers/c1/pid");
    let text = fs::read_to_string(&record).expect("a record");
    let identity = Identity::parse(&text).expect("it is whole");
    assert_eq!(identity.pid, container.pid());
    (container, identity, record)
}

async fn recover(host: &Host) -> Recovered {
    let next = Containerizer::open(host.config.clone()).expect("opens");
    next.recover().await.expect("recovers")
}

fn is_found(host: &Host, container: &Container) -> bool {
    let config = &host.config;
    let found = Target::find(
        &config.runtime_dir,
        &config.cgroups_hierarchy,
        container.id(),
    );
    found.is_ok()
}

#[tokio::test]
async fn root_a_process_that_has_got_the_number_of_a_container_is_none_and_lives() {
    let host = Host::new("reused");
    let mut bystander = Bystander::new();
    let (container, identity, record) = launched(&host).await;
    assert!(is_found(&host, &container));
    let pid = bystander.0.id();
    // In both ways that a process can be known by, whatever this kernel has.
    for birth in [identity.birth, Birth::Start(1)] {
        let reused = Identity {
            pid,
            birth,
            ..identity
        };
        fs::write(&record, reused.to_string()).expect("writes");
        assert!(!is_found(&host, &container));
    }
    let found = recover(&host).await.containers;
    assert_eq!(found[0].pid(), 0);
    found[0].terminate();
    found[0].kill();
    // What is in its cgroup belongs to nobody, and ends.
    found[0].wait().await;
    container.wait().await;
    assert!(bystander.lives());
    found[0].forget();
    host.finish();
}

#[tokio::test]
async fn root_a_record_of_another_boot_names_no_process_of_this_one() {
    let host = Host::new("boot");
    let mut bystander = Bystander::new();
    let (container, identity, record) = launched(&host).await;
    let this = Identity::of(bystander.0.id()).expect("it lives");
    assert_eq!(this.boot, identity.boot);
    let boot = "0f".repeat(16).parse().ok();
    fs::write(&record, Identity { boot, ..this }.to_string()).expect("writes");
    let found = recover(&host).await.containers;
    assert_eq!(found[0].pid(), 0);
    found[0].kill();
    found[0].wait().await;
    container.wait().await;
    assert!(bystander.lives());
    found[0].forget();
    host.finish();
}

#[tokio::test]
async fn root_a_container_whose_record_is_damaged_is_left_alone_and_told() {
    let host = Host::new("damaged");
    let (container, _, record) = launched(&host).await;
    let whole = fs::read(&record).expect("a record");
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    for bytes in [&damaged[..], &whole[..5], b""] {
        fs::write(&record, bytes).expect("writes");
        let found = recover(&host).await;
        assert!(found.containers.is_empty());
        assert_eq!(found.failures[0].id(), container.id());
        let wanted = format!(
            "cannot take over container c1 of an earlier run: cannot tell from {} which process the \
             container's first one is: it is damaged",
            record.display()
        );
        assert_eq!(chain(&found.failures[0]), wanted);
    }
    fs::write(&record, whole).expect("writes");
    let found = recover(&host).await.containers;
    assert_eq!(found[0].pid(), container.pid());
    found[0].kill();
    found[0].wait().await;
    container.wait().await;
    found[0].forget();
    host.finish();
}
