use std::collections::BTreeMap;

use containerizer::{Death, ExitStatus};
use proptest::prelude::*;
use proto::task::is_terminal;
use proto::v1::TaskState::{
    TaskDropped, TaskFailed, TaskFinished, TaskKilled, TaskLost, TaskRunning, TaskStaging,
};

use super::*;

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
    let overrun = Overrun {
        used: 2 << 20,
        limit: 1 << 20,
        largest: ".".into(),
    };
    let over = || Event::OverDisk(overrun.clone());
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

/// Whatever happens, in whatever order.
#[derive(Debug, Clone)]
enum Act {
    Launched,
    LaunchFailed,
    Task(u8),
    Kill(u8),
    /// With which tasks held, and the updates that are repeated or new.
    Subscribe(BTreeSet<u8>, Vec<(u8, TaskState, u8)>),
    Update(u8, TaskState, u8),
    Disconnect,
    ShutDown,
    Wait(u32),
    Restart,
    End,
}

fn state() -> impl Strategy<Value = TaskState> {
    prop_oneof![Just(TaskRunning), Just(TaskFinished), Just(TaskFailed)]
}

fn act() -> impl Strategy<Value = Act> {
    let held = proptest::collection::btree_set(0..4u8, 0..4);
    let updates = proptest::collection::vec((0..4u8, state(), any::<u8>()), 0..3);
    prop_oneof![
        2 => Just(Act::Launched),
        1 => Just(Act::LaunchFailed),
        4 => (0..4u8).prop_map(Act::Task),
        2 => (0..4u8).prop_map(Act::Kill),
        4 => (held, updates).prop_map(|(held, updates)| Act::Subscribe(held, updates)),
        6 => (0..4u8, state(), any::<u8>()).prop_map(|(task, state, uuid)| Act::Update(task, state, uuid)),
        2 => Just(Act::Disconnect),
        1 => Just(Act::ShutDown),
        1 => (0..70u32).prop_map(Act::Wait),
        1 => Just(Act::Restart),
        1 => Just(Act::End),
    ]
}

/// What the world has seen.
#[derive(Default)]
struct Seen {
    /// Of each task that came in: its newest state, and whether it was handed over.
    tasks: BTreeMap<String, (TaskState, bool)>,
    forwarded: BTreeSet<(String, Vec<u8>)>,
    exited: bool,
}

impl Seen {
    fn see(&mut self, line: Line, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::HandOver(task) => {
                    assert_eq!(line, Line::Up);
                    let (state, handed) = self.tasks.get_mut(&task.task_id.value).unwrap();
                    assert!(
                        !*handed && *state == TaskStaging,
                        "handed over twice, or late"
                    );
                    *handed = true;
                }
                Effect::Forward(status) => {
                    let id = status.task_id.value.clone();
                    let (state, _) = self.tasks.get_mut(&id).unwrap();
                    assert!(!is_terminal(*state), "{id} had ended");
                    *state = status.state();
                    assert!(self.forwarded.insert((id, status.uuid().to_vec())));
                }
                Effect::Report { task, report } => {
                    let (state, handed) = self.tasks.get_mut(task).unwrap();
                    assert!(!is_terminal(*state), "{task} had ended");
                    assert!(is_terminal(report.state));
                    let during_launch = Some(Reason::TaskKilledDuringLaunch);
                    assert!(!*handed || report.reason != during_launch || self.exited);
                    *state = report.state;
                }
                Effect::Exited(_) => assert!(!std::mem::replace(&mut self.exited, true)),
                _ => {}
            }
        }
    }
}

fn acknowledged(effects: &[Effect]) -> usize {
    let is_one =
        |effect: &&Effect| matches!(effect, Effect::Say(word) if word.acknowledged.is_some());
    effects.iter().filter(is_one).count()
}

proptest! {
    #[test]
    fn no_task_is_lost_or_ends_twice_whatever_executor_agent_and_framework_do(
        acts in proptest::collection::vec(act(), 0..60)
    ) {
        let mut now = Instant::now();
        let (mut machine, mut seen) = (Machine::start(policy()), Seen::default());
        let mut launched = false;
        for act in acts.into_iter().chain([Act::End]) {
            let before = (machine.phase.clone(), seen.tasks.clone());
            let (mut held_of, mut repeats) = (None, 0);
            let event = match act {
                Act::Launched if !launched => {
                    launched = true;
                    Event::Launched
                }
                Act::LaunchFailed if !launched => Event::LaunchFailed("no".into()),
                Act::Task(id) if !seen.tasks.contains_key(&id.to_string()) => {
                    seen.tasks.insert(id.to_string(), (TaskStaging, false));
                    task(&id.to_string())
                }
                Act::Kill(id) => Event::KillTask { task: id.to_string(), policy: None },
                Act::Subscribe(held, updates) if launched && !seen.exited => {
                    let held: BTreeSet<String> = held.iter().map(u8::to_string).collect();
                    held_of = Some(held.clone());
                    repeats = updates.len();
                    let updates = updates.iter();
                    let updates = updates.map(|(id, state, uuid)| status(&id.to_string(), *state, *uuid));
                    Event::Subscribed { tasks: held, updates: updates.collect() }
                }
                Act::Update(id, state, uuid) if machine.line != Line::NeverUp => {
                    repeats = usize::from(machine.line == Line::Up);
                    update(&id.to_string(), state, uuid)
                }
                Act::Disconnect if machine.line == Line::Up => Event::Disconnected,
                Act::ShutDown => Event::ShutDown { by: Requester::Framework, grace: None },
                Act::Wait(seconds) => {
                    now += seconds * SECOND;
                    Event::Woke
                }
                Act::Restart if launched && !seen.exited => {
                    let deadline = now + 2 * SECOND;
                    let phase = match machine.phase.clone() {
                        Phase::Terminating { cause, .. } => Phase::Terminating { cause, deadline: Some(deadline) },
                        _ => Phase::Reconnecting { deadline },
                    };
                    machine = Machine::resume(policy(), phase, machine.tasks);
                    continue;
                }
                Act::End if launched => ended(Some(ExitStatus::Exited(1))),
                Act::End => Event::LaunchCancelled,
                _ => continue,
            };
            let is_ending = matches!(
                before.0,
                Phase::Aborting { .. } | Phase::Terminating { .. } | Phase::Terminated
            );
            let effects = machine.step(event, now);
            seen.see(machine.line, &effects);
            if held_of.is_none() {
                prop_assert!(acknowledged(&effects) >= repeats, "{:?}", effects);
            }
            if let (Some(held), false) = (held_of, is_ending) {
                prop_assert_eq!(acknowledged(&effects), repeats);
                for (id, (state, handed)) in &before.1 {
                    let now_is = seen.tasks[id].0;
                    // An update of this very subscription may have been about it.
                    if *handed && *state == TaskStaging && now_is == TaskLost {
                        prop_assert!(!held.contains(id));
                    }
                    if *handed && *state == TaskStaging && !held.contains(id) {
                        prop_assert!(now_is != TaskStaging, "{} is neither here nor there", id);
                    }
                }
            }
            prop_assert!(seen.tasks.values().all(|(state, _)| *state != TaskDropped));
        }
        prop_assert!(seen.exited);
        prop_assert!(seen.tasks.values().all(|(state, _)| is_terminal(*state)));
        prop_assert_eq!(machine.wake_at(), None);
    }
}
