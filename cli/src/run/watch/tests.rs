use proto::v1::TaskState;

use super::*;
use crate::run::app::{PATIENCE, Phase};
use crate::run::look::{Failure, Fetch, Task};

fn task(number: u32, state: TaskState) -> Task {
    Task {
        id: format!("a.instance-{number}"),
        state,
        directory: "/sandbox".to_owned(),
    }
}

fn look(tasks: &[Task]) -> Look {
    Look {
        tasks: tasks.to_vec(),
        ..Look::default()
    }
}

fn watch(mode: Mode, instances: u32, fetches: bool) -> Watch {
    let mut watch = Watch::new(mode);
    watch.add("/a", instances, fetches);
    watch
}

fn phases(notices: &[Notice]) -> Vec<Phase> {
    let phase = |notice: &Notice| match notice {
        Notice::Phase { phase, .. } => Some(*phase),
        Notice::Fetch { .. } | Notice::Ended { .. } | Notice::LaunchRest { .. } => None,
    };
    notices.iter().filter_map(phase).collect()
}

#[test]
fn each_phase_is_told_once() {
    let mut watch = watch(Mode::Forever, 1, true);
    for (tasks, told) in [
        (vec![], vec![Phase::Waiting(None)]),
        (vec![], vec![]),
        (vec![task(1, TaskState::TaskStaging)], vec![Phase::Fetching]),
        (
            vec![task(1, TaskState::TaskStarting)],
            vec![Phase::Starting],
        ),
        (
            vec![task(1, TaskState::TaskRunning)],
            vec![Phase::Running {
                running: 1,
                wanted: 1,
            }],
        ),
        (vec![task(1, TaskState::TaskRunning)], vec![]),
    ] {
        assert_eq!(phases(&watch.step(&look(&tasks))), told, "{tasks:?}");
    }
    assert!(watch.is_settled() && !watch.is_done());
}

#[test]
fn a_failure_is_told_once_with_its_message() {
    let mut watch = watch(Mode::Forever, 1, false);
    let failed = task(1, TaskState::TaskFailed);
    assert_eq!(
        phases(&watch.step(&look(std::slice::from_ref(&failed)))),
        [Phase::Waiting(None)]
    );
    let message = "Command exited with status 3".to_owned();
    let failure = Failure {
        task: failed.id.clone(),
        state: TaskState::TaskFailed,
        message: message.clone(),
    };
    let second = Look {
        tasks: vec![failed.clone()],
        failures: vec![failure],
        ..Look::default()
    };
    let told = Notice::Ended {
        task: failed.id,
        state: TaskState::TaskFailed,
        message: Some(message),
    };
    assert_eq!(watch.step(&second), [told]);
    assert_eq!(watch.step(&second), []);
}

#[test]
fn a_failure_whose_message_never_comes_is_told_without() {
    let mut watch = watch(Mode::Forever, 1, false);
    let failed = look(&[task(1, TaskState::TaskFailed)]);
    let told: Vec<Notice> = (0..=PATIENCE).flat_map(|_| watch.step(&failed)).collect();
    assert!(
        told.iter()
            .any(|n| matches!(n, Notice::Ended { message: None, .. }))
    );
}

#[test]
fn once_ends_with_the_last_instance_and_its_result() {
    let mut watch = watch(Mode::Once, 2, false);
    watch.step(&look(&[
        task(1, TaskState::TaskRunning),
        task(2, TaskState::TaskRunning),
    ]));
    let finished = [
        task(1, TaskState::TaskFinished),
        task(2, TaskState::TaskRunning),
    ];
    watch.step(&look(&finished));
    assert!(!watch.is_done());
    let failed = task(2, TaskState::TaskFailed);
    let failure = Failure {
        task: failed.id.clone(),
        state: TaskState::TaskFailed,
        message: "Command exited with status 7".to_owned(),
    };
    watch.step(&Look {
        tasks: vec![failed],
        failures: vec![failure],
        ..Look::default()
    });
    assert!(watch.is_done());
    assert_eq!(watch.exit_code(), 7);
}

#[test]
fn a_task_that_no_agent_ever_saw_counts_too() {
    let mut watch = watch(Mode::Once, 1, false);
    let failure = Failure {
        task: "a.instance-1".to_owned(),
        state: TaskState::TaskError,
        message: "refused".to_owned(),
    };
    watch.step(&Look {
        tasks: vec![],
        failures: vec![failure],
        ..Look::default()
    });
    assert!(watch.is_done());
    assert_eq!(watch.exit_code(), 1);
}

#[test]
fn instances_without_room_are_launched_when_others_have_ended() {
    let mut watch = watch(Mode::Once, 3, false);
    let some = look(&[
        task(1, TaskState::TaskFinished),
        task(2, TaskState::TaskFinished),
    ]);
    let rest = Notice::LaunchRest {
        app: "/a".to_owned(),
        instances: 1,
    };
    assert!(watch.step(&some).contains(&rest));
    assert!(!watch.step(&some).contains(&rest));
}

#[test]
fn tasks_are_named_after_their_app() {
    let mut watch = Watch::new(Mode::Forever);
    watch.add("/g/a", 2, false);
    watch.add("/g/a.b", 1, false);
    let named = |id: &str| Task {
        id: id.to_owned(),
        ..task(1, TaskState::TaskRunning)
    };
    watch.step(&look(&[
        named("g_a.instance-1"),
        named("g_a.instance-2"),
        named("g_a.b.instance-1"),
    ]));
    assert_eq!(watch.name("g_a.instance-1").as_deref(), Some("g/a"));
    assert_eq!(watch.name("g_a.instance-2").as_deref(), Some("g/a#2"));
    assert_eq!(watch.name("g_a.b.instance-1").as_deref(), Some("g/a.b"));
    assert_eq!(watch.name("other"), None);
}

#[test]
fn how_far_a_fetch_has_come_is_told_when_that_changes_and_while_it_is_fetched() {
    let mut watch = watch(Mode::Forever, 1, true);
    let staging = task(1, TaskState::TaskStaging);
    let mut look = look(std::slice::from_ref(&staging));
    let mut told = |bytes, state| {
        let fetch = Fetch {
            bytes,
            ..Fetch::default()
        };
        look.tasks[0].state = state;
        look.fetches.insert(staging.id.clone(), fetch);
        let notices = watch.step(&look);
        notices
            .iter()
            .any(|notice| matches!(notice, Notice::Fetch { fetch: it, .. } if *it == fetch))
    };
    assert!(told(5, TaskState::TaskStaging));
    assert!(!told(5, TaskState::TaskStaging));
    assert!(told(6, TaskState::TaskStaging));
    assert!(!told(7, TaskState::TaskRunning));
}
