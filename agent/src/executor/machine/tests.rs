mod any_order;

use containerizer::{Death, ExitStatus};
use proto::v1::TaskState::{
    TaskDropped, TaskFailed, TaskFinished, TaskKilled, TaskLost, TaskRunning,
};

use super::*;
use crate::quota::Overrun;

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy {
        framework: FrameworkInfo::default(),
        grace: 5 * SECOND,
        registration: 60 * SECOND,
        reregistration: 2 * SECOND,
    }
}

fn task(id: &str) -> Event {
    let mut info = TaskInfo::default();
    info.task_id.value = id.into();
    Event::Task(Box::new(info))
}

/// A task that no room was found for.
fn unwritten(id: &str) -> Event {
    match task(id) {
        Event::Task(task) => Event::Unwritten {
            task,
            why: "the disk is full".into(),
        },
        _ => unreachable!(),
    }
}

fn status(id: &str, state: TaskState, uuid: u8) -> TaskStatus {
    TaskStatus {
        task_id: TaskId { value: id.into() },
        state: state as i32,
        uuid: Some(vec![uuid; 16]),
        ..Default::default()
    }
}

fn update(id: &str, state: TaskState, uuid: u8) -> Event {
    Event::Update(Box::new(status(id, state, uuid)))
}

fn subscribed(held: &[&str], updates: Vec<TaskStatus>) -> Event {
    Event::Subscribed {
        tasks: held.iter().map(|id| (*id).to_owned()).collect(),
        updates,
    }
}

fn ended(status: Option<ExitStatus>) -> Event {
    Event::Ended(Box::new(Termination {
        status,
        out_of_memory: None,
        death: Death::default(),
        leftovers: vec![],
    }))
}

/// What was done, in words.
fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Say(word) => word.r#type().as_str_name().to_lowercase(),
        Effect::HandOver(task) => format!("hand over {}", task.task_id.value),
        Effect::Forward(status) => format!("forward {}", status.task_id.value),
        Effect::Report { task, report } => {
            let reason = report.reason.map_or("", |reason| reason.as_str_name());
            format!("{task}: {} {reason}", report.state.as_str_name())
        }
        Effect::NoteKill { task, .. } => format!("note kill {task}"),
        other => format!("{other:?}").to_lowercase(),
    };
    effects.iter().map(word).collect()
}

/// An executor that has subscribed, with these tasks handed over.
fn running(tasks: &[&str]) -> (Machine, Instant) {
    let (mut machine, now) = (Machine::start(policy()), Instant::now());
    for id in tasks {
        machine.step(task(id), now);
    }
    machine.step(Event::Launched, now);
    machine.step(subscribed(&[], vec![]), now);
    (machine, now)
}

#[test]
fn tasks_wait_for_the_subscription_and_come_in_order() {
    let (mut machine, now) = (Machine::start(policy()), Instant::now());
    assert!(machine.step(task("b"), now).is_empty());
    machine.step(Event::Launched, now);
    assert!(machine.step(task("a"), now).is_empty());
    let effects = machine.step(subscribed(&[], vec![]), now);
    assert_eq!(
        words(&effects),
        ["welcome", "grow", "hand over b", "hand over a"]
    );
    assert_eq!(
        words(&machine.step(task("c"), now)),
        ["grow", "hand over c"]
    );
}

#[test]
fn a_task_that_cannot_be_written_down_fails_and_an_executor_that_has_no_other_ends() {
    let (mut machine, now) = running(&["t"]);
    let failed = "u: TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED";
    assert_eq!(words(&machine.step(unwritten("u"), now)), [failed]);
    let (mut machine, now) = (Machine::start(policy()), Instant::now());
    let effects = machine.step(unwritten("u"), now);
    assert_eq!(words(&effects), [failed, "cancellaunch"]);
    let effects = machine.step(Event::LaunchCancelled, now);
    assert_eq!(words(&effects), ["disconnect", "exited(-1)"]);
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_killed_and_its_tasks_say_so() {
    let (mut machine, now) = (Machine::start(policy()), Instant::now());
    machine.step(task("t"), now);
    machine.step(Event::Launched, now);
    let late = machine.wake_at().unwrap();
    assert_eq!(late, now + 60 * SECOND);
    assert!(machine.step(Event::Woke, late - SECOND).is_empty());
    assert_eq!(words(&machine.step(Event::Woke, late)), ["kill"]);
    let effects = machine.step(ended(Some(ExitStatus::Signaled(9))), late);
    assert_eq!(
        words(&effects),
        [
            "t: TASK_FAILED REASON_EXECUTOR_REGISTRATION_TIMEOUT",
            "disconnect",
            "exited(9)"
        ]
    );
}

#[test]
fn an_executor_that_takes_too_much_of_the_disk_is_killed_and_all_of_its_tasks_say_so() {
    let excess = Excess::Disk(Overrun {
        used: 2 << 20,
        limit: 1 << 20,
        largest: ".".into(),
    });
    let over = || Event::Exceeds(excess.clone());
    let (mut machine, now) = running(&["a", "b"]);
    assert_eq!(words(&machine.step(over(), now)), ["kill"]);
    assert!(machine.step(over(), now).is_empty());
    let effects = machine.step(ended(Some(ExitStatus::Signaled(9))), now);
    assert_eq!(
        words(&effects),
        [
            "a: TASK_FAILED REASON_CONTAINER_LIMITATION_DISK",
            "b: TASK_FAILED REASON_CONTAINER_LIMITATION_DISK",
            "disconnect",
            "exited(9)"
        ]
    );
    // Who was asked to end before ends at once, and for that.
    let (mut machine, now) = running(&["a"]);
    let by = Requester::FrameworkOfExecutor;
    machine.step(Event::ShutDown { by, grace: None }, now);
    assert_eq!(words(&machine.step(over(), now)), ["kill"]);
    let effects = machine.step(ended(Some(ExitStatus::Signaled(9))), now);
    assert_eq!(
        words(&effects)[0],
        "a: TASK_FAILED REASON_EXECUTOR_TERMINATED"
    );
}

#[test]
fn an_update_is_stored_before_that_is_said_and_a_repeated_one_is_only_acknowledged() {
    let (mut machine, now) = running(&["t"]);
    let effects = machine.step(update("t", TaskRunning, 1), now);
    assert_eq!(words(&effects), ["forward t", "acknowledged"]);
    let effects = machine.step(update("t", TaskRunning, 1), now);
    assert_eq!(words(&effects), ["acknowledged"]);
    let effects = machine.step(update("t", TaskFinished, 2), now);
    assert_eq!(words(&effects), ["shrink", "forward t", "acknowledged"]);
    let effects = machine.step(update("t", TaskFailed, 3), now);
    assert_eq!(words(&effects), ["acknowledged"]);
    let effects = machine.step(update("unknown", TaskRunning, 4), now);
    assert_eq!(words(&effects), ["acknowledged"]);
}

#[test]
fn what_was_sent_and_never_came_is_dropped_when_the_executor_is_back() {
    let (mut machine, now) = running(&["came", "lost", "ran"]);
    machine.step(update("ran", TaskRunning, 1), now);
    machine.step(Event::Disconnected, now);
    assert!(machine.step(task("new"), now).is_empty());
    let repeated = vec![
        status("ran", TaskRunning, 1),
        status("ran", TaskFinished, 2),
    ];
    let effects = machine.step(subscribed(&["came"], repeated), now);
    assert_eq!(
        words(&effects),
        [
            "welcome",
            "acknowledged",
            "shrink",
            "forward ran",
            "acknowledged",
            "lost: TASK_LOST REASON_AGENT_RESTARTED",
            "grow",
            "hand over new"
        ]
    );
}

#[test]
fn a_kill_is_repeated_until_the_task_has_ended() {
    let (mut machine, now) = running(&["t"]);
    machine.step(update("t", TaskRunning, 1), now);
    machine.step(Event::Disconnected, now);
    let kill = Event::KillTask {
        task: "t".into(),
        policy: None,
    };
    assert_eq!(words(&machine.step(kill, now)), ["note kill t"]);
    let effects = machine.step(subscribed(&[], vec![]), now);
    assert_eq!(words(&effects), ["welcome", "kill"]);
    machine.step(update("t", TaskKilled, 2), now);
    let effects = machine.step(subscribed(&[], vec![]), now);
    assert_eq!(words(&effects), ["welcome"]);
}

#[test]
fn an_executor_whose_only_task_was_killed_before_it_came_has_nothing_to_do() {
    let (mut machine, now) = (Machine::start(policy()), Instant::now());
    machine.step(task("t"), now);
    machine.step(Event::Launched, now);
    let kill = Event::KillTask {
        task: "t".into(),
        policy: None,
    };
    assert_eq!(
        words(&machine.step(kill, now)),
        ["t: TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH", "kill"]
    );
}

#[test]
fn one_that_comes_back_without_ever_having_had_a_task_is_shut_down() {
    let deadline = Instant::now() + SECOND;
    let phase = Phase::Reconnecting { deadline };
    let mut machine = Machine::resume(policy(), phase, Tasks::default());
    let effects = machine.step(subscribed(&[], vec![]), Instant::now());
    assert_eq!(words(&effects), ["welcome", "shutdown"]);
}

#[test]
fn a_shutdown_is_said_and_then_done() {
    let (mut machine, now) = running(&["t"]);
    let shut_down = |grace| Event::ShutDown {
        by: Requester::FrameworkOfExecutor,
        grace,
    };
    assert_eq!(words(&machine.step(shut_down(None), now)), ["shutdown"]);
    assert_eq!(machine.wake_at(), Some(now + 5 * SECOND));
    machine.step(shut_down(Some(9 * SECOND)), now);
    assert_eq!(machine.wake_at(), Some(now + 5 * SECOND), "never prolonged");
    let effects = machine.step(task("late"), now);
    assert_eq!(
        words(&effects),
        ["late: TASK_LOST REASON_EXECUTOR_TERMINATED"]
    );
    let effects = machine.step(subscribed(&[], vec![]), now);
    assert_eq!(words(&effects), ["welcome", "shutdown", "disconnect"]);
    assert_eq!(
        words(&machine.step(Event::Woke, now + 5 * SECOND)),
        ["kill"]
    );
    let effects = machine.step(ended(Some(ExitStatus::Signaled(9))), now);
    let Effect::Report { report, .. } = &effects[0] else {
        panic!("{effects:?}");
    };
    assert_eq!(
        report.message.as_deref(),
        Some(
            "Executor terminated; Command terminated with signal Killed; its framework requested \
             the end of its executor"
        )
    );
}

#[test]
fn an_executor_that_dies_takes_its_tasks_with_it_and_tells_how() {
    let (mut machine, now) = running(&["one", "two"]);
    machine.step(update("one", TaskFinished, 1), now);
    let effects = machine.step(ended(Some(ExitStatus::Exited(3))), now);
    assert_eq!(
        words(&effects),
        [
            "two: TASK_FAILED REASON_EXECUTOR_TERMINATED",
            "disconnect",
            "exited(768)"
        ]
    );
    let effects = machine.step(task("late"), now);
    assert_eq!(
        words(&effects),
        ["late: TASK_LOST REASON_EXECUTOR_TERMINATED"]
    );
}

#[test]
fn a_container_that_cannot_have_what_it_needs_is_ended() {
    let (mut machine, now) = running(&["t"]);
    let failed = Event::UpdateFailed("no such device".into());
    assert_eq!(words(&machine.step(failed, now)), ["kill"]);
    let effects = machine.step(ended(Some(ExitStatus::Signaled(9))), now);
    assert_eq!(
        words(&effects)[0],
        "t: TASK_LOST REASON_CONTAINER_UPDATE_FAILED"
    );
}

#[test]
fn after_a_restart_those_that_do_not_come_back_end() {
    let (before, now) = running(&["t"]);
    let deadline = now + 2 * SECOND;
    let phase = Phase::Reconnecting { deadline };
    let mut machine = Machine::resume(policy(), phase, before.tasks);
    assert_eq!(words(&machine.step(Event::Woke, deadline)), ["kill"]);
    let effects = machine.step(ended(Some(ExitStatus::Signaled(9))), now);
    assert_eq!(
        words(&effects)[0],
        "t: TASK_LOST REASON_EXECUTOR_REREGISTRATION_TIMEOUT"
    );
}
