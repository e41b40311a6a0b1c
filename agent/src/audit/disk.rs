//! What is on disk of the agent's runs.

use std::collections::{BTreeMap, BTreeSet};

use proto::resources::Ranges;
use proto::v1;

use crate::book::total;
use crate::checkpoint;
use crate::paths::{Paths, Run};
use crate::recovery::{RecoveryError, Stored, StoredRun, read};
use crate::runs::{ListError, Tree, runs};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    pub sandboxes: BTreeSet<Run>,
    pub checkpoints: BTreeSet<Run>,
    /// Agent and id of frameworks whose runs have checkpoints.
    pub checkpointing: BTreeSet<(String, String)>,
}

/// What an agent that starts now would make of it.
#[derive(Debug)]
pub struct Next {
    stored: Stored,
    unfinished: BTreeSet<String>,
}

impl Disk {
    /// Blocks.
    pub fn read(paths: &Paths) -> Result<Disk, ListError> {
        let sandboxes: BTreeSet<_> = runs(paths, Tree::Sandboxes)?.into_iter().collect();
        let checkpoints: BTreeSet<_> = runs(paths, Tree::Checkpoints)?.into_iter().collect();
        let bare = sandboxes.difference(&checkpoints);
        let bare: BTreeSet<_> = bare.map(|run| (&run.agent, &run.framework)).collect();
        let checkpoints_its_runs = |agent: &str, framework: &str| {
            let file = paths.framework_info(agent, framework);
            let info = checkpoint::read::<v1::FrameworkInfo>(&file);
            // One that cannot be read says nothing.
            info.is_ok_and(|info| info.is_some_and(|info| info.checkpoint()))
        };
        let checkpointing = bare.into_iter();
        let checkpointing = checkpointing
            .filter(|(agent, framework)| checkpoints_its_runs(agent, framework))
            .map(|(agent, framework)| (agent.clone(), framework.clone()))
            .collect();
        Ok(Disk {
            sandboxes,
            checkpoints,
            checkpointing,
        })
    }

    /// Everything that tells of a container.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.sandboxes.union(&self.checkpoints)
    }
}

impl Next {
    /// Blocks. Changes nothing.
    pub fn read(paths: &Paths, boot_id: Option<&str>) -> Result<Next, RecoveryError> {
        let stored = read(paths, boot_id)?;
        let runs = stored.frameworks.iter().flat_map(|it| &it.runs);
        let unfinished = runs.filter(|run| !run.completed);
        let unfinished = unfinished.flat_map(StoredRun::containers).collect();
        Ok(Next { stored, unfinished })
    }

    /// Whether that agent would not end a container.
    pub fn keeps(&self, container: &str) -> bool {
        self.unfinished.contains(container) || self.stored.unread.contains(container)
    }

    /// Host ports that the tasks of these containers hold.
    pub fn ports(&self, living: &BTreeSet<String>) -> BTreeMap<String, Ranges> {
        let runs = self.stored.frameworks.iter().flat_map(|it| &it.runs);
        let running = runs.filter(|run| living.contains(&run.run.container));
        let held = running.map(|run| {
            let resources = run.tasks.iter().flat_map(|task| &task.info.resources);
            let resources: Vec<_> = resources.cloned().collect();
            (run.run.container.clone(), total(&resources).ports())
        });
        held.filter(|(_, ports)| !ports.is_empty()).collect()
    }

    /// Host ports that it would offer.
    pub fn offered(&self) -> Ranges {
        let info = self.stored.info.as_ref();
        info.map(|info| total(&info.resources).ports())
            .unwrap_or_default()
    }
}
