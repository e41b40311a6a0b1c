//! What was heard of one task, and whether that can be true.

use anyhow::{bail, ensure};
use proto::task::is_terminal;
use proto::v1::task_status::Reason;
use proto::v1::{TaskState, TaskStatus};

use crate::scenario::Kind;

#[derive(Debug)]
pub struct Story {
    pub kind: Kind,
    /// The life of the agent that it was sent to, from 1.
    pub life: usize,
    pub kill_asked: bool,
    /// Each once, in the order in which they came.
    pub updates: Vec<TaskStatus>,
    /// It was sent to an agent that never came to know its own id.
    pub is_void: bool,
    /// An agent that died had written down which process it is.
    pub is_recorded: bool,
}

impl Story {
    pub fn new(kind: Kind, life: usize) -> Story {
        Story {
            kind,
            life,
            kill_asked: false,
            updates: vec![],
            is_void: false,
            is_recorded: false,
        }
    }

    pub fn state(&self) -> TaskState {
        let last = self.updates.last();
        last.map_or(TaskState::TaskStaging, TaskStatus::state)
    }

    pub fn has_ended(&self) -> bool {
        self.is_void || is_terminal(self.state())
    }

    fn was_running(&self) -> bool {
        let states = self.updates.iter().map(TaskStatus::state);
        states.into_iter().any(|it| it == TaskState::TaskRunning)
    }

    /// One more update, or an earlier one once more.
    pub fn hear(&mut self, status: TaskStatus) -> anyhow::Result<()> {
        let known = (self.updates.iter()).position(|it| it.uuid == status.uuid);
        if let Some(known) = known {
            ensure!(
                self.updates[known] == status,
                "an update was sent again and is another: {status:?}"
            );
            // It speaks of one update at a time, and goes on only when that is acknowledged. What the
            // master acknowledged last may not have been written down.
            ensure!(
                known + 2 >= self.updates.len(),
                "update {known} was sent again after its acknowledgement was acted upon"
            );
            return Ok(());
        }
        // How far a fetch has come is told again and again.
        let fetches = [status.state(), self.state()] == [TaskState::TaskStaging; 2];
        ensure!(
            fetches || rank(status.state())? > rank(self.state())?,
            "{:?} came after {:?}",
            status.state(),
            self.state()
        );
        self.updates.push(status);
        Ok(())
    }

    /// `runs`: how often it has begun to run. `lives`: of agents, after which all have ended.
    pub fn check(&self, runs: usize, lives: usize) -> anyhow::Result<()> {
        ensure!(runs <= 1, "it ran {runs} times");
        if self.is_void {
            ensure!(runs == 0, "it ran on an agent that has no id");
            ensure!(
                self.updates.is_empty(),
                "an agent without an id spoke of it"
            );
            return Ok(());
        }
        ensure!(self.has_ended(), "it is lost: {:?}", self.updates);
        let Some(last) = self.updates.last() else {
            bail!("nothing was heard of it");
        };
        let died_under_it = self.life < lives;
        match last.state() {
            state if state == self.kind.end() => {
                let message = last.message();
                let wanted = self.kind.message();
                ensure!(message.contains(wanted), "it says {message:?}");
                let never = self.kind == Kind::Missing;
                ensure!(!never || !self.was_running(), "it is told to have run");
                let is_killed = state == TaskState::TaskKilled;
                ensure!(!is_killed || self.kill_asked, "nobody has killed it");
                if !never && !is_killed {
                    ensure!(
                        runs == 1,
                        "it ran {runs} times and is told to have run once"
                    );
                }
                Ok(())
            }
            TaskState::TaskLost | TaskState::TaskDropped | TaskState::TaskGone => {
                ensure!(
                    died_under_it,
                    "its agent did not die, and it is lost: {last:?}"
                );
                ensure!(
                    self.kind == Kind::Unkept || !self.was_running(),
                    "it ran and is told to be lost: {last:?}"
                );
                // Whether or not anybody was told that it runs: what can be found again is taken over, not given up.
                ensure!(
                    self.kind == Kind::Unkept || runs == 0 || !self.is_recorded,
                    "its command was there and on record, and it is told to be lost: {last:?}"
                );
                let known = [
                    Reason::AgentRestarted,
                    Reason::Reconciliation,
                    // A kill that is repeated for one that the agent never had.
                    Reason::ExecutorTerminated,
                    Reason::AgentDraining,
                ];
                ensure!(known.contains(&last.reason()), "it is lost: {last:?}");
                Ok(())
            }
            // What would have ended in another way was killed before that.
            TaskState::TaskKilled if self.kill_asked => Ok(()),
            // Its executor was told to end, and has ended before any agent lived long enough to hear what it said
            // of its tasks.
            TaskState::TaskFailed
                if self.kind.is_hosted()
                    && self.kill_asked
                    && died_under_it
                    && last.reason() == Reason::ExecutorTerminated =>
            {
                Ok(())
            }
            // Its executor's launch was cut short, and so had nothing of it.
            TaskState::TaskFailed
                if self.kind.is_hosted()
                    && died_under_it
                    && runs == 0
                    && last.reason() == Reason::ExecutorTerminated =>
            {
                ensure!(!self.was_running(), "it is told to have run: {last:?}");
                Ok(())
            }
            other => bail!("it has ended as {other:?}: {last:?}"),
        }
    }
}

/// The later a state, the higher.
fn rank(state: TaskState) -> anyhow::Result<u32> {
    Ok(match state {
        TaskState::TaskStaging => 0,
        TaskState::TaskStarting => 1,
        TaskState::TaskRunning => 2,
        TaskState::TaskKilling => 3,
        state if is_terminal(state) => 4,
        other => bail!("no agent says {other:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(uuid: u8, state: TaskState) -> TaskStatus {
        TaskStatus {
            uuid: Some(vec![uuid; 16]),
            state: state as i32,
            ..Default::default()
        }
    }

    fn told(kind: Kind, states: &[TaskState]) -> Story {
        let mut story = Story::new(kind, 1);
        for (uuid, state) in (0..).zip(states) {
            story.hear(update(uuid, *state)).unwrap();
        }
        story
    }

    #[test]
    fn what_a_kill_came_before_may_be_told_as_killed() {
        use TaskState::{TaskFailed, TaskKilled, TaskRunning};
        let mut greedy = told(Kind::Greedy, &[TaskRunning, TaskKilled]);
        assert!(greedy.check(1, 1).is_err(), "nobody has killed it");
        greedy.kill_asked = true;
        greedy.check(1, 1).unwrap();

        let mut hosted = told(Kind::HostedSteady, &[TaskRunning, TaskFailed]);
        let last = hosted.updates.last_mut().unwrap();
        last.reason = Some(Reason::ExecutorTerminated.into());
        assert!(
            hosted.check(1, 2).is_err(),
            "nobody has told its executor to end"
        );
        hosted.kill_asked = true;
        assert!(
            hosted.check(1, 1).is_err(),
            "its agent lived and heard of it"
        );
        hosted.check(1, 2).unwrap();
    }

    #[test]
    fn what_runs_and_is_on_record_is_not_given_up() {
        use TaskState::{TaskDropped, TaskGone, TaskLost, TaskStarting};
        for state in [TaskLost, TaskDropped, TaskGone] {
            let lost = |kind| {
                let mut story = told(kind, &[TaskStarting, state]);
                let last = story.updates.last_mut().unwrap();
                last.reason = Some(Reason::AgentRestarted.into());
                story
            };
            let recorded = |kind| Story {
                is_recorded: true,
                ..lost(kind)
            };
            for kind in [Kind::Steady, Kind::Fetching, Kind::Brief] {
                assert!(recorded(kind).check(1, 2).is_err(), "{kind:?} {state:?}");
                // Its command was never there, or its agent died before it knew the process.
                recorded(kind).check(0, 2).unwrap();
                lost(kind).check(1, 2).unwrap();
                assert!(lost(kind).check(0, 1).is_err(), "its agent lived");
            }
            // Its framework wants it to end with its agent.
            recorded(Kind::Unkept).check(1, 2).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_true_is_told() {
        use TaskState::{TaskFailed, TaskFinished, TaskLost, TaskRunning, TaskStarting};
        let mut story = told(Kind::Fetching, &[TaskStarting, TaskRunning]);
        let again = update(1, TaskRunning);
        story.hear(again).unwrap();
        assert!(story.hear(update(9, TaskStarting)).is_err(), "back");
        assert!(story.hear(update(9, TaskRunning)).is_err(), "twice");
        assert!(story.check(1, 2).is_err(), "not ended");
        story.hear(update(2, TaskFinished)).unwrap();
        assert!(story.hear(update(9, TaskFailed)).is_err(), "two ends");
        assert!(story.hear(update(0, TaskStarting)).is_err(), "too old");
        story.check(1, 2).unwrap();
        assert!(story.check(2, 2).is_err(), "two runs");
        assert!(story.check(0, 2).is_err(), "no run");
        let lost = told(Kind::Fetching, &[TaskStarting, TaskRunning, TaskLost]);
        assert!(lost.check(1, 2).is_err());
        let other_end = told(Kind::Fetching, &[TaskStarting, TaskRunning, TaskFailed]);
        assert!(other_end.check(1, 2).is_err());
        let not_asked = told(Kind::Killed, &[TaskRunning, TaskState::TaskKilled]);
        assert!(not_asked.check(1, 1).is_err());
    }
}
