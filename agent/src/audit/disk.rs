//! What is on disk of the agent's runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proto::resources::Ranges;
use proto::v1;

use crate::book::total;
use crate::checkpoint;
use crate::paths::{Paths, Run};
use crate::runs::{ListError, directories, runs};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    pub sandboxes: BTreeSet<Run>,
    pub checkpoints: BTreeMap<Run, Checkpointed>,
    /// Agent and id of frameworks whose runs have checkpoints.
    pub checkpointing: BTreeSet<(String, String)>,
}

/// What a checkpoint says of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpointed {
    /// The next agent has to do with it.
    Unfinished,
    /// It is over and acknowledged, or of an agent id that is not in use any more.
    Over,
}

impl Disk {
    /// Blocks.
    pub fn read(paths: &Paths) -> Result<Disk, ListError> {
        let latest = fs::read_link(paths.latest_agent()).ok();
        let latest = latest.as_deref().and_then(Path::file_name);
        let sandboxes: BTreeSet<_> = runs(&paths.agents())?.into_iter().collect();
        let checkpoint = |run: Run| {
            let is_over = latest != Some(run.agent.as_ref()) || paths.sentinel(&run).exists();
            let state = match is_over {
                true => Checkpointed::Over,
                false => Checkpointed::Unfinished,
            };
            (run, state)
        };
        let checkpoints: BTreeMap<_, _> = runs(&paths.meta_agents())?
            .into_iter()
            .map(checkpoint)
            .collect();
        let bare = sandboxes.iter();
        let bare = bare.filter(|run| !checkpoints.contains_key(run));
        let bare: BTreeSet<_> = bare.map(|run| (&run.agent, &run.framework)).collect();
        let checkpoints_its_runs = |agent: &str, framework: &str| {
            let info =
                checkpoint::read::<v1::FrameworkInfo>(&paths.framework_info(agent, framework));
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
        self.sandboxes.iter().chain(self.checkpoints.keys())
    }

    pub fn unfinished(&self) -> impl Iterator<Item = &Run> {
        let all = self.checkpoints.iter();
        all.filter(|(_, state)| **state == Checkpointed::Unfinished)
            .map(|(run, _)| run)
    }

    /// Host ports that the agent of this node offers.
    pub fn offered(paths: &Paths) -> Ranges {
        let latest = fs::read_link(paths.latest_agent()).ok();
        let latest = latest.as_deref().and_then(Path::file_name);
        let info = latest.and_then(|agent| {
            let info = paths.agent_info(&agent.to_string_lossy());
            checkpoint::read::<v1::AgentInfo>(&info).ok().flatten()
        });
        info.map(|info| total(&info.resources).ports())
            .unwrap_or_default()
    }

    /// Host ports that the tasks of unfinished checkpoints hold whose containers run.
    pub fn ports(&self, paths: &Paths, living: &BTreeSet<String>) -> BTreeMap<String, Ranges> {
        let of_run = |run: &Run| {
            let tasks = directories(&paths.meta_tasks(run)).unwrap_or_default();
            let infos = tasks.iter().filter_map(|task| {
                let info = checkpoint::read::<v1::TaskInfo>(&paths.task_info(run, task));
                info.ok().flatten()
            });
            let resources: Vec<_> = infos.flat_map(|info| info.resources).collect();
            total(&resources).ports()
        };
        let running = self
            .unfinished()
            .filter(|run| living.contains(&run.container));
        let held = running.map(|run| (run.container.clone(), of_run(run)));
        held.filter(|(_, ports)| !ports.is_empty()).collect()
    }
}
