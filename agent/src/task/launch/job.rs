//! What a launch is asked for.

use std::path::PathBuf;

use proto::v1;

use crate::book::Kind;
use crate::group::member::Membership;
use crate::paths::Run;
use crate::quota::quota;
use crate::task::Key;

/// One task that is to run.
#[derive(Debug, Clone)]
pub struct Job {
    pub run: Run,
    pub sandbox: PathBuf,
    pub framework: v1::FrameworkInfo,
    pub executor: v1::ExecutorInfo,
    pub task: v1::TaskInfo,
    /// Who runs the task: else `executor` is what there is to launch, and `task` says so.
    pub kind: Kind,
    /// Of a task of a group.
    pub member: Option<Box<Membership>>,
}

impl Job {
    /// The id of its container.
    pub fn container(&self) -> &str {
        let member = self.member.as_ref();
        member.map_or(&self.run.container, |member| &member.container)
    }

    /// Its container is that of a group's executor.
    pub fn holds_a_group(&self) -> bool {
        self.kind == Kind::Group && self.member.is_none()
    }

    /// What all in the sandbox may take; `None` when nobody has thought of it. That of a group is its
    /// executor's, in which those of its tasks are.
    pub fn disk(&self) -> Option<u64> {
        if self.member.is_some() {
            return None;
        }
        quota(&[&self.executor.resources[..], &self.task.resources].concat())
    }

    pub fn key(&self) -> Key {
        Key {
            framework: self.run.framework.clone(),
            task: self.task.task_id.value.clone(),
        }
    }
}
