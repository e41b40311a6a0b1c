//! The agent's book: which frameworks, executors and tasks it has. Pure; `supervisor` keeps it and
//! everyone else reads copies.

mod executors;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use proto::resources::Resources;
use proto::task::is_terminal;
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState, TaskStatus};

use crate::container::Container;
use crate::drain::Drain;
use crate::executor::record::COMPLETED_TASKS;
use crate::paths::Run;
use crate::task::Key;

/// Completed frameworks remembered. Source: spec/mesos-agent.md section 2.2.
const MAX_COMPLETED_FRAMEWORKS: usize = 50;

#[derive(Debug, Clone)]
pub struct Book {
    /// With an id from the first registration on.
    pub info: v1::AgentInfo,
    /// Known while registered.
    pub master: Option<v1::MasterInfo>,
    pub frameworks: BTreeMap<String, Framework>,
    /// Oldest first.
    pub completed: VecDeque<Framework>,
    pub counters: Counters,
    /// While it drains, and afterwards until that is taken back.
    pub drain: Option<Drain>,
    max_completed_executors: usize,
}

/// A copy of the book, as everyone takes one who asks for anything, shares the executors with it.
#[derive(Debug, Clone)]
pub struct Framework {
    pub info: v1::FrameworkInfo,
    pub executors: BTreeMap<String, Arc<Executor>>,
    /// Tasks that were refused and wait for the acknowledgement of that.
    pub refused: BTreeMap<String, v1::Task>,
    /// Oldest first.
    pub completed: VecDeque<Arc<Executor>>,
}

#[derive(Debug, Clone)]
pub struct Executor {
    pub kind: Kind,
    pub info: v1::ExecutorInfo,
    pub run: Run,
    pub sandbox: PathBuf,
    pub state: ExecutorState,
    /// Boxed, for a map has room for several from the first on, and most executors have one.
    pub tasks: BTreeMap<String, Box<v1::Task>>,
    /// Of a custom executor, those that ended and were acknowledged. Oldest first.
    pub completed_tasks: VecDeque<v1::Task>,
    /// While it lives.
    pub container: Option<Container>,
    /// Of task groups, those of their tasks, while they live.
    pub members: BTreeMap<String, Container>,
}

/// Who runs the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The agent itself: the executor is an entry in the books.
    Command,
    /// A program of the framework, any number of them.
    Custom,
    /// The agent itself, groups of them, each task in a container that is nested in the executor's.
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorState {
    Registering,
    Running,
    Terminating,
    Terminated,
}

/// Of this process, since it started.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Tasks that ended, by their last state.
    pub ended: BTreeMap<&'static str, u64>,
    pub status_updates: u64,
    pub container_launch_errors: u64,
    /// Containers that left something behind.
    pub container_destroy_errors: u64,
    pub recovery_errors: u64,
}

impl Book {
    pub fn new(info: v1::AgentInfo, max_completed_executors: usize) -> Book {
        Book {
            info,
            master: None,
            frameworks: BTreeMap::new(),
            completed: VecDeque::new(),
            counters: Counters::default(),
            drain: None,
            max_completed_executors,
        }
    }

    /// The framework's entry, made or brought up to date.
    pub fn framework(&mut self, info: &v1::FrameworkInfo) -> &mut Framework {
        let id = info.id.clone().unwrap_or_default().value;
        let entry = self.frameworks.entry(id).or_insert_with_key(|id| {
            let old = self.completed.iter().position(|f| f.id() == id);
            let old = old.and_then(|at| self.completed.remove(at));
            old.unwrap_or_else(|| Framework {
                info: info.clone(),
                executors: BTreeMap::new(),
                refused: BTreeMap::new(),
                completed: VecDeque::new(),
            })
        });
        entry.info = info.clone();
        entry
    }

    pub fn add_executor(&mut self, framework: &v1::FrameworkInfo, executor: Executor) {
        let id = executor.run.executor.clone();
        self.framework(framework)
            .executors
            .insert(id, Arc::new(executor));
    }

    /// Takes a task's newest status.
    pub fn progress(&mut self, key: &Key, status: &TaskStatus, container: Option<Container>) {
        self.counters.status_updates += 1;
        if is_terminal(status.state()) {
            *self
                .counters
                .ended
                .entry(status.state().as_str_name())
                .or_default() += 1;
        }
        if status.reason == Some(Reason::ContainerLaunchFailed as i32) {
            self.counters.container_launch_errors += 1;
        }
        let Some(framework) = self.frameworks.get_mut(&key.framework) else {
            return;
        };
        if let Some(task) = framework.refused.get_mut(&key.task) {
            note(task, status);
        }
        let Some(executor) = framework.with_task(&key.task) else {
            return;
        };
        if let Some(task) = executor.tasks.get_mut(&key.task) {
            note(task, status);
        }
        match executor.kind {
            Kind::Command => {}
            Kind::Custom => return,
            Kind::Group => return executor.note_member(&key.task, container),
        }
        executor.container = container;
        executor.state = match status.state() {
            TaskState::TaskStaging | TaskState::TaskStarting => ExecutorState::Registering,
            TaskState::TaskKilling => ExecutorState::Terminating,
            state if is_terminal(state) => ExecutorState::Terminated,
            _ => ExecutorState::Running,
        };
    }

    /// Notes the update of a task that the master was told last: what frameworks hear when they ask.
    pub fn forwarded(&mut self, key: &Key, state: TaskState, uuid: Vec<u8>) {
        let Some(framework) = self.frameworks.get_mut(&key.framework) else {
            return;
        };
        if let Some(task) = framework.task(&key.task) {
            task.set_status_update_state(state);
            task.status_update_uuid = Some(uuid);
        }
    }

    /// Forgets a task whose last update is acknowledged; its executor moves to the completed ones.
    pub fn close(&mut self, key: &Key) {
        let Some(framework) = self.frameworks.get_mut(&key.framework) else {
            return;
        };
        framework.refused.remove(&key.task);
        if let Some(executor) = framework.with_task(&key.task)
            && executor.kind != Kind::Command
        {
            return executor.complete_task(&key.task);
        }
        let executor = framework.executor_of(&key.task).map(str::to_owned);
        if let Some(executor) = executor.and_then(|id| framework.executors.remove(&id)) {
            framework.complete(executor, self.max_completed_executors);
        }
        self.complete_if_idle(&key.framework);
    }

    fn complete_if_idle(&mut self, id: &str) {
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        if framework.executors.is_empty() && framework.refused.is_empty() {
            self.completed.extend(self.frameworks.remove(id));
            while self.completed.len() > MAX_COMPLETED_FRAMEWORKS {
                self.completed.pop_front();
            }
        }
    }

    /// Takes an executor that was over before this process started.
    pub fn add_completed(&mut self, framework: &v1::FrameworkInfo, executor: Executor) {
        let max = self.max_completed_executors;
        let id = framework.id.clone().unwrap_or_default().value;
        let executor = Arc::new(executor);
        if let Some(framework) = self.frameworks.get_mut(&id) {
            return framework.complete(executor, max);
        }
        match self.completed.iter_mut().find(|f| f.id() == id) {
            Some(known) => known.complete(executor, max),
            None => self.completed.push_back(Framework {
                info: framework.clone(),
                executors: BTreeMap::new(),
                refused: BTreeMap::new(),
                completed: VecDeque::from([executor]),
            }),
        }
    }

    /// Every task that is live, or ended and not acknowledged.
    pub fn tasks(&self) -> impl Iterator<Item = &v1::Task> {
        self.frameworks.values().flat_map(|f| {
            f.executors
                .values()
                .flat_map(|e| e.tasks())
                .chain(f.refused.values())
        })
    }

    /// The newest of those that ended and were acknowledged, oldest first, of live frameworks.
    pub fn completed_tasks(&self, most: usize) -> Vec<v1::Task> {
        let frameworks = self.frameworks.values();
        let executors = frameworks.clone().flat_map(|f| &f.completed);
        let ended = executors.flat_map(|e| e.tasks().chain(&e.completed_tasks));
        let live = frameworks.flat_map(|f| f.executors.values());
        let live = live.flat_map(|e| &e.completed_tasks);
        let mut tasks: Vec<&v1::Task> = ended.chain(live).collect();
        let ended = |task: &v1::Task| task.statuses.last().map_or(0.0, v1::TaskStatus::timestamp);
        tasks.sort_by(|one, other| ended(one).total_cmp(&ended(other)));
        let newest = tasks.split_off(tasks.len().saturating_sub(most));
        newest.into_iter().cloned().collect()
    }

    pub fn executors(&self) -> impl Iterator<Item = (&Framework, &Executor)> {
        self.frameworks
            .values()
            .flat_map(|f| f.executors.values().map(move |e| (f, &**e)))
    }

    /// All executors whose sandbox may still be on disk.
    pub fn all_executors(&self) -> impl Iterator<Item = &Executor> {
        let frameworks = self.frameworks.values().chain(&self.completed);
        let executors = frameworks.flat_map(|f| f.executors.values().chain(&f.completed));
        executors.map(|executor| &**executor)
    }

    /// Tasks that have not ended.
    pub fn tasks_left(&self) -> usize {
        let lives = |executor: &Executor| executor.state != ExecutorState::Terminated;
        let executors = self.executors().filter(|(_, executor)| lives(executor));
        executors.map(|(_, executor)| executor.tasks.len()).sum()
    }

    /// What live executors and their tasks hold.
    pub fn used(&self) -> Vec<v1::Resource> {
        self.executors()
            .flat_map(|(_, executor)| executor.resources())
            .collect()
    }
}

impl Framework {
    fn id(&self) -> &str {
        self.info.id.as_ref().map_or("", |id| &id.value)
    }

    fn task(&mut self, id: &str) -> Option<&mut v1::Task> {
        if self.refused.contains_key(id) {
            return self.refused.get_mut(id);
        }
        let task = self.with_task(id)?.tasks.get_mut(id);
        task.map(|task| &mut **task)
    }

    /// The id of the executor that has the task.
    fn executor_of(&self, task: &str) -> Option<&str> {
        let has = |executor: &&Arc<Executor>| executor.tasks.contains_key(task);
        // Of a command it is that of the task.
        let named = self.executors.get(task).filter(has);
        let executor = named.or_else(|| self.executors.values().find(has));
        executor.map(|executor| executor.run.executor.as_str())
    }

    /// The same, to be changed.
    fn with_task(&mut self, task: &str) -> Option<&mut Executor> {
        let id = self.executor_of(task)?.to_owned();
        self.executors.get_mut(&id).map(Arc::make_mut)
    }

    fn complete(&mut self, mut executor: Arc<Executor>, max: usize) {
        let ended = Arc::make_mut(&mut executor);
        ended.state = ExecutorState::Terminated;
        ended.container = None;
        self.completed.push_back(executor);
        while self.completed.len() > max {
            self.completed.pop_front();
        }
    }
}

impl Executor {
    pub fn tasks(&self) -> impl Iterator<Item = &v1::Task> {
        self.tasks.values().map(|task| &**task)
    }

    fn complete_task(&mut self, id: &str) {
        let task = self.tasks.remove(id);
        self.completed_tasks.extend(task.map(|task| *task));
        while self.completed_tasks.len() > COMPLETED_TASKS {
            self.completed_tasks.pop_front();
        }
    }

    /// What it and its live tasks hold; nothing once it has ended.
    pub fn resources(&self) -> Vec<v1::Resource> {
        if self.state == ExecutorState::Terminated {
            return vec![];
        }
        let live = self
            .tasks
            .values()
            .filter(|task| !is_terminal(task.state()));
        let tasks = live.flat_map(|task| task.resources.clone());
        self.info.resources.iter().cloned().chain(tasks).collect()
    }
}

/// Sums up resources that arrived over the wire; what is not valid counts for nothing.
pub fn total(resources: &[v1::Resource]) -> Resources {
    let mut sum = Resources::new();
    for resource in resources {
        match Resources::from_protos(std::slice::from_ref(resource)) {
            Ok(one) => sum = sum.try_add(&one).unwrap_or(sum),
            Err(error) => {
                tracing::debug!(name = resource.name, %error, "resource is not valid");
            }
        }
    }
    sum
}

pub fn note(task: &mut v1::Task, status: &TaskStatus) {
    task.state = status.state;
    proto::task::keep(&mut task.statuses, status);
}

#[cfg(test)]
pub(crate) mod tests;
