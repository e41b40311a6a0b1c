//! What the state of a task, and the reason given for it, mean to us.
//! Source: spec/mesos-agent.md, section 12.

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use crate::instance::Phase;

/// What an update means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Alive(Phase),
    OutOfReach,
    Over(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It finished, or somebody killed it.
    Plain,
    Failure,
    /// It went with its agent, or never got there.
    Lost,
    /// An operator empties its agent.
    Drained,
}

impl End {
    /// Whether a user who asks what went wrong is told of it.
    pub(super) fn is_remembered(self) -> bool {
        match self {
            End::Failure | End::Lost => true,
            End::Plain | End::Drained => false,
        }
    }

    /// Whether the next instance has to wait. Not where another agent is all that it takes.
    /// Source: spec/marathon-api.md, sections 9.6 and 10.
    pub(super) fn delays_the_next(self) -> bool {
        match self {
            End::Plain | End::Failure => true,
            End::Lost | End::Drained => false,
        }
    }
}

pub(super) fn meaning(state: TaskState, reason: Option<Reason>) -> Meaning {
    let lost = match reason {
        Some(reason) if is_of_present_agent(reason) => End::Failure,
        Some(_) | None => End::Lost,
    };
    let end = match state {
        TaskState::TaskStaging => return Meaning::Alive(Phase::Staging),
        TaskState::TaskStarting => return Meaning::Alive(Phase::Starting),
        TaskState::TaskRunning => return Meaning::Alive(Phase::Running),
        TaskState::TaskKilling => return Meaning::Alive(Phase::Killing),
        TaskState::TaskUnreachable => return Meaning::OutOfReach,
        TaskState::TaskFinished | TaskState::TaskKilled => End::Plain,
        TaskState::TaskFailed | TaskState::TaskError => End::Failure,
        TaskState::TaskLost | TaskState::TaskDropped => lost,
        TaskState::TaskGone | TaskState::TaskGoneByOperator | TaskState::TaskUnknown => lost,
    };
    Meaning::Over(match reason {
        Some(Reason::AgentDraining) => End::Drained,
        Some(_) | None => end,
    })
}

/// The agent is there and could not take or keep the task. It may offer the same again within
/// milliseconds, and without a delay we would accept, and be refused, for ever.
fn is_of_present_agent(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ContainerPreempted
            | Reason::ContainerUpdateFailed
            | Reason::ExecutorTerminated
            | Reason::GcError
            | Reason::ResourcesUnknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_took_along_delays_nothing_and_what_it_refused_does() {
        use TaskState::*;
        #[rustfmt::skip]
        let table = [
            (TaskFinished, None, End::Plain),
            (TaskKilled, None, End::Plain),
            (TaskKilled, Some(Reason::AgentDraining), End::Drained),
            (TaskFailed, Some(Reason::ContainerLaunchFailed), End::Failure),
            (TaskError, Some(Reason::TaskInvalid), End::Failure),
            (TaskLost, Some(Reason::AgentDisconnected), End::Lost),
            (TaskDropped, Some(Reason::AgentRestarted), End::Lost),
            (TaskDropped, Some(Reason::InvalidOffers), End::Lost),
            (TaskDropped, Some(Reason::AgentDraining), End::Drained),
            (TaskDropped, Some(Reason::GcError), End::Failure),
            (TaskDropped, Some(Reason::ResourcesUnknown), End::Failure),
            (TaskGone, None, End::Lost),
            (TaskGoneByOperator, Some(Reason::AgentRemovedByOperator), End::Lost),
            (TaskUnknown, Some(Reason::Reconciliation), End::Lost),
        ];
        for (state, reason, end) in table {
            let got = meaning(state, reason);
            assert_eq!(got, Meaning::Over(end), "{state:?} {reason:?}");
        }
    }
}
