//! What is written down of one custom executor beside its tasks: that it is one, and that it is to end.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use failpoint::{Point, reach};

use super::machine::{Cause, Phase};
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::clock::Clock;
use crate::paths::{Paths, Run};
use crate::sandbox;
use crate::task::killing::{Killing, Why};
use crate::task::launch::Host;
use crate::task::machine::{self, Requester};

/// Tasks whose story is told, and which are kept all the same. Source: spec/mesos-agent.md section 2.2.
pub const COMPLETED_TASKS: usize = 200;

#[derive(Debug)]
pub struct Record {
    host: Arc<Host>,
    run: Run,
    /// Oldest first.
    told: VecDeque<String>,
}

impl Record {
    /// Says what kind of an executor it is, before anything else is written down of it.
    pub async fn create(host: &Arc<Host>, run: &Run) -> Result<Record, CheckpointError> {
        let (kept, run_of) = (Arc::clone(host), run.clone());
        let written = tokio::task::spawn_blocking(move || {
            let marker = kept.paths.http_marker(&run_of);
            checkpoint::replace(&marker, b"", Durability::Process)
        });
        // The runtime shuts down where that does not end.
        written.await.unwrap_or(Ok(()))?;
        reach(Point::ExecutorMarked);
        Ok(Record::of(host, run))
    }

    pub fn of(host: &Arc<Host>, run: &Run) -> Record {
        Record {
            host: Arc::clone(host),
            run: run.clone(),
            told: VecDeque::new(),
        }
    }

    /// The same after a restart, with the tasks whose story was told before.
    pub fn going_on(host: &Arc<Host>, run: &Run, told: Vec<String>) -> Record {
        Record {
            told: told.into(),
            ..Record::of(host, run)
        }
    }

    /// The executor is in this phase: an end that was asked for is written down.
    pub async fn ending(&self, phase: &Phase, now: Instant) -> Result<(), CheckpointError> {
        if let Some(killing) = begun(phase, now, Clock::read()) {
            let written = self.write(move |paths, run| {
                let file = paths.executor_killing(run);
                checkpoint::write(&file, &killing, Durability::Process)
            });
            written.await?;
            reach(Point::ExecutorEndWritten);
        }
        Ok(())
    }

    /// A task's story is told. An executor may have any number of them, so the oldest go.
    pub async fn close_task(&mut self, task: &str) {
        self.told.push_back(task.to_owned());
        while self.told.len() > COMPLETED_TASKS
            && let Some(oldest) = self.told.pop_front()
        {
            let (host, run) = (Arc::clone(&self.host), self.run.clone());
            let removed =
                tokio::task::spawn_blocking(move || forget_task(&host.paths, &run, &oldest));
            if let Ok(Err(error)) = removed.await {
                tracing::warn!(%error, "cannot remove what is kept of a task");
            }
        }
    }

    async fn write(
        &self,
        write: impl FnOnce(&Paths, &Run) -> Result<(), CheckpointError> + Send + 'static,
    ) -> Result<(), CheckpointError> {
        let (host, run) = (Arc::clone(&self.host), self.run.clone());
        let written = tokio::task::spawn_blocking(move || write(&host.paths, &run));
        // The runtime shuts down where that does not end.
        let written = written.await.unwrap_or(Ok(()));
        written.inspect_err(|error| {
            let error = proto::error::chain(error);
            let executor = &self.run.executor;
            tracing::error!(executor, error, "cannot checkpoint an executor");
        })
    }
}

/// The run is over, and everything about it told.
pub async fn close(host: &Arc<Host>, run: &Run, record: Option<Record>) {
    let (kept, run_of) = (Arc::clone(host), run.clone());
    // Garbage collection counts from the end of the run.
    let touched = tokio::task::spawn_blocking(move || sandbox::touch(&kept.paths.sandbox(&run_of)));
    if let Err(error) = touched.await {
        tracing::warn!(%error, "cannot note when a run ended");
    }
    if let Some(record) = record {
        let closed = record.write(|paths, run| {
            checkpoint::replace(&paths.sentinel(run), b"", Durability::Process)
        });
        // Said: the next agent finds that it is over in another way.
        let _ = closed.await;
        reach(Point::ExecutorClosed);
    }
}

/// What tells that there is a task goes first: recovery takes the rest for none. Blocks.
fn forget_task(paths: &Paths, run: &Run, task: &str) -> io::Result<()> {
    let absent = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    absent(fs::remove_file(paths.task_info(run, task)))?;
    absent(fs::remove_dir_all(paths.meta_task(run, task)))
}

/// Pure: in the words in which the kill of a task is kept.
fn begun(phase: &Phase, now: Instant, clock: Clock) -> Option<Killing> {
    let Phase::Terminating { cause, deadline } = phase else {
        return None;
    };
    let (of_task, excess) = match cause {
        Cause::Excess(excess) => (machine::Cause::Excess, Some(excess.clone())),
        Cause::Asked(by) => (machine::Cause::Asked(*by), None),
        Cause::Idle | Cause::NotRegistered | Cause::NotReregistered | Cause::UpdateFailed(_) => {
            (machine::Cause::Asked(Requester::Unknown), None)
        }
    };
    let of_task = machine::Phase::Killing {
        cause: of_task,
        deadline: *deadline,
    };
    let killing = Killing::begun(&machine::Phase::Launching, &of_task, now, clock)?;
    Some(Killing { excess, ..killing })
}

/// The phase of an executor whose end had begun. Pure.
pub fn goes_on(killing: &Killing, now: Instant, clock: Clock) -> Phase {
    let deadline = match killing.phase(now, clock) {
        machine::Phase::Killing { deadline, .. } => deadline,
        _ => Some(now),
    };
    let cause = match (&killing.excess, killing.why()) {
        (Some(excess), Why::Excess) => Cause::Excess(excess.clone()),
        _ => Cause::Asked(killing.by()),
    };
    Phase::Terminating { cause, deadline }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::excess::Excess;
    use crate::ports::Listening;
    use crate::quota::Overrun;

    #[test]
    fn an_end_that_was_asked_for_goes_on_for_the_time_that_is_left() {
        let (now, clock) = (Instant::now(), Clock::read());
        let phase = Phase::Terminating {
            cause: Cause::Asked(Requester::FrameworkOfExecutor),
            deadline: Some(now + Duration::from_secs(5)),
        };
        let kept = begun(&phase, now, clock).unwrap();
        let later = clock.later(Duration::from_secs(2));
        match goes_on(&kept, now, later) {
            Phase::Terminating {
                cause: Cause::Asked(Requester::FrameworkOfExecutor),
                deadline: Some(deadline),
            } => assert!(deadline - now <= Duration::from_secs(3)),
            other => panic!("{other:?}"),
        }
        assert_eq!(begun(&Phase::Running, now, clock), None);
    }

    #[test]
    fn the_next_agent_knows_what_it_was_ended_for() {
        use prost::Message as _;
        let (now, clock) = (Instant::now(), Clock::read());
        let disk = Excess::Disk(Overrun {
            used: 2,
            limit: 1,
            largest: ".".into(),
        });
        let ports = Excess::Ports(Listening {
            container: "c1".into(),
            ports: "[80-80]".into(),
        });
        for excess in [disk, ports] {
            let cause = Cause::Excess(excess);
            let phase = |deadline| Phase::Terminating {
                cause: cause.clone(),
                deadline,
            };
            let kept = begun(&phase(None), now, clock).unwrap().encode_to_vec();
            let kept = Killing::decode(kept.as_slice()).unwrap();
            // What has not gone by then is killed again.
            assert_eq!(goes_on(&kept, now, clock), phase(Some(now)));
        }
    }
}
