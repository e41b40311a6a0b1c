//! Custom executors in the book.

use std::sync::Arc;

use proto::v1;

use super::{Book, Executor, ExecutorState, Kind};
use crate::container::Container;
use crate::executor::Key;

impl Book {
    /// A custom executor has one more task.
    pub fn add_task(&mut self, key: &Key, id: String, task: v1::Task) {
        if let Some(executor) = self.custom(key) {
            executor.tasks.insert(id, Box::new(task));
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
        }
    }

    /// A custom executor has ended, and so have its tasks, which are all acknowledged.
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
        executor.filter(|executor| executor.kind == Kind::Custom)
    }

    /// Those that live.
    pub fn custom_executors(&self) -> Vec<v1::ExecutorInfo> {
        let lives = |executor: &&Arc<Executor>| {
            executor.kind == Kind::Custom && executor.state != ExecutorState::Terminated
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
