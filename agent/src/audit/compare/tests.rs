use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use containerizer::audit::{LoopDevice, Member, Mount, Protocol, Recorded, Remedy};
use containerizer::{Birth, Identity};
use proto::v1;

use super::*;
use crate::audit::disk::{Disk, Next};
use crate::checkpoint::{self, Durability};
use crate::task::journal::TaskJournal;

fn run(container: &str) -> Run {
    Run {
        agent: "S0".into(),
        framework: "F".into(),
        executor: format!("t-{container}"),
        container: container.into(),
    }
}

fn process(pid: u32) -> Identity {
    Identity {
        pid,
        birth: Birth::Inode(1),
        boot: None,
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn ports(text: &str) -> Ranges {
    Ranges::parse(text).unwrap()
}

/// A node with one task, in the container c1, as it should be.
fn whole() -> Seen {
    let process = process(100);
    let recorded = Recorded {
        process: Some(process),
        ..Recorded::default()
    };
    let seen = audit::CgroupSeen::default();
    Seen {
        network: vec![],
        named: vec![],
        namespaces: vec![],
        bridge: "longshore0".to_owned(),
        inventory: Inventory {
            cgroups: BTreeMap::from([("c1".to_owned(), seen)]),
            living: set(&["c1"]),
            ..Inventory::default()
        },
        journal: Journal {
            records: BTreeMap::from([("c1".to_owned(), recorded)]),
            ids: BTreeMap::new(),
            known: set(&["c1", "c2"]),
            keeper: Keeper::Next(set(&["c1"])),
        },
        disk: Disk {
            // The other is over.
            sandboxes: BTreeSet::from([run("c1"), run("c2")]),
            checkpoints: BTreeSet::from([run("c1"), run("c2")]),
            checkpointing: BTreeSet::new(),
        },
        ports: BTreeMap::from([("c1".to_owned(), ports("[1-2]"))]),
        listeners: vec![],
        projects: vec![],
    }
}

fn places() -> (Scope, Paths) {
    let scope = Scope {
        runtime_dir: "/no/such/run".into(),
        cgroups_hierarchy: "/cg".into(),
        cgroups_root: "mesos".to_owned(),
        directories: vec!["/w/slaves".into()],
        oci_root: "/no/such/oci".into(),
    };
    (scope, Paths::new(Path::new("/w")))
}

fn found(seen: &Seen) -> Vec<Difference> {
    let (scope, paths) = places();
    compare(&scope, &paths, seen)
}

fn in_sandbox(container: &str, below: &str) -> PathBuf {
    let (_, paths) = places();
    paths.sandbox(&run(container)).join(below)
}

fn mounted(point: PathBuf) -> Mount {
    Mount {
        id: 9,
        point,
        fstype: "tmpfs".to_owned(),
        options: String::new(),
    }
}

/// What is broken; kind, container, whether a repair mends it, and words of the explanation.
type Row = (
    &'static str,
    fn(&mut Seen),
    &'static str,
    Option<&'static str>,
    bool,
    &'static str,
);

#[rustfmt::skip] // One broken world each.
const BROKEN: &[Row] = &[
    ("a container that no checkpoint names", |seen| {
        seen.journal.keeper = Keeper::Next(BTreeSet::new());
    }, "record", Some("c1"), true, "its container runs"),
    ("a mount in a sandbox that is not in use", |seen| {
        seen.inventory.mounts.push(mounted(in_sandbox("c2", "data")));
    }, "mount", Some("c2"), false, "keeps garbage collection from"),
    ("a disk in such a sandbox", |seen| {
        let (device, file) = ("/dev/loop7".into(), in_sandbox("c2", "disk"));
        seen.inventory.loop_devices.push(LoopDevice { device, file });
    }, "loop device", Some("c2"), false, "/runs/c2/disk in use"),
    ("a sandbox whose checkpoint is lost", |seen| {
        seen.disk.checkpoints.remove(&run("c2"));
        seen.disk.checkpointing.insert(("S0".into(), "F".into()));
    }, "sandbox", Some("c2"), true, "this one has none"),
    ("a task that runs without its sandbox", |seen| {
        seen.disk.sandboxes.remove(&run("c1"));
    }, "checkpoint", Some("c1"), true, "what the task writes is lost"),
    ("a project whose sandbox has gone", |seen| {
        seen.projects.push(ProjectUse { project: 5003, limit: 1024, ..ProjectUse::default() });
    }, "project quota", None, true, "its sandbox has gone"),
    ("a project of somebody else", |seen| {
        seen.projects.push(ProjectUse { project: 5003, bytes: 4096, inodes: 2, ..ProjectUse::default() });
    }, "project quota", None, false, "4KB in 2 files and directories count for it"),
    ("a port that two have", |seen| {
        seen.ports.insert("c2".to_owned(), ports("[2-3]"));
        seen.inventory.living.insert("c2".to_owned());
        seen.inventory.cgroups.insert("c2".to_owned(), audit::CgroupSeen::default());
        seen.journal.records.insert("c2".to_owned(), Recorded::default());
        seen.journal.keeper = Keeper::Running;
    }, "port", Some("c1"), false, "the containers c1 and c2 both hold it"),
    ("a port that somebody else listens on", |seen| {
        let process = process(5);
        let process = Member { process, name: "nc".to_owned() };
        seen.listeners.push(Listener { port: 31_005, protocol: Protocol::Udp, process });
    }, "port", None, false, "process 5 (nc) listens there"),
];

#[test]
fn each_broken_world_has_one_difference_that_explains_it() {
    for (what, broken, kind, container, mends, words) in BROKEN {
        let mut seen = whole();
        broken(&mut seen);
        let found = found(&seen);
        let [one] = found.as_slice() else {
            panic!("{what}: {found:?}");
        };
        let finding = one.explain(Some(&run("c1")));
        let whose = (finding.kind, finding.container.as_deref());
        assert_eq!(whose, (*kind, *container), "{what}");
        assert!(finding.why.contains(words), "{what}: {}", finding.why);
        assert_eq!(
            matches!(finding.remedy, Remedy::Repair(_)),
            *mends,
            "{what}"
        );
        assert_eq!(finding.task.as_deref(), Some("t-c1 of framework F"));
    }
}

#[test]
fn a_whole_world_has_none_whoever_looks() {
    let keepers = [
        Keeper::Next(set(&["c1"])),
        Keeper::Us(set(&["c1"])),
        Keeper::Running,
    ];
    for keeper in keepers {
        let mut seen = whole();
        seen.journal.keeper = keeper;
        // What an operator does in the sandbox of a task that runs is not ours to judge.
        seen.inventory
            .mounts
            .push(mounted(in_sandbox("c1", "data")));
        // Nor what lies in the work directory beside the sandboxes.
        seen.inventory.mounts.push(mounted("/w/other".into()));
        // A framework that has no checkpoints has sandboxes all the same.
        seen.disk.sandboxes.insert(run("without"));
        // Of one that does not run the agent tells, or garbage collection takes it.
        seen.disk.checkpoints.insert(run("c5"));
        // Of one that has ended, and so holds it no longer.
        seen.ports.insert("ended".to_owned(), ports("[1-1]"));
        assert_eq!(found(&seen), [], "{:?}", seen.journal.keeper);
    }
}

#[test]
fn what_an_agent_that_runs_is_about_to_do_is_no_difference() {
    let mut seen = whole();
    seen.journal.keeper = Keeper::Running;
    // About to be launched.
    seen.disk.checkpoints.insert(run("c3"));
    // About to be collected.
    seen.disk.checkpoints.remove(&run("c2"));
    seen.disk.checkpointing.insert(("S0".into(), "F".into()));
    assert_eq!(found(&seen), []);
}

#[test]
fn the_disk_tells_which_runs_are_there_and_what_the_next_agent_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path());
    assert_eq!(Disk::read(&paths).unwrap(), Disk::default());
    fs::create_dir_all(paths.meta_agents()).unwrap();
    symlink("S0", paths.latest_agent()).unwrap();
    let framework = v1::FrameworkInfo {
        id: Some(v1::FrameworkId { value: "F".into() }),
        checkpoint: Some(true),
        ..Default::default()
    };
    let file = paths.framework_info("S0", "F");
    checkpoint::write(&file, &framework, Durability::Process).unwrap();
    let resources = |text: &str| {
        proto::resources::Resources::parse(text, "*")
            .unwrap()
            .to_protos()
    };
    let info = v1::AgentInfo {
        id: Some(v1::AgentId { value: "S0".into() }),
        resources: resources("ports:[5-9]"),
        ..Default::default()
    };
    checkpoint::write(&paths.agent_info("S0"), &info, Durability::Process).unwrap();
    let of_old_agent = Run {
        agent: "S-old".into(),
        ..run("c4")
    };
    for (run, has_sandbox, has_checkpoint) in [
        (&run("c1"), true, true),
        (&run("c2"), true, true),
        (&run("c3"), true, false),
        (&of_old_agent, false, true),
    ] {
        if has_sandbox {
            crate::sandbox::create(&paths, run, None).unwrap();
        }
        if has_checkpoint {
            let id = run.executor.clone();
            let task = v1::TaskInfo {
                resources: resources("ports:[7-7]"),
                task_id: v1::TaskId { value: id.clone() },
                ..Default::default()
            };
            let executor = v1::ExecutorInfo {
                executor_id: v1::ExecutorId { value: id },
                ..Default::default()
            };
            TaskJournal::create(&paths, run, &executor, &task).unwrap();
        }
    }
    fs::write(paths.sentinel(&run("c2")), "").unwrap();
    let wanted = Disk {
        sandboxes: BTreeSet::from([run("c1"), run("c2"), run("c3")]),
        checkpoints: BTreeSet::from([run("c1"), run("c2"), of_old_agent]),
        checkpointing: BTreeSet::from([("S0".to_owned(), "F".to_owned())]),
    };
    assert_eq!(Disk::read(&paths).unwrap(), wanted);
    let next = Next::read(&paths, None).unwrap();
    let kept = ["c1", "c2", "c3", "c4"].map(|container| next.keeps(container));
    assert_eq!(kept, [true, false, false, false]);
    let held = next.ports(&set(&["c1", "c3"]));
    assert_eq!(held, BTreeMap::from([("c1".to_owned(), ports("[7-7]"))]));
    assert_eq!(next.ports(&set(&["c3"])).len(), 0);
    assert_eq!(next.offered(), ports("[5-9]"));
    // What nobody can read nobody ends.
    fs::write(paths.executor_info(&run("c1")), "x").unwrap();
    assert!(Next::read(&paths, None).unwrap().keeps("c1"));
}
