//! Custom executors: programs of a framework that run its tasks themselves, many of them perhaps, and speak
//! the v1 executor API with the agent.
//!
//! ```text
//!  supervisor ──orders──► actor (one per executor) ──► machine            decides, purely
//!  http ───────calls────►   │  │                  └──► task::delivery     one per task
//!       ◄──records── connection └──► task::launch ──► container
//! ```
//!
//! Source: spec/mesos-agent.md sections 9, 11, 13 and 14.

pub mod actor;
pub mod adoption;
pub mod authentication;
pub mod calls;
pub mod check;
pub mod connection;
pub mod machine;
pub mod messages;
pub mod record;
pub mod resources;
pub mod tasks;
pub mod token;

use proto::v1;

/// Names an executor: ids are only unique within their framework.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub framework: String,
    pub executor: String,
}

impl Key {
    pub fn framework_id(&self) -> v1::FrameworkId {
        v1::FrameworkId {
            value: self.framework.clone(),
        }
    }

    pub fn executor_id(&self) -> v1::ExecutorId {
        v1::ExecutorId {
            value: self.executor.clone(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.framework, self.executor)
    }
}
