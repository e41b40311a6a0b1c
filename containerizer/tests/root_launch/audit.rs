//! A node that somebody has broken: what is found, what is mended, and what is left alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use containerizer::Birth;
use containerizer::audit::{self, Difference, Keeper};
use isolators::cgroups::Hierarchy;
use isolators::{ContainerId, Request};
use nix::mount::{MsFlags, mount, umount};

use crate::support::{Host, cgroups};

/// A process of somebody else, in a cgroup of the test's making.
struct Sleeper(Child);

impl Sleeper {
    fn in_cgroup(host: &Host, name: &str) -> Self {
        let sleep = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn();
        let sleeper = Self(sleep.expect("starts"));
        let directory = one(host).join(name);
        fs::create_dir_all(&directory).expect("a cgroup");
        let pid = sleeper.0.id().to_string();
        fs::write(directory.join("cgroup.procs"), pid).expect("moves");
        sleeper
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().expect("asks").is_none()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our subtree in a hierarchy that every container is in.
fn one(host: &Host) -> PathBuf {
    let mount = match host.hierarchy() {
        Hierarchy::V1(mounts) => mounts
            .into_iter()
            .find(|mount| mount.has("pids"))
            .map(|it| it.path),
        Hierarchy::V2(mount) => Some(mount),
    };
    mount.expect("a hierarchy").join(&host.config.cgroups_root)
}

fn shown(found: &[Difference]) -> Vec<(&'static str, Option<&str>)> {
    found.iter().map(|it| (it.kind(), it.container())).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A container of the host leaves its cgroup a moment after it was killed.
fn until_gone(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while directory.exists() && fs::remove_dir(directory).is_err() {
        assert!(Instant::now() < deadline, "{} stays", directory.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn root_a_broken_node_is_explained_and_mended_and_what_is_not_ours_stays() {
    let host = Host::new("audit");
    let scope = host.scope();
    let with_id = |id: &str| Request {
        id: ContainerId::try_from(id.to_owned()).expect("a good id"),
        ..host.request("exec sleep 1000")
    };
    let whole = host.launch(&with_id("whole")).await.expect("launches");
    let lost = host.launch(&with_id("lost")).await.expect("launches");
    let look =
        |known: &[&str], keeper| audit::differences(&scope, set(known), keeper).expect("looks");
    assert_eq!(look(&[], Keeper::Running), []);
    assert_eq!(look(&[], Keeper::Next(set(&["whole", "lost"]))), []);

    let places = host.config.runtime_dir.join("containers");
    fs::remove_dir_all(places.join("lost")).expect("loses a record");
    let mut ours = Sleeper::in_cgroup(&host, "known/below");
    let mut foreign = Sleeper::in_cgroup(&host, "foreign");
    fs::create_dir(one(&host).join("empty")).expect("a cgroup");
    let [old, other] = [places.join("old"), host.config.runtime_dir.join("other")];
    for place in [&old, &other] {
        fs::create_dir(place).expect("a directory");
        mount(
            Some("x"),
            place,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .expect("mounts");
        fs::write(place.join("file"), "in the mount").expect("writes");
    }

    let found = look(&["known", "empty"], Keeper::Running);
    let wanted = [
        ("process", Some("lost")),
        ("mount", None),
        ("mount", Some("old")),
        ("cgroup", Some("empty")),
        ("cgroup", Some("foreign")),
        ("cgroup", Some("known")),
        ("cgroup", Some("lost")),
    ];
    assert_eq!(shown(&found), wanted);
    for difference in &found {
        // What it says that it does not do it does not.
        let repaired = audit::repair(&scope, difference);
        let mends = matches!(difference.remedy(), audit::Remedy::Repair(_));
        assert_eq!(repaired.is_ok(), mends, "{difference:?}: {repaired:?}");
    }

    let found = look(&["known", "empty"], Keeper::Running);
    assert_eq!(
        shown(&found),
        [("mount", None), ("cgroup", Some("foreign"))]
    );
    assert!(foreign.runs(), "a process of somebody else was ended");
    assert!(!ours.runs(), "a process in a container's cgroup still runs");
    assert!(other.join("file").exists() && !old.join("file").exists());
    lost.wait().await;
    // The place of the mount is a record that nobody begun: with no agent, it is an orphan.
    let found = look(&[], Keeper::Next(set(&["whole"])));
    assert_eq!(found.len(), 3);
    assert!(shown(&found).contains(&("record", Some("old"))));

    umount(&other).expect("unmounts");
    drop(foreign);
    until_gone(&one(&host).join("foreign"));
    fs::remove_dir(&old).expect("removes");
    let found = look(&[], Keeper::Next(BTreeSet::new()));
    assert_eq!(shown(&found), [("record", Some("whole"))]);
    whole.kill();
    whole.wait().await;
    whole.forget();
    host.finish();
}

#[tokio::test]
async fn root_a_repair_ends_no_process_that_has_only_the_number_of_one_that_was_seen() {
    let host = Host::new("number");
    let scope = host.scope();
    let container = host
        .launch(&host.request("exec sleep 1000"))
        .await
        .expect("launches");
    let places = host.config.runtime_dir.join("containers");
    fs::remove_dir_all(places.join("c1")).expect("loses a record");
    let found = audit::differences(&scope, BTreeSet::new(), Keeper::Running).expect("looks");
    let Some(Difference::Process {
        container: whose,
        process,
    }) = found.first()
    else {
        panic!("{found:?}");
    };
    // As if the number had gone to another meanwhile, and as if it were another's container.
    let mut later = process.clone();
    later.process.birth = Birth::Inode(1);
    for (container, process) in [(whose, &later), (&"c2".to_owned(), process)] {
        let (container, process) = (container.clone(), process.clone());
        let _ = audit::repair(&scope, &Difference::Process { container, process });
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid()));
    assert!(
        stat.is_ok_and(|stat| !stat.contains(") Z ")),
        "it was ended"
    );
    container.kill();
    container.wait().await;
    container.forget();
    host.finish();
    assert_eq!(
        cgroups(&host.config.cgroups_root),
        [""; 0].map(PathBuf::from)
    );
}
