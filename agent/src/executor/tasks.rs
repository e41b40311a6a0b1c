//! The tasks of one executor, as its machine knows them.

use std::collections::{BTreeMap, VecDeque};

use proto::task::is_terminal;
use proto::v1::{KillPolicy, TaskInfo, TaskState};

/// Updates of a task whose ids are remembered: an executor repeats those that it has not heard to be stored.
const REMEMBERED: usize = 128;

#[derive(Debug, Clone, PartialEq)]
pub struct Assigned {
    pub info: TaskInfo,
    /// The newest that was said of it.
    pub state: TaskState,
    /// The executor was sent it.
    pub handed_over: bool,
    pub kill: Wish,
    /// Ids of the newest updates, oldest first.
    updates: VecDeque<Vec<u8>>,
}

/// Whether the task is to be killed.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    None,
    /// The executor is to hear of it on each of its connections, until the task has ended.
    Kill(Option<KillPolicy>),
}

impl Assigned {
    pub fn new(info: TaskInfo) -> Assigned {
        Assigned {
            info,
            state: TaskState::TaskStaging,
            handed_over: false,
            kill: Wish::None,
            updates: VecDeque::new(),
        }
    }

    pub fn has_ended(&self) -> bool {
        is_terminal(self.state)
    }

    /// Takes an update, or says that it is a repeated one.
    pub fn take(&mut self, state: TaskState, uuid: &[u8]) -> bool {
        if self.updates.iter().any(|known| known == uuid) {
            return false;
        }
        self.updates.push_back(uuid.to_vec());
        if self.updates.len() > REMEMBERED {
            self.updates.pop_front();
        }
        self.state = state;
        true
    }
}

/// All that are not yet forgotten, and the order in which the new ones came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tasks {
    all: BTreeMap<String, Assigned>,
    /// Not handed over.
    queue: VecDeque<String>,
    /// Some task was handed over at some time.
    pub served: bool,
}

impl Tasks {
    /// Takes a task that came in, or was found.
    pub fn add(&mut self, task: Assigned) {
        let id = task.info.task_id.value.clone();
        if !task.handed_over && !task.has_ended() {
            self.queue.push_back(id.clone());
        }
        self.served |= task.handed_over;
        self.all.insert(id, task);
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Assigned> {
        self.all.get_mut(id)
    }

    pub fn has_ended(&self, id: &str) -> bool {
        self.all.get(id).is_none_or(Assigned::has_ended)
    }

    pub fn forget(&mut self, id: &str) {
        self.all.remove(id);
    }

    pub fn live(&self) -> impl Iterator<Item = &Assigned> {
        self.all.values().filter(|task| !task.has_ended())
    }

    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes those that wait for the executor, in order: it is being sent them.
    pub fn hand_over(&mut self) -> Vec<TaskInfo> {
        let mut handed = Vec::new();
        for id in std::mem::take(&mut self.queue) {
            if let Some(task) = self.all.get_mut(&id) {
                task.handed_over = true;
                self.served = true;
                handed.push(task.info.clone());
            }
        }
        handed
    }

    /// The agent itself says how a task ended.
    pub fn end(&mut self, id: &str, state: TaskState) {
        self.queue.retain(|queued| queued != id);
        if let Some(task) = self.all.get_mut(id) {
            task.state = state;
        }
    }

    /// An executor that speaks of a task has it, however it came to it.
    pub fn spoken_of(&mut self, id: &str) {
        self.queue.retain(|queued| queued != id);
        if let Some(task) = self.all.get_mut(id) {
            task.handed_over = true;
        }
        self.served = true;
    }
}
