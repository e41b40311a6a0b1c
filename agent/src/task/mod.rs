//! Tasks: what happens to one from the master's word to the acknowledged end.
//!
//! `machine` and `updates` decide, purely. `actor` owns one task and carries the decisions out;
//! `launch` is the part of that which makes a container, from what `request` planned.

pub mod actor;
pub mod awaited;
pub mod capabilities;
pub mod command_executor;
pub mod delivery;
pub mod desk;
mod docker;
pub mod ending;
pub mod environment;
pub mod identity;
mod image;
pub mod journal;
pub mod killing;
pub mod launch;
pub mod machine;
pub mod namespaces;
mod notes;
pub mod policy;
pub mod prepare;
pub mod request;
mod rlimits;
mod rootfs;
mod seccomp;
mod store;
mod terminal;
pub mod turns;
mod unwritten;
pub mod updates;
pub mod user_namespace;
mod volumes;

use proto::v1;

/// Names a task: ids are only unique within their framework.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub framework: String,
    pub task: String,
}

impl Key {
    pub fn framework_id(&self) -> v1::FrameworkId {
        v1::FrameworkId {
            value: self.framework.clone(),
        }
    }

    pub fn task_id(&self) -> v1::TaskId {
        v1::TaskId {
            value: self.task.clone(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.framework, self.task)
    }
}

/// A duration that came over the wire; negative ones are none at all.
pub fn duration(info: &v1::DurationInfo) -> std::time::Duration {
    std::time::Duration::from_nanos(u64::try_from(info.nanoseconds).unwrap_or(0))
}

/// Whether `framework` has said that it understands `capability`.
pub fn is_capable(
    framework: &v1::FrameworkInfo,
    capability: v1::framework_info::capability::Type,
) -> bool {
    framework
        .capabilities
        .iter()
        .any(|c| c.r#type == Some(capability as i32))
}
