//! What is reported about a task: its states, reasons and the sentences operators read.
//!
//! Source: spec/mesos-agent.md sections 10.1 and 12.

mod chain;
mod excess;
pub mod executors;

use std::time::Duration;

use containerizer::{ExitStatus, Termination};
use proto::task::{Ending, ended};
use proto::v1::task_status::{Reason, Source};
use proto::v1::{self, TaskState};

use super::machine::Requester;
pub use excess::exceeded;
use excess::memory_exceeded;

/// A status update before it has an identity: what happened, and nothing of when or where.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub state: TaskState,
    pub source: Source,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    pub limitation: Option<v1::TaskResourceLimitation>,
    /// What its checks have found.
    pub healthy: Option<bool>,
    pub check_status: Option<v1::CheckStatusInfo>,
}

impl Report {
    /// What a command executor would have said.
    pub fn executor(state: TaskState) -> Report {
        Report {
            state,
            source: Source::Executor,
            reason: None,
            message: None,
            limitation: None,
            healthy: None,
            check_status: None,
        }
    }

    pub fn agent(state: TaskState, reason: Reason, message: impl Into<String>) -> Report {
        Report {
            state,
            source: Source::Agent,
            reason: Some(reason),
            message: Some(message.into()),
            limitation: None,
            healthy: None,
            check_status: None,
        }
    }

    fn saying(mut self, message: String) -> Report {
        self.message = Some(message);
        self
    }
}

/// The task is not further yet, which no executor would say. There is no reason for that.
pub fn fetching(how_far: String) -> Report {
    Report {
        source: Source::Agent,
        ..Report::executor(TaskState::TaskStaging).saying(how_far)
    }
}

/// The task never came to be: LOST to frameworks that know no finer word.
pub fn dropped(framework: &v1::FrameworkInfo, reason: Reason, message: &str) -> Report {
    Report::agent(finer(framework, TaskState::TaskDropped), reason, message)
}

/// The task was here and is no more, and nobody saw it end.
pub fn gone(framework: &v1::FrameworkInfo, reason: Reason, message: &str) -> Report {
    Report::agent(finer(framework, TaskState::TaskGone), reason, message)
}

/// It was accepted by an earlier process of this agent, and did not come to run.
pub fn never_ran(framework: &v1::FrameworkInfo) -> Report {
    let message = "Task launched during agent restart";
    dropped(framework, Reason::AgentRestarted, message)
}

/// It ran under an earlier process of this agent, and how it ended is not recorded.
pub fn vanished(framework: &v1::FrameworkInfo, rebooted: bool) -> Report {
    match rebooted {
        true => Report::agent(
            TaskState::TaskFailed,
            Reason::ExecutorTerminated,
            "Abnormal executor termination: the host was rebooted",
        ),
        false => gone(
            framework,
            Reason::ExecutorReregistrationTimeout,
            "The task's container was gone when the agent came back",
        ),
    }
}

fn finer(framework: &v1::FrameworkInfo, state: TaskState) -> TaskState {
    use v1::framework_info::capability::Type;
    if super::is_capable(framework, Type::PartitionAware) {
        state
    } else {
        TaskState::TaskLost
    }
}

pub fn launch_failed(why: String) -> Report {
    let message = format!("Failed to launch container: {why}");
    Report::agent(
        TaskState::TaskFailed,
        Reason::ContainerLaunchFailed,
        message,
    )
}

pub fn killed_during_launch(by: Requester) -> Report {
    let words = "A kill was requested before the task was running";
    let message = format!("{words}; {}", chain::of_request(by));
    let reason = match by {
        Requester::Drain => Reason::AgentDraining,
        _ => Reason::TaskKilledDuringLaunch,
    };
    Report::agent(TaskState::TaskKilled, reason, message)
}

pub fn time_up(limit: Duration) -> Report {
    let mut report = Report::executor(TaskState::TaskFailed);
    report.reason = Some(Reason::MaxCompletionTimeReached);
    report.saying(format!(
        "Task was killed: it ran longer than its max_completion_time of {}",
        proto::units::format_duration(limit)
    ))
}

/// Nobody asked for this end.
pub fn by_itself(termination: &Termination) -> Report {
    if let Some(out_of_memory) = &termination.out_of_memory {
        return memory_exceeded(out_of_memory);
    }
    if is_untold(termination) {
        // As of an executor that ended without a word: to be tried again, and nothing is said of the command.
        return Report::agent(
            TaskState::TaskFailed,
            Reason::ExecutorTerminated,
            format!("Abnormal executor termination: {UNTOLD}"),
        );
    }
    let state = match termination.status {
        Some(ExitStatus::Exited(0)) => TaskState::TaskFinished,
        Some(ExitStatus::Exited(_) | ExitStatus::Signaled(_)) | None => TaskState::TaskFailed,
    };
    let links = chain::of_end(termination.status, &termination.death);
    Report::executor(state).saying(linked(how_it_ended(termination), links))
}

/// It has been told to end.
pub fn killing(by: Requester) -> Report {
    requested(TaskState::TaskKilling, by)
}

fn requested(state: TaskState, by: Requester) -> Report {
    let mut report = Report::executor(state);
    report.reason = (by == Requester::Drain).then_some(Reason::AgentDraining);
    report.healthy = (by == Requester::HealthCheck).then_some(false);
    report
}

/// Within its grace period.
pub fn killed(termination: &Termination, by: Requester) -> Report {
    let links = [chain::of_request(by)];
    requested(TaskState::TaskKilled, by).saying(linked(how_it_ended(termination), links))
}

/// With SIGKILL, after its grace period.
pub fn killed_at_last(termination: &Termination, by: Requester) -> Report {
    let links = [
        chain::of_request(by),
        "it was still there after its grace period",
    ];
    requested(TaskState::TaskKilled, by).saying(linked(how_it_ended(termination), links))
}

/// Mesos' own words, on which tools match, and the chain of causes.
fn linked(words: String, links: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    links
        .into_iter()
        .fold(words, |message, link| message + "; " + link.as_ref())
}

/// It may have ended well.
const UNTOLD: &str = "the command has ended, and how is not known: its exit record is damaged";

fn is_untold(termination: &Termination) -> bool {
    termination.status.is_none() && termination.death.is_record_damaged
}

fn how_it_ended(termination: &Termination) -> String {
    if is_untold(termination) {
        return UNTOLD.to_owned();
    }
    const KILL: i32 = nix::libc::SIGKILL;
    let mut sentence = ended(match termination.status {
        Some(ExitStatus::Exited(status)) => Ending::Exited(status),
        Some(ExitStatus::Signaled(signal)) => Ending::Signaled(signal),
        // Nobody is left who could tell: it was killed, with whoever kept the record.
        None => Ending::Signaled(KILL),
    });
    sentence.push_str(match termination.status {
        Some(ExitStatus::Exited(126)) => {
            " (shells say so of a command that may not be executed: see stderr)"
        }
        Some(ExitStatus::Exited(127)) => {
            " (shells say so of a command that is not found: see stderr)"
        }
        // As Mesos has it.
        Some(ExitStatus::Signaled(_)) if termination.death.core_dumped => " (core dumped)",
        _ => "",
    });
    sentence
}

#[cfg(test)]
mod tests {
    use containerizer::{Death, OutOfMemory, Victim};

    use super::*;

    #[test]
    fn an_end_that_cannot_be_read_is_told_as_that_and_nothing_else() {
        let mut untold = termination(None);
        untold.death.is_record_damaged = true;
        let report = by_itself(&untold);
        assert_eq!(report.state, TaskState::TaskFailed);
        assert_eq!(report.reason, Some(Reason::ExecutorTerminated));
        let message = "Abnormal executor termination: the command has ended, and how is not known: its exit record \
                       is damaged";
        assert_eq!(report.message.as_deref(), Some(message));
        let killed = killed(&untold, Requester::Framework);
        assert!(killed.message.is_some_and(|it| it.starts_with(UNTOLD)));
        // The kernel has told it.
        untold.status = Some(ExitStatus::Exited(0));
        assert_eq!(by_itself(&untold).state, TaskState::TaskFinished);
    }

    fn termination(status: Option<ExitStatus>) -> Termination {
        Termination {
            status,
            out_of_memory: None,
            death: Death::default(),
            leftovers: vec![],
        }
    }

    #[test]
    fn the_end_of_a_command_reads_as_in_mesos() {
        let table = [
            (
                Some(ExitStatus::Exited(0)),
                TaskState::TaskFinished,
                "Command exited with status 0",
            ),
            (
                Some(ExitStatus::Exited(7)),
                TaskState::TaskFailed,
                "Command exited with status 7",
            ),
            (
                Some(ExitStatus::Exited(127)),
                TaskState::TaskFailed,
                "Command exited with status 127 (shells say so of a command that is not found: see \
                 stderr)",
            ),
            (
                Some(ExitStatus::Signaled(15)),
                TaskState::TaskFailed,
                "Command terminated with signal Terminated; who sent it is not known",
            ),
            (
                Some(ExitStatus::Signaled(34)),
                TaskState::TaskFailed,
                "Command terminated with signal Real-time signal 0",
            ),
            (
                None,
                TaskState::TaskFailed,
                "Command terminated with signal Killed; who sent it is not known",
            ),
            (
                Some(ExitStatus::Signaled(6)),
                TaskState::TaskFailed,
                "Command terminated with signal Aborted",
            ),
        ];
        for (status, state, message) in table {
            let report = by_itself(&termination(status));
            assert_eq!(
                (report.state, report.message.as_deref()),
                (state, Some(message))
            );
        }
    }

    #[test]
    fn a_core_is_told_in_mesos_words() {
        let mut dumped = termination(Some(ExitStatus::Signaled(6)));
        dumped.death.core_dumped = true;
        assert_eq!(
            by_itself(&dumped).message.as_deref(),
            Some("Command terminated with signal Aborted (core dumped)")
        );
    }

    #[test]
    fn a_kill_says_on_whose_request_it_was_and_whether_it_had_to_be_forced() {
        let ended = termination(Some(ExitStatus::Signaled(9)));
        let first = killed(&ended, Requester::FrameworkOfExecutor);
        assert_eq!(first.state, TaskState::TaskKilled);
        assert_eq!(
            first.message.as_deref(),
            Some(
                "Command terminated with signal Killed; its framework requested the end of its \
                 executor"
            )
        );
        let last = killed_at_last(&ended, Requester::Framework);
        assert_eq!(
            last.message.as_deref(),
            Some(
                "Command terminated with signal Killed; its framework requested the kill; it was \
                 still there after its grace period"
            )
        );
        assert_eq!(
            killed_during_launch(Requester::Agent).message.as_deref(),
            Some(
                "A kill was requested before the task was running; its agent was told to end all \
                 of its tasks"
            )
        );
    }

    #[test]
    fn a_task_without_memory_says_limit_peak_and_process() {
        let report = by_itself(&Termination {
            status: Some(ExitStatus::Exited(0)),
            out_of_memory: Some(OutOfMemory {
                limit: Some(64 << 20),
                peak: (64 << 20) - 4096,
                victim: Some(Victim {
                    pid: 42,
                    name: "python3".into(),
                }),
                largest: vec![],
                usage: None,
                pressure: None,
            }),
            death: Death::default(),
            leftovers: vec![],
        });
        assert_eq!(report.state, TaskState::TaskFailed);
        assert_eq!(report.reason, Some(Reason::ContainerLimitationMemory));
        assert_eq!(
            report.message.as_deref(),
            Some(
                "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB; \
                 the kernel killed process 42 (python3)"
            )
        );
        assert_eq!(report.limitation.unwrap().resources[0].name, "mem");
    }

    #[test]
    fn finer_words_are_for_partition_aware_frameworks() {
        let plain = v1::FrameworkInfo::default();
        let mut aware = plain.clone();
        aware.capabilities.push(v1::framework_info::Capability {
            r#type: Some(v1::framework_info::capability::Type::PartitionAware as i32),
        });
        let state = |framework| dropped(framework, Reason::Reconciliation, "").state;
        assert_eq!(state(&plain), TaskState::TaskLost);
        assert_eq!(state(&aware), TaskState::TaskDropped);
    }
}
