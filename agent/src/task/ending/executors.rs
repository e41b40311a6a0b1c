//! The ends of tasks that end with their executor.

use std::time::Duration;

use containerizer::Termination;
use proto::units::format_duration;
use proto::v1::task_status::Reason;
use proto::v1::{FrameworkInfo, TaskState};

use super::{Report, chain, gone, how_it_ended, linked, memory_exceeded};
use crate::task::machine::Requester;

/// `by`: on whose request, if it was on any.
pub fn terminated(termination: &Termination, by: Option<Requester>) -> Report {
    if let Some(out_of_memory) = &termination.out_of_memory {
        return memory_exceeded(out_of_memory);
    }
    let links = match by {
        None => chain::of_end(termination.status, &termination.death),
        Some(by) => vec![chain::of_request(by).to_owned()],
    };
    let links = [how_it_ended(termination)].into_iter().chain(links);
    Report::agent(
        TaskState::TaskFailed,
        Reason::ExecutorTerminated,
        linked("Executor terminated".to_owned(), links),
    )
}

pub fn not_registered(limit: Duration) -> Report {
    let message = format!(
        "Executor did not register within {}; its command ran and never subscribed to this agent's \
         /api/v1/executor",
        format_duration(limit)
    );
    let reason = Reason::ExecutorRegistrationTimeout;
    Report::agent(TaskState::TaskFailed, reason, message)
}

pub fn not_reregistered(framework: &FrameworkInfo, limit: Duration) -> Report {
    let message = format!(
        "Executor did not re-register within {}; the agent was restarted, and ended it",
        format_duration(limit)
    );
    gone(framework, Reason::ExecutorReregistrationTimeout, &message)
}

pub fn update_failed(framework: &FrameworkInfo, why: &str) -> Report {
    let message = format!("Failed to update resources for container; {why}");
    gone(framework, Reason::ContainerUpdateFailed, &message)
}
