//! Takes over what an earlier process of this agent left running: carries out what `recovery`
//! decided.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use proto::v1::{FrameworkInfo, TaskInfo};
use tokio::task::JoinHandle;

use crate::book::{Executor, ExecutorState, Kind};
use crate::checkpoint::{self, Durability};
use crate::checks::{Checks, Past};
use crate::clock::Clock;
use crate::container::Container;
use crate::executor;
use crate::group;
use crate::logs::Begun;
use crate::paths::Run;
use crate::quota::quota;
use crate::recovery::{
    Earlier, Fate, Loss, Stored, StoredFramework, StoredRun, StoredTask, Unread, decide, record,
};
use crate::supervisor::Supervisor;
use crate::task::Key;
use crate::task::actor::{Beginning, Resumed};
use crate::task::command_executor::{policy, shown};
use crate::task::ending;
use crate::task::launch::Host;
use crate::task::machine::Phase;

/// Containers by their id.
pub type Found = HashMap<String, Container>;

/// Says what cannot be taken over.
pub fn tell_losses(supervisor: &mut Supervisor, stored: &Stored) {
    for Loss {
        what, cause, aside, ..
    } in &stored.losses
    {
        let error = proto::error::chain(&**cause);
        let aside = aside
            .as_ref()
            .map(|aside| tracing::field::display(aside.display()));
        tracing::error!(error, aside, "lost: {what} cannot be recovered");
    }
    for Earlier { what, aside } in &stored.earlier {
        let aside = aside.display();
        tracing::warn!(%aside, "lost before: {what} cannot be recovered while this has not been put right");
    }
    for failure in &stored.untaken {
        let error = proto::error::chain(failure);
        tracing::error!(container = %failure.id(), error, "left a container alone, and its tasks unreported");
    }
    let count = stored.losses.len() + stored.earlier.len() + stored.untaken.len();
    supervisor.book.counters.recovery_errors += count as u64;
}

/// Gives every stored task its actor again. What is left in `found` belongs to nobody, but for what
/// the checkpoints that could not be read are about.
pub fn adopt(supervisor: &mut Supervisor, stored: Stored, found: &mut Found) {
    for StoredFramework { info, runs } in stored.frameworks {
        for run in runs {
            adopt_run(supervisor, &info, run, stored.rebooted, found);
        }
    }
}

fn adopt_run(
    supervisor: &mut Supervisor,
    framework: &FrameworkInfo,
    stored: StoredRun,
    rebooted: bool,
    found: &mut Found,
) {
    match stored.kind {
        Kind::Command => {}
        Kind::Custom => return adopt_executor(supervisor, framework, stored, rebooted, found),
        Kind::Group => {
            return group::adoption::adopt(supervisor, framework, stored, rebooted, found);
        }
    }
    let StoredRun {
        run,
        executor,
        completed,
        tasks,
        ..
    } = stored;
    let mut entry = Executor {
        kind: Kind::Command,
        completed_tasks: Default::default(),
        members: Default::default(),
        sandbox: supervisor.host.paths.sandbox(&run),
        run: run.clone(),
        info: shown(&executor),
        state: ExecutorState::Terminated,
        tasks: tasks
            .iter()
            .map(|t| (t.info.task_id.value.clone(), Box::new(record(t, framework))))
            .collect(),
        container: None,
    };
    let decide = |task: &StoredTask| {
        let is_alive = found.contains_key(&run.container);
        let (now, clock) = (Instant::now(), Clock::read());
        decide(
            framework,
            &task.info,
            &task.history,
            is_alive,
            rebooted,
            now,
            clock,
        )
    };
    let fates: Vec<_> = tasks
        .into_iter()
        .map(|task| (decide(&task), task))
        .collect();
    if completed || fates.iter().all(|(fate, _)| *fate == Fate::Done) {
        if !completed {
            close(supervisor, &run);
        }
        return supervisor.book.add_completed(framework, entry);
    }
    let lives = fates.iter().any(|(fate, _)| matches!(fate, Fate::Adopt(_)));
    if lives {
        entry.state = ExecutorState::Running;
        entry.container = found.get(&run.container).cloned();
    }
    supervisor.book.add_executor(framework, entry);
    for (fate, task) in fates {
        go_on(supervisor, framework, (&run, None), (fate, task), found);
    }
}

/// A task has its actor again, unless there is nothing more to be told of it. Its container may be `nested` in
/// that of the run.
pub fn go_on(
    supervisor: &mut Supervisor,
    framework: &FrameworkInfo,
    (run, nested): (&Run, Option<String>),
    (fate, task): (Fate, StoredTask),
    found: &mut Found,
) {
    let key = Key {
        framework: run.framework.clone(),
        task: task.info.task_id.value.clone(),
    };
    let paths = &supervisor.host.paths;
    let (own, sandbox) = match &nested {
        Some(nested) => (nested.clone(), paths.nested_sandbox(run, nested)),
        None => (run.container.clone(), paths.sandbox(run)),
    };
    if fate != Fate::Done {
        keep_logs(
            &supervisor.host,
            &sandbox,
            &task.info,
            matches!(fate, Fate::Adopt(_)),
        );
    }
    // What a group takes is its executor's.
    if matches!(fate, Fate::Adopt(_)) && nested.is_none() {
        let disk = quota(&task.info.resources);
        let quotas = &supervisor.host.quotas;
        quotas.watch(key.clone(), &sandbox, disk);
    }
    let (phase, container, report) = match fate {
        Fate::Done => return,
        Fate::Deliver => (Phase::Ended, None, None),
        Fate::Adopt(phase) => (phase, found.remove(&own), None),
        Fate::Lost(report) => (Phase::Ended, None, Some(report)),
    };
    let checks = Checks::of(&task.info).map(|checks| match phase {
        Phase::Running { .. } => {
            let past = Past::of(&task.history, Instant::now(), Clock::read());
            checks.resumed(past)
        }
        _ => checks,
    });
    let resumed = Resumed {
        policy: {
            let docker = &supervisor.host.docker;
            docker.graced(policy(framework, &task.info), &task.info)
        },
        phase,
        journal: task.journal,
        history: task.history,
        container,
        report,
        cut: ending::never_ran(framework),
        checks,
    };
    let beginning = Beginning::Resume(Box::new(resumed));
    supervisor.start_in(key, (Some(run.clone()), nested), true, beginning);
}

/// The earlier process may have had nothing more to do for a run than to say so, or not have come to begin
/// it: so it will be collected.
fn close(supervisor: &Supervisor, run: &Run) {
    let sentinel = supervisor.host.paths.sentinel(run);
    if let Err(error) = checkpoint::replace(&sentinel, b"", Durability::Process) {
        let error = proto::error::chain(&error);
        tracing::warn!(container = run.container, error, "cannot close a run");
    }
}

/// An executor with which something is left to do. Any other is shown as one that was here, and its run is closed.
pub fn unless_over(
    supervisor: &mut Supervisor,
    framework: &FrameworkInfo,
    executor: Executor,
    completed: bool,
    is_told: bool,
) -> Option<Executor> {
    if !completed && (executor.container.is_some() || !is_told) {
        return Some(executor);
    }
    if !completed {
        close(supervisor, &executor.run);
    }
    supervisor.book.add_completed(framework, executor);
    None
}

/// An executor that the framework brought. One that lives is to subscribe again; one that does not takes its
/// tasks with it.
fn adopt_executor(
    supervisor: &mut Supervisor,
    framework: &FrameworkInfo,
    stored: StoredRun,
    rebooted: bool,
    found: &mut Found,
) {
    let StoredRun {
        run,
        executor: info,
        killing,
        completed,
        tasks,
        ..
    } = stored;
    let (mut told, open): (Vec<_>, Vec<_>) =
        tasks.into_iter().partition(executor::adoption::is_told);
    executor::adoption::oldest_first(&mut told);
    let container = found.get(&run.container).cloned();
    let entry = Executor {
        kind: Kind::Custom,
        sandbox: supervisor.host.paths.sandbox(&run),
        run: run.clone(),
        info: info.clone(),
        state: ExecutorState::Terminated,
        tasks: (open.iter())
            .map(|t| (t.info.task_id.value.clone(), Box::new(record(t, framework))))
            .collect(),
        completed_tasks: told.iter().map(|t| record(t, framework)).collect(),
        members: Default::default(),
        container: container.clone(),
    };
    let is_told = open.is_empty();
    let Some(mut entry) = unless_over(supervisor, framework, entry, completed, is_told) else {
        return;
    };
    found.remove(&run.container);
    if container.is_some() {
        entry.state = ExecutorState::Registering;
    }
    supervisor.book.add_executor(framework, entry);
    let sandbox = supervisor.host.paths.sandbox(&run);
    let none = std::iter::empty();
    let job = executor::resources::job(&run, &sandbox, framework, &info, None, none);
    keep_logs(&supervisor.host, &sandbox, &job.task, container.is_some());
    let key = executor::Key {
        framework: run.framework.clone(),
        executor: run.executor.clone(),
    };
    let policy = supervisor.policy(framework.clone(), &info);
    let (now, clock) = (Instant::now(), Clock::read());
    let killing = killing.as_ref();
    let tasks = open.iter();
    let machine = executor::adoption::resume(policy, killing, tasks, told.len(), now, clock);
    if container.is_some() {
        let task = Key {
            framework: key.framework.clone(),
            task: key.executor.clone(),
        };
        let live = machine.tasks.live().map(|task| &task.info);
        let job = executor::resources::job(&run, &sandbox, framework, &info, None, live);
        let quotas = &supervisor.host.quotas;
        quotas.watch(task, &sandbox, job.disk());
    }
    let ids = open.iter().map(|task| task.info.task_id.value.clone());
    let ids: Vec<String> = ids.collect();
    supervisor.host_again(&key, ids.into_iter());
    let deliveries = open.into_iter().map(|task| {
        let id = task.info.task_id.value;
        (id, task.journal, task.history)
    });
    let resumed = executor::messages::Resumed {
        machine,
        deliveries: deliveries.collect(),
        told: (told.into_iter())
            .map(|task| task.info.task_id.value)
            .collect(),
        container,
        rebooted,
    };
    let beginning = executor::messages::Beginning::Resume(Box::new(resumed));
    supervisor.start_executor(key, run, framework.clone(), info, beginning);
}

/// A rotation may have been interrupted, even where the task has ended since.
pub fn keep_logs(host: &Host, sandbox: &Path, task: &TaskInfo, goes_on: bool) {
    // They were valid when it was launched.
    let limits = host.log_limits.of(task).unwrap_or(host.log_limits);
    host.keeper.watch(sandbox, limits, Begun::Earlier);
    if !goes_on {
        host.keeper.release(sandbox);
    }
}

/// Takes out of `found` what nobody can say anything about: it goes on running, for an agent that can
/// read its checkpoint again. Returns the ids.
pub fn spare(found: &mut Found, unread: &Unread) -> BTreeSet<String> {
    let mut spared = BTreeSet::new();
    found.retain(|id, _| {
        let is_spared = unread.contains(id);
        if is_spared {
            tracing::error!(
                container = id,
                "left a container alone: its checkpoint may be among those that could not be read; \
                 mend them and restart the agent"
            );
            spared.insert(id.clone());
        }
        !is_spared
    });
    spared
}

/// Ends containers that belong to nobody: tasks of frameworks that do not checkpoint, launches that
/// were cut short. Each of what is returned ends when nothing is left of one. Without a `host` their networks
/// and files are for somebody else to give back.
pub fn destroy_orphans(orphans: Found, host: Option<&Arc<Host>>) -> Vec<JoinHandle<()>> {
    let destroy = |container: Container| {
        tracing::info!(container = %container.id(), "destroying a container that belongs to no task");
        container.kill();
        let host = host.cloned();
        tokio::spawn(async move {
            for leftover in container.wait().await.leftovers {
                tracing::warn!(leftover, "an orphan left something behind");
            }
            if let Some(host) = host {
                host.leave(container.id().to_string()).await;
            }
            container.forget();
        })
    };
    orphans.into_values().map(destroy).collect()
}

/// By id, as `adopt` wants them.
pub fn by_id(containers: impl Iterator<Item = Container>) -> Found {
    containers.map(|c| (c.id().to_string(), c)).collect()
}
