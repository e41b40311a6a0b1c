//! Whatever executor, agent and framework do, and in which order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::task::is_terminal;
use proto::v1::TaskState::TaskStaging;

use super::*;

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
