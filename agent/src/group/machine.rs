//! The life of an executor of task groups, as a pure machine.
//!
//! ```text
//!             launched             no task left, asked to end           ended
//!  Launching ──────────► Holding ───────────────────────────► Ending ─────────► Ended
//!      │ └─no task left, asked to end──────────────────────────►│                 ▲
//!      └─launch failed────────────────────────────────────────────────────────────┘
//! ```
//!
//! A task that ends in another way than well takes the others of its group with it.
//! Source: spec/mesos-agent.md section 10.2.

use std::collections::BTreeSet;

use proto::task::is_terminal;
use proto::v1::TaskState;

use crate::task::machine::Requester;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Launching,
    Holding,
    Ending,
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// One more group, of these tasks.
    Group(Vec<String>),
    /// The container of the executor is there.
    Launched,
    /// That container has ended, or did not come to be.
    Ended,
    /// A task is in another state.
    Task { task: String, state: TaskState },
    /// All that is in it is to end.
    End(Requester),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Kill {
        tasks: Vec<String>,
        by: Requester,
    },
    /// The container of the executor goes.
    Release,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub phase: Phase,
    /// Of each group those that have not ended.
    groups: Vec<BTreeSet<String>>,
}

impl Machine {
    /// An executor that is to be launched for its first group.
    pub fn start(tasks: Vec<String>) -> Machine {
        Machine {
            phase: Phase::Launching,
            groups: vec![tasks.into_iter().collect()],
        }
    }

    /// One that an earlier process of this agent had.
    pub fn resume(is_there: bool, groups: Vec<BTreeSet<String>>) -> Machine {
        let phase = match is_there {
            true => Phase::Holding,
            false => Phase::Ended,
        };
        Machine { phase, groups }
    }

    /// Whether another group may come.
    pub fn takes_groups(&self) -> bool {
        match self.phase {
            Phase::Launching | Phase::Holding => true,
            Phase::Ending | Phase::Ended => false,
        }
    }

    /// Says what must be done, in order.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Group(tasks) => {
                self.groups.push(tasks.into_iter().collect());
                vec![]
            }
            Event::Launched => {
                if self.phase == Phase::Launching {
                    self.phase = Phase::Holding;
                }
                vec![]
            }
            Event::Ended => match std::mem::replace(&mut self.phase, Phase::Ended) {
                // They all wait for it, and hear why it did not come to be.
                Phase::Launching => vec![],
                // They have no network any more, and nobody counts what they use.
                Phase::Holding | Phase::Ending | Phase::Ended => {
                    self.kill_all(Requester::GroupsExecutor)
                }
            },
            Event::Task { task, state } if is_terminal(state) => self.on_end(&task, state),
            Event::Task { .. } => vec![],
            Event::End(by) => self.kill_all(by),
        }
    }

    fn on_end(&mut self, task: &str, state: TaskState) -> Vec<Effect> {
        let Some(group) = self.groups.iter_mut().find(|it| it.contains(task)) else {
            return vec![];
        };
        group.remove(task);
        let mut effects = Vec::new();
        if state != TaskState::TaskFinished && !group.is_empty() {
            effects.push(Effect::Kill {
                tasks: group.iter().cloned().collect(),
                by: Requester::Group,
            });
        }
        self.groups.retain(|group| !group.is_empty());
        effects.extend(self.release_if_idle());
        effects
    }

    /// To be asked after a restart, too.
    pub fn release_if_idle(&mut self) -> Option<Effect> {
        if !self.groups.iter().all(BTreeSet::is_empty) || !self.takes_groups() {
            return None;
        }
        self.phase = Phase::Ending;
        Some(Effect::Release)
    }

    fn kill_all(&self, by: Requester) -> Vec<Effect> {
        let tasks: Vec<String> = self.groups.iter().flatten().cloned().collect();
        match tasks.is_empty() {
            true => vec![],
            false => vec![Effect::Kill { tasks, by }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn task(task: &str, state: TaskState) -> Event {
        let task = task.to_owned();
        Event::Task { task, state }
    }

    fn kill(tasks: &[&str], by: Requester) -> Effect {
        let tasks = names(tasks);
        Effect::Kill { tasks, by }
    }

    #[test]
    fn who_ends_well_ends_alone_and_the_last_one_takes_the_executor_along() {
        let mut machine = Machine::start(names(&["a", "b"]));
        assert_eq!(machine.step(Event::Launched), []);
        assert_eq!(machine.step(task("a", TaskRunning)), []);
        assert_eq!(machine.step(task("a", TaskFinished)), []);
        assert!(machine.takes_groups());
        assert_eq!(machine.step(task("b", TaskFinished)), [Effect::Release]);
        assert!(!machine.takes_groups());
        assert_eq!(machine.step(Event::Ended), []);
        assert_eq!(machine.phase, Phase::Ended);
    }

    #[test]
    fn who_fails_or_is_killed_takes_his_group_along_and_no_other() {
        for state in [TaskFailed, TaskKilled] {
            let mut machine = Machine::start(names(&["a", "b", "c"]));
            machine.step(Event::Launched);
            machine.step(Event::Group(names(&["x", "y"])));
            let effects = machine.step(task("b", state));
            assert_eq!(effects, [kill(&["a", "c"], Requester::Group)]);
            // Of those that are killed each says so.
            let effects = machine.step(task("a", TaskKilled));
            assert_eq!(effects, [kill(&["c"], Requester::Group)]);
            assert_eq!(machine.step(task("c", TaskKilled)), []);
            assert_eq!(machine.step(task("x", TaskFinished)), []);
            assert_eq!(machine.step(task("y", TaskFinished)), [Effect::Release]);
        }
    }

    #[test]
    fn an_executor_that_is_gone_leaves_no_task() {
        let mut machine = Machine::start(names(&["a", "b"]));
        machine.step(Event::Launched);
        assert_eq!(
            machine.step(Event::Ended),
            [kill(&["a", "b"], Requester::GroupsExecutor)]
        );
        assert_eq!(machine.step(task("a", TaskKilled)).len(), 1);
        assert_eq!(machine.step(task("b", TaskKilled)), []);
        assert_eq!(machine.phase, Phase::Ended);
    }

    #[test]
    fn who_waits_for_an_executor_that_does_not_come_to_be_says_so_himself() {
        let mut machine = Machine::start(names(&["a", "b"]));
        assert_eq!(machine.step(Event::Ended), []);
        assert!(!machine.takes_groups());
        let effects = machine.step(task("a", TaskFailed));
        assert_eq!(effects, [kill(&["b"], Requester::Group)]);
        assert_eq!(machine.step(task("b", TaskFailed)), []);
    }

    #[test]
    fn who_asks_the_executor_to_end_asks_its_tasks() {
        let by = Requester::FrameworkOfExecutor;
        let mut machine = Machine::start(names(&["a", "b"]));
        machine.step(Event::Launched);
        assert_eq!(machine.step(Event::End(by)), [kill(&["a", "b"], by)]);
        machine.step(task("a", TaskKilled));
        assert_eq!(machine.step(task("b", TaskKilled)), [Effect::Release]);
        assert_eq!(machine.step(Event::End(by)), []);
    }
}
