//! What an earlier process of this agent left behind: read as plain data first, then decided upon.
//!
//! ```text
//! read ──► losses? ── none ─────────────────────► what is to be adopted   (after a reboot: `restore` first)
//!             │
//!             ├ --strict ──► the first of them, and no start
//!             └ otherwise ─► set aside what is damaged, and read again
//! ```
//!
//! Source: spec/mesos-agent.md section 14.

mod changed;
mod fate;
mod loss;
mod reading;
mod restore;
mod unread;

use std::sync::Arc;

use containerizer::RecoverError;
use proto::v1;

use crate::book::Kind;
use crate::checkpoint::CheckpointError;
use crate::group::member;
use crate::group::record::Groups;
use crate::paths::{Paths, Run};
use crate::task::journal::{History, TaskJournal};
use crate::task::killing::Killing;
pub use changed::{Changed, Reconfiguration, check_unchanged};
pub use fate::{Fate, age, decide, record};
pub use loss::{Earlier, Loss};
pub use reading::read;
pub use unread::Unread;

/// What becomes of tasks that an earlier agent left running: `--recover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Recover {
    /// They are taken over.
    Reconnect,
    /// They are killed.
    Cleanup,
}

/// Everything below `meta`, as far as it is about this agent.
#[derive(Debug, Default)]
pub struct Stored {
    /// Of the agent that ran here.
    pub id: Option<String>,
    /// `None` with an id: what that agent was is lost.
    pub info: Option<v1::AgentInfo>,
    /// The boot that this was last recovered in.
    pub boot_id: Option<String>,
    /// The kernel is another one than when this was written: no process of then is alive.
    pub rebooted: bool,
    pub frameworks: Vec<StoredFramework>,
    pub losses: Vec<Loss>,
    /// What an earlier start could not read and went on without.
    pub earlier: Vec<Earlier>,
    pub unread: Unread,
    /// Containers that go on and cannot be watched.
    pub untaken: Vec<RecoverError>,
}

impl Stored {
    /// Neither is its container ended, nor are its tasks taken for lost.
    pub fn leave_alone(&mut self, failure: RecoverError) {
        let container = failure.id().as_str();
        for framework in &mut self.frameworks {
            let left = framework.runs.extract_if(.., |run| run.has(container));
            for run in left {
                let all = run.containers();
                all.for_each(|container| self.unread.add(&container));
            }
        }
        self.unread.add(container);
        self.untaken.push(failure);
    }
}

#[derive(Debug)]
pub struct StoredFramework {
    pub info: v1::FrameworkInfo,
    pub runs: Vec<StoredRun>,
}

#[derive(Debug)]
pub struct StoredRun {
    pub run: Run,
    pub executor: v1::ExecutorInfo,
    pub kind: Kind,
    /// Of a custom executor: it is to end.
    pub killing: Option<Killing>,
    /// Of one of task groups: which tasks came together.
    pub groups: Groups,
    /// Over, and everything about it acknowledged.
    pub completed: bool,
    pub tasks: Vec<StoredTask>,
}

impl StoredRun {
    /// Its own, and those that are nested in it.
    pub fn containers(&self) -> impl Iterator<Item = String> + '_ {
        let groups = self.groups.groups.iter().flat_map(|group| &group.tasks);
        let nested = groups.map(|task| member::container(&self.run.container, task));
        nested.chain([self.run.container.clone()])
    }

    fn has(&self, container: &str) -> bool {
        self.containers().any(|it| it == container)
    }
}

#[derive(Debug)]
pub struct StoredTask {
    pub info: v1::TaskInfo,
    pub journal: TaskJournal,
    pub history: History,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(
        "{what} cannot be recovered{}: put that right, or start with --strict=false to go on without; what \
         is damaged is then set aside", and_more(*.more)
    )]
    Strict {
        what: String,
        more: usize,
        source: Arc<CheckpointError>,
    },
    #[error(transparent)]
    Changed(#[from] Changed),
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(", nor what {more} more faults are about"),
    }
}

/// What is to go on. Blocks.
///
/// Errors: what a newer program has written is for that one, and nothing of it is touched. With `strict`,
/// whatever cannot be read, unless a reboot explains it.
pub fn recover(
    paths: &Paths,
    boot_id: Option<&str>,
    strict: bool,
) -> Result<Stored, RecoveryError> {
    let mut stored = read(paths, boot_id)?;
    if let (true, Some(agent)) = (stored.rebooted, &stored.id) {
        restore::restore(paths, agent)?;
        stored = read(paths, boot_id)?;
    }
    if stored.losses.is_empty() {
        return Ok(stored);
    }
    let rebooted = stored.rebooted;
    let mut fatal = stored.losses.iter();
    let mut fatal = fatal
        .by_ref()
        .filter(|loss| strict && !(rebooted && loss.is_cut_short()));
    if let Some(first) = fatal.next() {
        return Err(first.refusal(fatal.count()));
    }
    stored.losses.iter_mut().for_each(Loss::set_aside);
    let again = read(paths, boot_id)?;
    Ok(Stored {
        losses: stored.losses,
        earlier: stored.earlier,
        ..again
    })
}

#[cfg(test)]
mod tests;
