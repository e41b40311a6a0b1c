//! Takes over executors of task groups that an earlier process of this agent had.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use proto::task::is_terminal;
use proto::v1::{FrameworkInfo, TaskState};

use super::holder;
use super::keeper::Beginning;
use super::machine::Machine;
use super::member::container;
use super::record::Groups;
use crate::adoption::{Found, go_on, keep_logs, unless_over};
use crate::book::{Executor, ExecutorState, Kind};
use crate::clock::Clock;
use crate::executor::Key;
use crate::recovery::{Fate, StoredRun, StoredTask, decide, record};
use crate::supervisor::Supervisor;
use crate::supervisor::groups::Known;
use crate::task::launch::Job;

/// Its tasks are decided upon one by one, as any others. What the end of one means for the others the next
/// steps of its machine tell.
pub fn adopt(
    supervisor: &mut Supervisor,
    framework: &FrameworkInfo,
    stored: StoredRun,
    rebooted: bool,
    found: &mut Found,
) {
    let StoredRun {
        run,
        executor: info,
        completed,
        tasks,
        groups,
        ..
    } = stored;
    let (now, clock) = (Instant::now(), Clock::read());
    let fate = |task: &StoredTask| {
        let is_alive = found.contains_key(&container(&run.container, task.id()));
        let (info, history) = (&task.info, &task.history);
        decide(framework, info, history, is_alive, rebooted, now, clock)
    };
    let fates: Vec<_> = tasks.iter().map(fate).collect();
    let holder = found.get(&run.container).cloned();
    let is_told = |fate: &Fate| *fate == Fate::Done;
    let mut entry = Executor {
        kind: Kind::Group,
        sandbox: supervisor.host.paths.sandbox(&run),
        run: run.clone(),
        info: info.clone(),
        state: ExecutorState::Terminated,
        tasks: BTreeMap::new(),
        completed_tasks: Default::default(),
        members: Default::default(),
        container: holder.clone(),
    };
    for (task, fate) in tasks.iter().zip(&fates) {
        if let Some(own) = found.get(&container(&run.container, task.id())) {
            entry.members.insert(task.id().to_owned(), own.clone());
        }
        let shown = record(task, framework);
        match is_told(fate) {
            true => entry.completed_tasks.push_back(shown),
            false => drop(entry.tasks.insert(task.id().to_owned(), Box::new(shown))),
        }
    }
    let all_told = fates.iter().all(is_told);
    let Some(mut entry) = unless_over(supervisor, framework, entry, completed, all_told) else {
        return;
    };
    found.remove(&run.container);
    if holder.is_some() {
        entry.state = ExecutorState::Running;
        entry.note_launches();
    }
    supervisor.book.add_executor(framework, entry);
    let key = Key {
        framework: run.framework.clone(),
        executor: run.executor.clone(),
    };
    let infos: Vec<_> = tasks.iter().map(|task| task.info.clone()).collect();
    let network = supervisor.network_of(framework, &info, &infos, &run);
    // It was valid when it was launched.
    let network = network.unwrap_or_default();
    let open = tasks.iter().zip(&fates).filter(|(_, fate)| !is_told(fate));
    let open = open.map(|(task, _)| (task.id().to_owned(), task.info.clone()));
    let open: BTreeMap<_, _> = open.collect();
    let sandbox = supervisor.host.paths.sandbox(&run);
    let job = holder::job(&run, &sandbox, framework, &info, open.values());
    look_after(supervisor, &job, holder.is_some());
    let ended = ended(&groups, &tasks);
    let known = Known {
        framework: framework.clone(),
        info,
        is_checkpointed: true,
        machine: Machine::resume(holder.is_some(), all(&groups)),
        run: run.clone(),
        record: groups,
        network,
        live: open,
    };
    supervisor.start_keeper(&key, known, Beginning::Resume(holder));
    for (task, fate) in tasks.into_iter().zip(fates) {
        let nested = container(&run.container, task.id());
        go_on(
            supervisor,
            framework,
            (&run, Some(nested)),
            (fate, task),
            found,
        );
    }
    supervisor.go_on_with_group(&key, ended);
}

impl StoredTask {
    fn id(&self) -> &str {
        &self.info.task_id.value
    }

    /// How it has ended, as far as that is written down.
    fn end(&self) -> Option<TaskState> {
        let last = self.history.updates.last()?.state();
        Some(last).filter(|state| is_terminal(*state))
    }
}

/// Of each group its tasks. Who has ended is among them: what that means for the others may not have been done.
fn all(groups: &Groups) -> Vec<BTreeSet<String>> {
    let groups = groups.groups.iter();
    let of = |tasks: &Vec<String>| tasks.iter().cloned().collect();
    groups.map(|group| of(&group.tasks)).collect()
}

/// Those that have ended, and those that an agent died before it wrote down: they never come to be, and the master
/// learns that when it asks for them.
fn ended(groups: &Groups, tasks: &[StoredTask]) -> Vec<(String, TaskState)> {
    let all = groups.groups.iter().flat_map(|group| &group.tasks);
    let end = |id: &String| match tasks.iter().find(|task| task.id() == id) {
        Some(task) => task.end(),
        None => Some(TaskState::TaskLost),
    };
    all.filter_map(|id| Some((id.clone(), end(id)?))).collect()
}

/// The logs and the disk of its sandbox, in which those of the tasks lie.
fn look_after(supervisor: &Supervisor, job: &Job, lives: bool) {
    let (host, sandbox) = (&supervisor.host, &job.sandbox);
    keep_logs(host, sandbox, &job.task, lives);
    if lives {
        host.quotas.watch(job.key(), sandbox, job.disk());
    }
}
