//! Checks of command tasks, as their executors would make them: whether one is healthy, and what else its
//! framework wants to know of it.
//!
//! ```text
//!  task ──► asked ──► machine (one per check)    decides, purely: when to look, and what that tells
//!                        │  ▲
//!                        ▼  │ outcome
//!                      probe ──► http, command ──► place: the container's network, a command in it
//! ```
//!
//! Nothing here acts on the task: a finding goes to the task's owner, who tells it, and ends a task that is not
//! healthy. Source: spec/mesos-agent.md section 23.

mod asked;
mod certificates;
mod command;
mod http;
mod machine;
mod past;
mod place;
mod probe;

use std::time::Instant;

use proto::v1::task_status::Reason;
use proto::v1::{CheckStatusInfo, TaskInfo, TaskState};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

pub use asked::notes;
use asked::{Check, Kind};
pub use machine::Finding;
use machine::{Effect, Event, Machine};
pub use past::Past;
pub use place::Place;

use crate::task::ending::Report;

/// All checks of one task that has any.
#[derive(Debug)]
pub struct Checks {
    asked: Vec<Check>,
    /// What an earlier process of this agent has told.
    past: Past,
    healthy: Option<bool>,
    status: Option<CheckStatusInfo>,
    performed: Option<Performed>,
}

#[derive(Debug)]
struct Performed {
    findings: mpsc::Receiver<Finding>,
    /// Ends with this.
    _each: JoinSet<()>,
}

impl Checks {
    /// `None` for a task without any: it has no more than that.
    pub fn of(task: &TaskInfo) -> Option<Box<Checks>> {
        let asked = asked::asked(task);
        if asked.is_empty() {
            return None;
        }
        let status = asked.iter().find_map(|check| match check.kind {
            Kind::Health { .. } => None,
            Kind::General => Some(check.probe.unknown()),
        });
        Some(Box::new(Checks {
            asked,
            past: Past::default(),
            healthy: None,
            status,
            performed: None,
        }))
    }

    /// Of a task that an earlier process of this agent ran.
    pub fn resumed(mut self: Box<Self>, past: Past) -> Box<Self> {
        self.healthy = past.healthy;
        if self.status.is_some() {
            self.status = past.status.or(self.status);
        }
        self.past = past;
        self
    }

    /// The task runs. A second time changes nothing.
    pub fn begin(&mut self, place: &Place) {
        if self.performed.is_some() {
            return;
        }
        let now = Instant::now();
        let past = std::mem::take(&mut self.past);
        let (tell, findings) = mpsc::channel(1);
        let mut each = JoinSet::new();
        for check in &self.asked {
            let machine = Machine::begin(check, &past, now);
            each.spawn(perform(check.clone(), machine, place.clone(), tell.clone()));
        }
        self.performed = Some(Performed {
            findings,
            _each: each,
        });
    }

    /// The task is to end, or has.
    pub fn stop(&mut self) {
        self.performed = None;
    }

    /// Cancel safe.
    pub async fn found(&mut self) -> Finding {
        if let Some(performed) = &mut self.performed
            && let Some(finding) = performed.findings.recv().await
        {
            return finding;
        }
        // No check is performed any more.
        std::future::pending().await
    }

    /// What the task's framework is to hear.
    pub fn note(&mut self, finding: &Finding) -> Report {
        let mut report = Report::executor(TaskState::TaskRunning);
        report.reason = Some(match finding {
            Finding::Healthy => {
                self.healthy = Some(true);
                Reason::TaskHealthCheckStatusUpdated
            }
            Finding::Unhealthy { said, .. } => {
                self.healthy = Some(false);
                report.message = Some(said.clone());
                Reason::TaskHealthCheckStatusUpdated
            }
            Finding::Status(status) => {
                self.status = Some(*status);
                Reason::TaskCheckStatusUpdated
            }
        });
        report
    }

    /// Every status of a task says what its checks have found.
    pub fn complete(&self, report: &mut Report) {
        report.check_status = self.status;
        if report.state == TaskState::TaskRunning {
            report.healthy = self.healthy;
        }
    }
}

/// Until the machine has seen enough, or nobody wants to know.
async fn perform(check: Check, mut machine: Machine, place: Place, tell: mpsc::Sender<Finding>) {
    while let Some(due) = machine.due() {
        sleep_until(due.into()).await;
        let mut next = machine.step(Event::Due, Instant::now());
        while let Some(effect) = next {
            next = match effect {
                Effect::Probe => {
                    let outcome = probe::probe(&check, &place).await;
                    machine.step(Event::Done(outcome), Instant::now())
                }
                Effect::Tell(finding) => {
                    if tell.send(finding).await.is_err() {
                        return;
                    }
                    None
                }
            };
        }
    }
}
