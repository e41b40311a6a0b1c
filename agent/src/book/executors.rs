//! Executors in the book that are more than an entry for one task: custom ones, and those of task groups.

use std::sync::Arc;

use proto::v1::{self, TaskState};

use super::{Book, Executor, ExecutorState, Kind};
use crate::container::Container;
use crate::executor::Key;
use crate::group::member::container;

impl Executor {
    /// Tasks of groups, and the container of each, which is nested in this one's.
    pub fn nested(&self) -> impl Iterator<Item = (&v1::Task, String)> {
        let of = |task: &'_ v1::Task| self.nested_of(&task.task_id.value);
        self.tasks().filter_map(move |task| Some((task, of(task)?)))
    }

    /// The container of a task of its, if that is another than its own.
    pub fn nested_of(&self, task: &str) -> Option<String> {
        (self.kind == Kind::Group).then(|| container(&self.run.container, task))
    }

    pub fn note_member(&mut self, task: &str, container: Option<Container>) {
        match container {
            Some(container) => drop(self.members.insert(task.to_owned(), container)),
            None => drop(self.members.remove(task)),
        }
        self.note_launches();
    }

    /// One of task groups is as far as the last of its tasks.
    pub fn note_launches(&mut self) {
        use TaskState::{TaskStaging, TaskStarting};
        let launches = |task: &v1::Task| matches!(task.state(), TaskStaging | TaskStarting);
        self.state = match self.state {
            ExecutorState::Registering | ExecutorState::Running => {
                match self.container.is_none() || self.tasks().any(launches) {
                    true => ExecutorState::Registering,
                    false => ExecutorState::Running,
                }
            }
            ended => ended,
        };
    }
}

impl Book {
    /// An executor that is here has one more task.
    pub fn add_task(&mut self, key: &Key, id: String, task: v1::Task) {
        if let Some(executor) = self.custom(key) {
            executor.tasks.insert(id, Box::new(task));
            if executor.kind == Kind::Group {
                executor.note_launches();
            }
        }
    }

    pub fn executor_changed(
        &mut self,
        key: &Key,
        state: ExecutorState,
        container: Option<Container>,
    ) {
        if let Some(executor) = self.custom(key) {
            executor.state = state;
            executor.container = container;
            if executor.kind == Kind::Group {
                executor.note_launches();
            }
        }
    }

    /// The container of one that has one.
    pub fn container_of(&self, key: &Key) -> Option<Container> {
        let framework = self.frameworks.get(&key.framework)?;
        framework.executors.get(&key.executor)?.container.clone()
    }

    /// An executor has ended, and so have its tasks, which are all acknowledged.
    pub fn close_executor(&mut self, key: &Key) {
        let max = self.max_completed_executors;
        let Some(framework) = self.frameworks.get_mut(&key.framework) else {
            return;
        };
        if let Some(executor) = framework.executors.remove(&key.executor) {
            framework.complete(executor, max);
        }
        self.complete_if_idle(&key.framework);
    }

    fn custom(&mut self, key: &Key) -> Option<&mut Executor> {
        let framework = self.frameworks.get_mut(&key.framework)?;
        let executor = framework.executors.get_mut(&key.executor);
        let executor = executor.map(Arc::make_mut);
        executor.filter(|executor| executor.kind != Kind::Command)
    }

    /// Those that live.
    pub fn custom_executors(&self) -> Vec<v1::ExecutorInfo> {
        let lives = |executor: &&Arc<Executor>| {
            executor.kind != Kind::Command && executor.state != ExecutorState::Terminated
        };
        let executors = self.frameworks.values().flat_map(|framework| {
            let executors = framework.executors.values().filter(lives);
            executors.map(|executor| v1::ExecutorInfo {
                framework_id: framework.info.id.clone(),
                ..executor.info.clone()
            })
        });
        executors.collect()
    }
}
