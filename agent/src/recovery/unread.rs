//! What recovery could not read keeps its containers: only those that surely belong to nobody are
//! destroyed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::checkpoint::{self, directories, was_set_aside};
use crate::group::member;
use crate::group::record::Groups;
use crate::paths::{Paths, Run};

/// Containers that are not known to belong to nobody, for what would tell could not be read.
#[derive(Debug, Default)]
pub struct Unread {
    containers: BTreeSet<String>,
    /// Not even which they are is known: any may be one.
    is_boundless: bool,
}

impl Unread {
    pub fn contains(&self, container: &str) -> bool {
        self.is_boundless || self.containers.contains(container)
    }

    pub(super) fn add(&mut self, container: &str) {
        self.containers.insert(container.to_owned());
    }

    /// With those that are nested in it.
    pub(super) fn add_run(&mut self, paths: &Paths, run: &Run) {
        self.containers.extend(nested(paths, run));
        self.add(&run.container);
    }

    pub(super) fn add_all(&mut self) {
        self.is_boundless = true;
    }

    pub(super) fn add_those(&mut self, more: Unread) {
        self.containers.extend(more.containers);
        self.is_boundless |= more.is_boundless;
    }

    pub(super) fn add_framework(&mut self, paths: &Paths, agent: &str, framework: &str) {
        match containers(paths, agent, framework) {
            Some(found) => self.containers.extend(found),
            None => self.is_boundless = true,
        }
    }
}

/// Of every run of every executor; `None` when some may not be among them.
fn containers(paths: &Paths, agent: &str, framework: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for executor in all(&paths.meta_executors(agent, framework))? {
        let run = Run {
            agent: agent.to_owned(),
            framework: framework.to_owned(),
            executor,
            container: String::new(),
        };
        for container in all(&paths.meta_runs(&run))? {
            let run = Run {
                container,
                ..run.clone()
            };
            found.extend(nested(paths, &run));
            found.push(run.container);
        }
    }
    Some(found)
}

/// Of a run of task groups each task has one; of any other there are none of these names.
fn nested(paths: &Paths, run: &Run) -> Vec<String> {
    let tasks = directories(&paths.meta_tasks(run)).unwrap_or_default();
    let groups = checkpoint::read::<Groups>(&paths.executor_groups(run));
    let groups = groups.ok().flatten().unwrap_or_default().groups;
    let tasks = tasks.names.iter();
    let tasks = tasks.chain(groups.iter().flat_map(|group| &group.tasks));
    let container = |task: &String| member::container(&run.container, task);
    tasks.map(container).collect()
}

fn all(directory: &Path) -> Option<Vec<String>> {
    let found = directories(directory).ok()?;
    let is_all = found.others.is_empty() && was_set_aside(directory).is_none();
    is_all.then_some(found.names)
}
