//! What is written down of an executor of task groups beside its tasks: which of them came together.

use crate::checkpoint::{self, CheckpointError, Durability};
use crate::paths::{Paths, Run};

/// On the disk: numbers are not to be given to others.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Groups {
    /// In the order in which they came.
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<Group>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Group {
    /// Their ids.
    #[prost(string, repeated, tag = "1")]
    pub tasks: Vec<String>,
}

impl Groups {
    pub fn add(&mut self, tasks: Vec<String>) {
        self.groups.push(Group { tasks });
    }

    /// A task with this id has been among them.
    pub fn have_had(&self, task: &str) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| group.tasks.iter().any(|it| it == task))
    }

    /// Before anything is done for the last of them. Blocks.
    pub fn write(&self, paths: &Paths, run: &Run) -> Result<(), CheckpointError> {
        // A machine that stops must not leave half of it: nothing could put it back.
        checkpoint::write(&paths.executor_groups(run), self, Durability::Reboot)
    }
}
