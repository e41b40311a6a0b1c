//! Decides what differs. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use containerizer::audit::{self, Inventory, Journal, Keeper, Listener, Scope};
use containerizer::project_quota::ProjectUse;
use proto::resources::Ranges;

use super::difference::Difference;
use super::disk::Disk;
use crate::paths::{Paths, Run};

/// All that was seen in one look.
#[derive(Debug, Clone)]
pub struct Seen {
    pub inventory: Inventory,
    pub journal: Journal,
    pub disk: Disk,
    /// Of the tasks that are known, by their containers.
    pub ports: BTreeMap<String, Ranges>,
    pub listeners: Vec<Listener>,
    /// Of the range for sandboxes, in use, and no sandbox's.
    pub projects: Vec<ProjectUse>,
    pub network: Vec<network::audit::Difference>,
    /// Containers that plugins have connected with something.
    pub named: Vec<String>,
    /// Of those.
    pub namespaces: Vec<PathBuf>,
    /// The bridge of tasks, which stays when there is none.
    pub bridge: String,
}

/// In the order in which they can be repaired.
pub fn compare(scope: &Scope, paths: &Paths, seen: &Seen) -> Vec<Difference> {
    let containers = audit::compare(scope, &seen.inventory, &seen.journal).into_iter();
    let is_bridge = |it: &audit::Difference| matches!(it, audit::Difference::Link(name) if *name == seen.bridge);
    let is_pinned = |it: &audit::Difference| matches!(it, audit::Difference::Mount { mount, .. } if seen.namespaces.contains(&mount.point));
    let containers = containers.filter(move |it| !is_bridge(it) && !is_pinned(it));
    let containers = containers.map(Difference::Container);
    let all = in_sandboxes(paths, seen)
        .chain(containers)
        .chain(sandboxes(paths, seen))
        .chain(checkpoints(paths, seen))
        .chain(seen.projects.iter().copied().map(Difference::Project))
        .chain(seen.network.iter().cloned().map(Difference::Network))
        .chain(attachments(seen))
        .chain(ports(seen))
        .chain(seen.listeners.iter().cloned().map(Difference::Listener));
    all.collect()
}

/// What is in use of sandboxes that nobody uses.
fn in_sandboxes<'a>(paths: &'a Paths, seen: &'a Seen) -> impl Iterator<Item = Difference> + 'a {
    let mounts = seen.inventory.mounts.iter().filter_map(|mount| {
        let container = ended(paths, seen, &mount.point)?;
        let mount = mount.clone();
        Some(Difference::Mount { mount, container })
    });
    let devices = seen.inventory.loop_devices.iter().filter_map(|device| {
        let container = ended(paths, seen, &device.file)?;
        let device = device.clone();
        Some(Difference::Loop { device, container })
    });
    mounts.chain(devices)
}

/// The container that the sandbox was of which a path lies in, when it has ended.
fn ended(paths: &Paths, seen: &Seen, path: &Path) -> Option<String> {
    if !path.starts_with(paths.agents()) {
        return None;
    }
    let (sandbox, _) = paths.sandbox_above(path, "")?;
    let container = sandbox.file_name()?.to_str()?.to_owned();
    (!is_in_use(seen, &container)).then_some(container)
}

fn is_in_use(seen: &Seen, container: &str) -> bool {
    seen.journal.records.contains_key(container)
        || match &seen.journal.keeper {
            Keeper::Next(theirs) | Keeper::Us(theirs) => theirs.contains(container),
            // It may be about to be launched; a record would say so once it runs.
            Keeper::Running => false,
        }
}

/// An agent that runs collects garbage, and removes a checkpoint before its sandbox.
fn sandboxes<'a>(paths: &'a Paths, seen: &'a Seen) -> impl Iterator<Item = Difference> + 'a {
    let disk = &seen.disk;
    let looks = !matches!(seen.journal.keeper, Keeper::Running);
    let has_checkpoints = |run: &&Run| {
        let framework = (run.agent.clone(), run.framework.clone());
        disk.checkpointing.contains(&framework)
    };
    let all = disk.sandboxes.iter().filter(move |_| looks);
    let bare = all.filter(|run| !disk.checkpoints.contains(*run));
    let lost = bare.filter(has_checkpoints);
    let lost = lost.filter(|run| !is_in_use(seen, &run.container));
    lost.map(|run| Difference::Sandbox {
        run: run.clone(),
        path: paths.sandbox(run),
    })
}

/// Of a container that runs. Of one that does not, the agent tells what there is to tell, and garbage
/// collection takes what is over.
fn checkpoints<'a>(paths: &'a Paths, seen: &'a Seen) -> impl Iterator<Item = Difference> + 'a {
    let disk = &seen.disk;
    let bare = disk.checkpoints.difference(&disk.sandboxes);
    let bare = bare.filter(|run| seen.inventory.living.contains(&run.container));
    bare.map(|run| Difference::Checkpoint {
        run: run.clone(),
        path: paths.meta_run(run),
    })
}

/// Of containers that are gone.
fn attachments(seen: &Seen) -> impl Iterator<Item = Difference> + '_ {
    let is_gone = |id: &&String| !seen.inventory.living.contains(*id) && !is_in_use(seen, id);
    let gone = seen.named.iter().filter(is_gone).cloned();
    gone.map(|container| Difference::Attachment { container })
}

/// Of containers that run: the others hold none any more.
fn ports(seen: &Seen) -> impl Iterator<Item = Difference> {
    let mut holders: BTreeMap<u64, &String> = BTreeMap::new();
    let mut twice = Vec::new();
    let living = seen.ports.iter();
    for (container, ports) in living.filter(|(id, _)| seen.inventory.living.contains(*id)) {
        for port in ports.iter() {
            match holders.get(&port) {
                Some(other) => twice.push(Difference::Port {
                    port,
                    containers: [(*other).clone(), container.clone()],
                }),
                None => drop(holders.insert(port, container)),
            }
        }
    }
    twice.into_iter()
}

#[cfg(test)]
mod tests;
