//! Whole trees below `meta`, as they were written and as they may be found.

mod mangled;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proto::v1::{TaskState, TaskStatus};

use super::*;
use crate::checkpoint::{self, Durability};

const BOOT: &str = "11111111-1111-4111-8111-111111111111";
const NEXT_BOOT: &str = "22222222-2222-4222-8222-222222222222";

/// An agent with a task in each of these containers: framework F has t1 and t2, G has t3.
const TASKS: [(&str, &str, &str); 3] = [("F", "t1", "c1"), ("F", "t2", "c2"), ("G", "t3", "c3")];

fn tree() -> (tempfile::TempDir, Paths) {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path());
    let durable = Durability::Process;
    let info = v1::AgentInfo {
        hostname: "n5".into(),
        id: Some(v1::AgentId { value: "S0".into() }),
        ..Default::default()
    };
    checkpoint::write(&paths.agent_info("S0"), &info, durable).unwrap();
    checkpoint::relink(&paths.latest_agent(), Path::new("S0"), durable).unwrap();
    checkpoint::replace(&paths.boot_id(), BOOT.as_bytes(), durable).unwrap();
    for (framework, task, container) in TASKS {
        let info = v1::FrameworkInfo {
            name: "marathon".into(),
            id: Some(v1::FrameworkId {
                value: framework.into(),
            }),
            ..Default::default()
        };
        let file = paths.framework_info("S0", framework);
        checkpoint::write(&file, &info, durable).unwrap();
        launch(&paths, framework, task, container);
    }
    (dir, paths)
}

fn run(framework: &str, task: &str, container: &str) -> Run {
    Run {
        agent: "S0".into(),
        framework: framework.into(),
        executor: task.into(),
        container: container.into(),
    }
}

fn launch(paths: &Paths, framework: &str, task: &str, container: &str) -> TaskJournal {
    let run = run(framework, task, container);
    let executor = v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: task.into() },
        ..Default::default()
    };
    let info = v1::TaskInfo {
        task_id: v1::TaskId { value: task.into() },
        ..Default::default()
    };
    let mut journal = TaskJournal::create(paths, &run, &executor, &info).unwrap();
    for (uuid, state) in [(1, TaskState::TaskStarting), (2, TaskState::TaskRunning)] {
        journal.update(&update(uuid, state)).unwrap();
    }
    journal.acknowledged(&[1; 16]).unwrap();
    journal
}

fn update(uuid: u8, state: TaskState) -> TaskStatus {
    TaskStatus {
        uuid: Some(vec![uuid; 16]),
        state: state as i32,
        ..Default::default()
    }
}

/// Containers of the tasks that are to go on.
fn containers(stored: &Stored) -> Vec<&str> {
    let runs = stored.frameworks.iter().flat_map(|f| &f.runs);
    let found = runs.filter(|run| !run.tasks.is_empty());
    found.map(|run| run.run.container.as_str()).collect()
}

/// Every file below, with what is in it.
fn everything(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            found.insert(path.clone(), vec![]);
            found.append(&mut everything(&path));
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap();
            found.insert(path, content);
        } else {
            let target = fs::read_link(&path).map(|to| to.into_os_string().into_encoded_bytes());
            found.insert(path, target.unwrap_or_default());
        }
    }
    found
}

fn chain(error: &RecoveryError) -> String {
    proto::error::chain(error)
}

#[test]
fn what_was_written_is_read_back() {
    let (_dir, paths) = tree();
    let stored = read(&paths, Some(NEXT_BOOT)).unwrap();
    assert_eq!(stored.id.as_deref(), Some("S0"));
    assert_eq!(stored.info.as_ref().unwrap().hostname, "n5");
    assert!(stored.rebooted);
    assert_eq!(containers(&stored), ["c1", "c2", "c3"]);
    let found = &stored.frameworks[0].runs[0];
    assert!(!found.completed);
    let history = &found.tasks[0].history;
    assert_eq!((history.updates.len(), history.acknowledged), (2, 1));
    assert!(stored.losses.is_empty() && stored.earlier.is_empty());
    assert!(!stored.unread.contains("c1"));
    assert!(!read(&paths, Some(BOOT)).unwrap().rebooted);
    assert!(!read(&paths, None).unwrap().rebooted);
}

#[test]
fn an_agent_that_never_was_has_nothing_to_recover() {
    let dir = tempfile::tempdir().unwrap();
    let stored = recover(&Paths::new(dir.path()), Some(BOOT), true).unwrap();
    assert!(stored.id.is_none() && stored.losses.is_empty());
}

#[test]
fn strict_stops_at_what_is_damaged_says_where_and_touches_nothing() {
    let (_dir, paths) = tree();
    let file = paths.task_info(&run("F", "t2", "c2"), "t2");
    let mut bytes = fs::read(&file).unwrap();
    bytes[30] ^= 4;
    fs::write(&file, &bytes).unwrap();
    fs::write(paths.framework_info("S0", "G"), "x").unwrap();
    let before = everything(&paths.meta());
    let error = recover(&paths, Some(BOOT), true).unwrap_err();
    let wanted = format!(
        "task t2 of framework F, which is in container c2, cannot be recovered, nor what 1 more faults \
         are about: put that right, or start with --strict=false to go on without; what is damaged is then \
         set aside: {} is damaged at byte 12: bytes have changed, the checksum is that of others",
        file.display()
    );
    assert_eq!(chain(&error), wanted);
    assert_eq!(everything(&paths.meta()), before);
}

#[test]
fn without_strict_what_is_damaged_is_set_aside_and_its_containers_are_left_alone() {
    let (_dir, paths) = tree();
    let file = paths.task_info(&run("F", "t2", "c2"), "t2");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, "x").unwrap();
    let stored = recover(&paths, Some(BOOT), false).unwrap();
    assert_eq!(containers(&stored), ["c1", "c3"]);
    assert_eq!(stored.losses.len(), 1);
    let aside = file.with_file_name("task.info.damaged-0");
    assert_eq!(stored.losses[0].aside.as_ref(), Some(&aside));
    assert_eq!(fs::read(&aside).unwrap(), b"x");
    // So it stays, with and without --strict, until somebody puts it right.
    for strict in [true, false] {
        let stored = recover(&paths, Some(BOOT), strict).unwrap();
        assert_eq!(containers(&stored), ["c1", "c3"]);
        assert!(stored.losses.is_empty() && stored.unread.contains("c2"));
        let what = "task t2 of framework F, which is in container c2,".to_owned();
        let aside = aside.clone();
        assert_eq!(stored.earlier, [Earlier { what, aside }]);
    }
    fs::write(&file, whole).unwrap();
    let stored = recover(&paths, Some(BOOT), true).unwrap();
    assert_eq!(containers(&stored), ["c1", "c2", "c3"]);
    assert!(stored.earlier.is_empty() && !stored.unread.contains("c2"));
}

#[test]
fn a_damaged_journal_costs_only_the_record_that_is_damaged() {
    let (_dir, paths) = tree();
    let file = paths.task_updates(&run("F", "t1", "c1"), "t1");
    let mut bytes = fs::read(&file).unwrap();
    bytes[30] ^= 4;
    fs::write(&file, &bytes).unwrap();
    assert!(recover(&paths, Some(BOOT), true).is_err());
    let mut stored = recover(&paths, Some(BOOT), false).unwrap();
    assert_eq!(containers(&stored), ["c1", "c2", "c3"]);
    let aside = stored.losses[0].aside.clone().unwrap();
    assert_eq!(fs::read(aside).unwrap(), bytes);
    let task = &mut stored.frameworks[0].runs[0].tasks[0];
    let running = update(2, TaskState::TaskRunning);
    assert_eq!(task.history.updates, [running]);
    task.journal.acknowledged(&[2; 16]).unwrap();
    let stored = recover(&paths, Some(BOOT), true).unwrap();
    assert_eq!(
        stored.frameworks[0].runs[0].tasks[0].history.acknowledged,
        1
    );
}

#[test]
fn what_a_newer_program_wrote_is_left_to_it() {
    let (_dir, paths) = tree();
    let file = paths.executor_info(&run("G", "t3", "c3"));
    let mut bytes = fs::read(&file).unwrap();
    bytes[4] = 9;
    let sum = crc32fast::hash(&bytes[..8]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    fs::write(paths.framework_info("S0", "F"), "x").unwrap();
    let before = everything(&paths.meta());
    for strict in [true, false] {
        let error = chain(&recover(&paths, Some(BOOT), strict).unwrap_err());
        let wanted = format!("checkpoint {} is of version 9, ", file.display());
        assert!(error.starts_with(&wanted), "{error}");
    }
    assert_eq!(everything(&paths.meta()), before);
}

#[test]
fn what_a_reboot_cut_short_does_not_stop_the_agent() {
    let (_dir, paths) = tree();
    let file = paths.task_info(&run("F", "t2", "c2"), "t2");
    let length = fs::metadata(&file).unwrap().len();
    for content in [vec![], vec![0; length as usize]] {
        fs::write(&file, content).unwrap();
        assert!(recover(&paths, Some(BOOT), true).is_err());
        let stored = recover(&paths, Some(NEXT_BOOT), true).unwrap();
        assert_eq!(containers(&stored), ["c1", "c3"]);
        assert_eq!(stored.losses.len(), 1);
    }
}

#[test]
fn a_launch_that_came_no_further_than_its_checkpoint_is_known() {
    let (_dir, paths) = tree();
    let over = run("F", "again", "first");
    launch(&paths, "F", "again", "first");
    checkpoint::replace(&paths.sentinel(&over), b"", Durability::Process).unwrap();
    crate::sandbox::create(&paths, &over, None).unwrap();
    let latest = |paths: &Paths| {
        let stored = read(paths, Some(BOOT)).unwrap();
        let runs = stored.frameworks.into_iter().flat_map(|f| f.runs);
        let mut runs = runs.filter(|run| run.run.executor == "again");
        let found = runs.next().map(|run| (run.run.container, run.completed));
        found.unwrap()
    };
    assert_eq!(latest(&paths), ("first".to_owned(), true));
    launch(&paths, "F", "again", "second");
    assert_eq!(latest(&paths), ("second".to_owned(), false));
    assert!(!paths.sandbox(&run("F", "again", "second")).exists());
}

#[test]
fn the_id_of_an_agent_outlives_what_else_was_known_of_it() {
    let (_dir, paths) = tree();
    fs::write(paths.agent_info("S0"), "x").unwrap();
    assert!(recover(&paths, Some(BOOT), true).is_err());
    let stored = recover(&paths, Some(BOOT), false).unwrap();
    assert_eq!(
        (stored.id.as_deref(), stored.info.is_some()),
        (Some("S0"), false)
    );
    assert_eq!(containers(&stored), ["c1", "c2", "c3"]);
}

#[test]
fn an_agent_whose_id_is_lost_spares_every_container_until_that_is_put_right() {
    let (_dir, paths) = tree();
    fs::remove_file(paths.latest_agent()).unwrap();
    symlink("../../etc", paths.latest_agent()).unwrap();
    assert!(recover(&paths, Some(BOOT), true).is_err());
    let stored = recover(&paths, Some(BOOT), false).unwrap();
    assert!(stored.id.is_none() && stored.unread.contains("c1"));
    let latest = Path::new("S1");
    checkpoint::relink(&paths.latest_agent(), latest, Durability::Process).unwrap();
    let info = v1::AgentInfo {
        id: Some(v1::AgentId { value: "S1".into() }),
        ..Default::default()
    };
    checkpoint::write(&paths.agent_info("S1"), &info, Durability::Process).unwrap();
    let stored = recover(&paths, Some(BOOT), true).unwrap();
    assert_eq!(stored.id.as_deref(), Some("S1"));
    assert!(stored.unread.contains("c1"));
}

#[test]
fn a_terminal_update_is_told_after_a_reboot_that_took_all_else() {
    let (_dir, paths) = tree();
    let run = run("G", "t4", "c4");
    let mut journal = launch(&paths, "G", "t4", "c4");
    journal.update(&update(3, TaskState::TaskFinished)).unwrap();
    let files = crate::paths::described_by(&paths.task_updates(&run, "t4"));
    let whole: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    fs::write(&files[0], "").unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::write(&files[2], [0; 100]).unwrap();
    let stored = recover(&paths, Some(NEXT_BOOT), true).unwrap();
    assert_eq!(containers(&stored), ["c1", "c2", "c3", "c4"]);
    let history = &stored.frameworks[1].runs[1].tasks[0].history;
    let last = history.updates.last().unwrap();
    assert_eq!(
        (last.state(), history.acknowledged),
        (TaskState::TaskFinished, 1)
    );
    for (file, whole) in files.iter().zip(whole) {
        assert_eq!(fs::read(file).unwrap(), whole);
    }
}
