use std::collections::{BTreeMap, BTreeSet};

use isolators::IdRange;

use super::*;
use crate::identity::{Birth, Identity};

/// No link leads there, so names are as the kernel tells them.
const RUNTIME: &str = "/no/such/run";

fn scope() -> Scope {
    Scope {
        runtime_dir: RUNTIME.into(),
        cgroups_hierarchy: "/cg".into(),
        cgroups_root: "mesos".to_owned(),
        directories: vec!["/no/such/work".into()],
        oci_root: "/no/such/oci".into(),
    }
}

const FIRST: Identity = process(100);

const fn process(pid: u32) -> Identity {
    Identity {
        pid,
        birth: Birth::Inode(7),
        boot: None,
    }
}

fn member(pid: u32) -> Member {
    Member {
        process: process(pid),
        name: "sleep".to_owned(),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A node with one container, c1, as it should be.
fn whole() -> (Inventory, Journal) {
    let ids = IdRange {
        first: 1 << 20,
        count: 1 << 16,
    };
    let inventory = Inventory {
        cgroups: BTreeMap::from([("c1".to_owned(), cgroup(&[]))]),
        living: set(&["c1"]),
        ids: BTreeMap::from([("c1".to_owned(), ids)]),
        ..Inventory::default()
    };
    let recorded = Recorded {
        process: Some(FIRST),
        ..Recorded::default()
    };
    let journal = Journal {
        records: BTreeMap::from([("c1".to_owned(), recorded)]),
        ids: BTreeMap::from([(1 << 20, "c1".to_owned()), (1 << 21, "gone".to_owned())]),
        known: set(&["c1"]),
        keeper: Keeper::Next(set(&["c1"])),
    };
    (inventory, journal)
}

fn cgroup(processes: &[u32]) -> CgroupSeen {
    CgroupSeen {
        directories: vec!["/cg/cpu/mesos/x".into(), "/cg/memory/mesos/x".into()],
        processes: processes.iter().copied().map(member).collect(),
    }
}

fn bundle(condition: Condition, cgroup: &str, processes: &[u32]) -> Bundle {
    let left = CgroupSeen {
        directories: vec!["/cg/cpu/mesos/o1".into()],
        processes: processes.iter().copied().map(member).collect(),
    };
    Bundle {
        directory: "/no/such/oci/o1".into(),
        condition,
        cgroup: Some(cgroup.into()),
        left: Left {
            cgroups: left.directories,
            processes: left.processes,
            mounts: vec![],
        },
    }
}

fn mounted(point: &str, kind: &str) -> Mount {
    Mount {
        id: 9,
        point: point.into(),
        fstype: kind.to_owned(),
        options: String::new(),
    }
}

type Change = fn(&mut Inventory, &mut Journal);

/// What is broken; kind, container, whether a repair mends it, and words of the explanation.
type Row = (
    &'static str,
    Change,
    &'static str,
    Option<&'static str>,
    bool,
    &'static str,
);

#[rustfmt::skip] // One broken world each.
const BROKEN: &[Row] = &[
    ("a cgroup that a sandbox names", |kernel, journal| {
        kernel.cgroups.insert("c2".to_owned(), cgroup(&[]));
        journal.known.insert("c2".to_owned());
    }, "cgroup", Some("c2"), true, "had it, and has no record any more; no process is in it"),
    ("a cgroup that nothing names", |kernel, _| {
        kernel.cgroups.insert("c2".to_owned(), cgroup(&[5]));
    }, "cgroup", Some("c2"), false, "no record, sandbox or checkpoint of this agent names it; in it: process 5 (sleep)"),
    ("a process in a cgroup without a container", |kernel, journal| {
        kernel.cgroups.insert("c2".to_owned(), cgroup(&[1, 2, 3, 4, 5, 6, 7]));
        journal.known.insert("c2".to_owned());
    }, "cgroup", Some("c2"), true, "5 (sleep) and 2 more"),
    ("a process in the subtree itself", |kernel, _| {
        kernel.in_root.push(member(5));
    }, "foreign process", None, false, "in the cgroup /mesos itself"),
    ("a first process without a record", |kernel, _| {
        kernel.inits.push(("c2".to_owned(), member(5)));
    }, "process", Some("c2"), true, "has no record: no agent can find it"),
    ("a mount in the place of an ended container", |kernel, _| {
        kernel.mounts.push(mounted("/no/such/run/containers/c2/rootfs", "overlay"));
    }, "mount", Some("c2"), true, "this one is the host's"),
    ("a pinned namespace in such a place", |kernel, _| {
        kernel.mounts.push(mounted("/no/such/run/containers/c2", "nsfs"));
    }, "namespace", Some("c2"), true, "this one is the host's"),
    ("a mount in the place of a live container", |kernel, _| {
        kernel.mounts.push(mounted("/no/such/run/containers/c1", "tmpfs"));
    }, "mount", Some("c1"), true, "this one is the host's"),
    ("a mount in no container's place", |kernel, _| {
        kernel.mounts.push(mounted("/no/such/run/x/containers/c2", "tmpfs"));
    }, "mount", None, false, "nothing of this agent mounts anything there"),
    ("a live container that the next agent will not know", |_, journal| {
        journal.keeper = Keeper::Next(BTreeSet::new());
    }, "record", Some("c1"), true, "no checkpoint names it, so the next agent will have no task with it; its container runs"),
    ("a record of a launch that was cut off", |_, journal| {
        journal.records.insert("c2".to_owned(), Recorded::default());
    }, "record", Some("c2"), true, "its container has ended, or was never begun"),
    ("a record that is damaged", |kernel, journal| {
        let record = journal.records.get_mut("c1").expect("it is there");
        (record.process, record.damage) = (None, Some("it cannot be read".to_owned()));
        journal.keeper = Keeper::Next(BTreeSet::new());
        kernel.living.clear();
        kernel.ids.clear();
    }, "damaged record", Some("c1"), false, "it cannot be read; so no agent takes the container over"),
    ("a container that the agent has no task for", |_, journal| {
        journal.keeper = Keeper::Us(BTreeSet::new());
    }, "record", Some("c1"), false, "the agent has no task with it; its container runs"),
    ("a live container whose cgroup is gone", |kernel, _| {
        kernel.cgroups.clear();
    }, "missing cgroup", Some("c1"), false, "its limits hold no longer"),
    ("ids that are not reserved", |_, journal| {
        journal.ids.clear();
    }, "ids", Some("c1"), true, "1048576 to 1114111 of the host, which are not reserved for it"),
    ("ids that one has reserved who is gone", |_, journal| {
        journal.ids.insert(1 << 20, "gone".to_owned());
    }, "ids", Some("c1"), true, "which are reserved for gone"),
    ("a file of ours in use as a disk", |kernel, _| {
        let (device, file) = ("/dev/loop3".into(), "/no/such/run/disk".into());
        kernel.loop_devices.push(LoopDevice { device, file });
    }, "loop device", None, false, "keeps the file /no/such/run/disk of this agent in use"),
    ("a link with a name of ours", |kernel, _| {
        kernel.links.push("longshore0".to_owned());
    }, "link", None, false, "no container of this agent has a link of the host"),
    ("a namespace of ours that is pinned elsewhere", |kernel, _| {
        kernel.mounts.push(mounted("/run/netns/longshore-c9", "nsfs"));
    }, "namespace", None, false, "nothing of this agent mounts anything there"),
    ("one of `longshore oci` that has ended, in our subtree", |kernel, journal| {
        kernel.cgroups.insert("o1".to_owned(), cgroup(&[5]));
        journal.known.insert("o1".to_owned());
        kernel.bundles.insert("o1".to_owned(), bundle(Condition::Ended, "/mesos/o1/inner", &[5]));
    }, "oci container", Some("o1"), false, "has ended, and nobody has deleted it; in its cgroup: process 5 (sleep)"),
    ("one of `longshore oci` that has ended, elsewhere", |kernel, _| {
        kernel.bundles.insert("o1".to_owned(), bundle(Condition::Ended, "/o1", &[]));
    }, "oci container", Some("o1"), false, "its cgroup is there, and empty"),
    ("one of `longshore oci` that was not made to its end", |kernel, _| {
        let unmade = Bundle { cgroup: None, left: Left::default(), ..bundle(Condition::Unmade, "/", &[]) };
        kernel.bundles.insert("o1".to_owned(), unmade);
    }, "oci container", Some("o1"), false, "was cut off before it had a process"),
    ("one of `longshore oci` that cannot be told", |kernel, _| {
        let damaged = Condition::Damaged("expected value at line 1".to_owned());
        kernel.bundles.insert("o1".to_owned(), bundle(damaged, "/o1", &[]));
    }, "oci container", Some("o1"), false, "cannot be read: expected value at line 1"),
];

#[test]
fn each_broken_world_has_one_difference_that_explains_it() {
    for (what, broken, kind, container, mends, words) in BROKEN {
        let (mut inventory, mut journal) = whole();
        broken(&mut inventory, &mut journal);
        let found = compare(&scope(), &inventory, &journal);
        let [one] = found.as_slice() else {
            panic!("{what}: {found:?}");
        };
        assert_eq!((one.kind(), one.container()), (*kind, *container), "{what}");
        let why = one.why();
        assert!(why.contains(words), "{what}: {why}");
        assert_eq!(matches!(one.remedy(), Remedy::Repair(_)), *mends, "{what}");
        // What a repair would not do it refuses, before it looks at anything.
        if !mends && !matches!(one, Difference::Orphan { .. }) {
            let refused = repair(&scope(), one);
            assert!(matches!(refused, Err(RepairError::NotOurs)), "{what}");
        }
    }
}

#[test]
fn a_whole_world_has_none() {
    let (inventory, journal) = whole();
    assert_eq!(compare(&scope(), &inventory, &journal), []);
    // With whatever the further directories hold: who named them knows what that means.
    let (mut inventory, mut journal) = whole();
    inventory.mounts.push(mounted("/no/such/work/x", "ext4"));
    inventory.loop_devices.push(LoopDevice {
        device: "/dev/loop0".into(),
        file: "/no/such/work/x".into(),
    });
    journal.keeper = Keeper::Us(set(&["c1", "not begun yet"]));
    assert_eq!(compare(&scope(), &inventory, &journal), []);
}

#[test]
fn what_longshore_oci_runs_is_not_foreign_wherever_its_cgroup_is() {
    let (mut inventory, mut journal) = whole();
    for (name, place) in [
        ("o1", "/mesos/o1"),
        ("o2", "/mesos/deep/o2"),
        ("o3", "/mesos"),
        ("o4", "/o4"),
    ] {
        let lives = bundle(Condition::Lives, place, &[]);
        inventory.bundles.insert(name.to_owned(), lives);
    }
    inventory.cgroups.insert("o1".to_owned(), cgroup(&[5]));
    inventory.cgroups.insert("deep".to_owned(), cgroup(&[6]));
    inventory.in_root.push(member(7));
    // Also when a sandbox has the name: a repair would kill it.
    journal.known.insert("o1".to_owned());
    assert_eq!(compare(&scope(), &inventory, &journal), []);
}

#[test]
fn who_made_a_container_is_told_how_to_delete_it() {
    let table = [
        (
            Condition::Ended,
            "/mesos/o1",
            "longshore oci --root /no/such/oci delete o1",
        ),
        (
            Condition::Unmade,
            "/o1",
            "longshore oci --root /no/such/oci delete --force o1",
        ),
        // Its cgroup holds those of the agent's containers.
        (
            Condition::Ended,
            "/mesos",
            "remove /no/such/oci/o1: its cgroup is around those of this agent",
        ),
        (
            Condition::Ended,
            "/",
            "remove /no/such/oci/o1: its cgroup is around those of this agent",
        ),
    ];
    for (condition, cgroup, wanted) in table {
        let (mut inventory, journal) = whole();
        let left = bundle(condition, cgroup, &[]);
        inventory.bundles.insert("o1".to_owned(), left);
        let found = compare(&scope(), &inventory, &journal);
        let Remedy::Advice(advice) = found[0].remedy() else {
            panic!("{found:?}");
        };
        assert!(advice.starts_with(wanted), "{advice}");
    }
}

#[test]
fn an_agent_that_runs_has_what_is_recorded_and_nothing_else() {
    let (mut inventory, mut journal) = whole();
    journal.keeper = Keeper::Running;
    // A launch that has come no further.
    journal.records.insert("c2".to_owned(), Recorded::default());
    inventory.cgroups.insert("c2".to_owned(), cgroup(&[]));
    inventory.inits.push(("c2".to_owned(), member(5)));
    assert_eq!(compare(&scope(), &inventory, &journal), []);
    inventory.inits.push(("c3".to_owned(), member(6)));
    inventory.cgroups.insert("c3".to_owned(), cgroup(&[6]));
    let found = compare(&scope(), &inventory, &journal);
    // The first process says whose the cgroup is, though nothing on disk does.
    let shown: Vec<_> = found.iter().map(|it| (it.kind(), it.remedy())).collect();
    let repair = |what: &str| Remedy::Repair(what.to_owned());
    let wanted = [
        ("process", repair("kill it, and with it its container")),
        ("cgroup", repair("kill what is in it, and remove it")),
    ];
    assert_eq!(shown, wanted);
}

#[test]
fn a_container_whose_spec_names_another_cgroup_accounts_for_that() {
    let (mut inventory, mut journal) = whole();
    let seen = inventory.cgroups.remove("c1").expect("it is there");
    inventory.cgroups.insert("other".to_owned(), seen);
    let record = journal.records.get_mut("c1").expect("it is there");
    record.cgroup = Some("other".to_owned());
    assert_eq!(compare(&scope(), &inventory, &journal), []);
}

#[test]
fn two_containers_with_the_same_ids_are_told_apart_from_a_reservation_that_is_old() {
    let (mut inventory, mut journal) = whole();
    journal.ids.insert(1 << 20, "c2".to_owned());
    inventory.living.insert("c2".to_owned());
    inventory.cgroups.insert("c2".to_owned(), cgroup(&[]));
    journal.records.insert("c2".to_owned(), Recorded::default());
    journal.keeper = Keeper::Running;
    let found = compare(&scope(), &inventory, &journal);
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(matches!(one.remedy(), Remedy::Advice(_)), "{one:?}");
}

#[test]
fn what_only_one_look_has_seen_was_on_its_way() {
    let difference = |container: &str, processes: &[u32]| Difference::Cgroup {
        container: container.to_owned(),
        directories: vec![format!("/cg/mesos/{container}").into()],
        processes: processes.iter().copied().map(member).collect(),
        is_ours: true,
    };
    let first = [difference("going", &[]), difference("stays", &[1, 2])];
    let second = vec![difference("stays", &[2]), difference("coming", &[])];
    assert_eq!(lasting(&first, second), [difference("stays", &[2])]);
}

#[test]
fn a_process_that_only_claims_to_be_a_containers_first_does_not_give_away_its_cgroup() {
    let (mut inventory, journal) = whole();
    inventory.inits.push(("c2".to_owned(), member(5)));
    inventory.cgroups.insert("c2".to_owned(), cgroup(&[6]));
    let found = compare(&scope(), &inventory, &journal);
    let Some(Difference::Cgroup { is_ours: false, .. }) = found.get(1) else {
        panic!("{found:?}");
    };
}
