//! What of a program for `init` can be made ahead: its file systems, and what it makes in their roots.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use init::{Mount, Program, Step};

use super::{Entry, Recipe};

/// One file system of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub recipe: Recipe,
    /// The step that mounts it.
    mount: usize,
    /// Those that its entries spare.
    spared: Vec<usize>,
}

/// Of a program whose mounts are not those of a user namespace: others cannot be made from outside.
pub fn wanted(program: &Program) -> Vec<Wanted> {
    let steps = program.steps.iter().enumerate();
    steps
        .filter_map(|(at, step)| match step {
            Step::Mount { mount } => {
                let is_fit = match &*mount.fstype {
                    // Without a mode it would have that of its mount point.
                    "tmpfs" => has_mode(mount) && !mount.copy_up,
                    "devpts" => true,
                    _ => false,
                };
                (is_fit && mount.made.is_none()).then_some((at, mount))
            }
            _ => None,
        })
        .map(|(at, mount)| {
            let (entries, spared) = match &*mount.fstype {
                "tmpfs" => contents(&program.steps, at, &mount.target),
                _ => Default::default(),
            };
            Wanted {
                recipe: Recipe {
                    fstype: mount.fstype.clone(),
                    source: mount.source.clone(),
                    options: mount.options.clone(),
                    entries,
                },
                mount: at,
                spared,
            }
        })
        .collect()
}

fn has_mode(mount: &Mount) -> bool {
    mount.options.iter().any(|(key, _)| key == "mode")
}

/// The program takes these from inherited descriptors, by their numbers.
pub fn use_made(program: &mut Program, made: &[(Wanted, u32)]) {
    for (wanted, number) in made {
        if let Some(Step::Mount { mount }) = program.steps.get_mut(wanted.mount) {
            mount.made = Some(*number);
        }
    }
    let spared: BTreeSet<_> = made.iter().flat_map(|(wanted, _)| &wanted.spared).collect();
    let mut at = 0;
    program.steps.retain(|_| {
        at += 1;
        !spared.contains(&(at - 1))
    });
}

/// What later steps make in the root of what is mounted at `root`.
fn contents(steps: &[Step], mount: usize, root: &str) -> (Vec<Entry>, Vec<usize>) {
    let mut touched: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate().skip(mount + 1) {
        let Some(path) = path(step).map(Path::new) else {
            continue;
        };
        let mounts = matches!(
            step,
            Step::Mount { .. } | Step::Bind { .. } | Step::Mirror { .. }
        );
        if mounts && Path::new(root).starts_with(path) {
            // It is hidden from then on.
            return Default::default();
        }
        let name = (path.strip_prefix(root).ok()).and_then(|below| below.iter().next()?.to_str());
        if let Some(name) = name {
            touched.entry(name).or_default().push(at);
        }
    }
    let made = touched.iter().filter_map(|(name, touching)| {
        let first = *touching.first()?;
        let step = steps.get(first)?;
        let is_direct = Path::new(path(step)?) == Path::new(root).join(name);
        let entry = entry(step, steps.get(first + 1), name)?;
        let is_settled = match entry {
            Entry::Directory { .. } => true,
            // What is mounted there, or comes twice, is for `init` to judge.
            Entry::Device { .. } | Entry::Link { .. } => touching.len() == 1,
        };
        (is_direct && is_settled).then_some((entry, first))
    });
    made.unzip()
}

fn entry(step: &Step, next: Option<&Step>, name: &str) -> Option<Entry> {
    let name = name.to_owned();
    match step {
        Step::MakeDir {
            path,
            base: None,
            mode,
        } => {
            // A tmpfs without a mode has that of its mount point, unless that is made for it.
            let depends = matches!(next, Some(Step::Mount { mount }) if mount.target == *path
                && mount.fstype == "tmpfs" && !has_mode(mount));
            (!depends).then_some(Entry::Directory { name, mode: *mode })
        }
        Step::Device {
            mode,
            major,
            minor,
            uid,
            gid,
            ..
        } => Some(Entry::Device {
            name,
            mode: *mode,
            major: *major,
            minor: *minor,
            uid: *uid,
            gid: *gid,
        }),
        Step::Symlink { to, .. } => Some(Entry::Link {
            name,
            to: to.clone(),
        }),
        _ => None,
    }
}

/// What a step is about in the container.
fn path(step: &Step) -> Option<&str> {
    match step {
        Step::Mount { mount } => Some(&mount.target),
        Step::Bind { target, .. }
        | Step::Remount { target, .. }
        | Step::Propagate { target, .. } => Some(target),
        Step::Mirror { path }
        | Step::MakeDir { path, .. }
        | Step::MakeFile { path, .. }
        | Step::Device { path, .. }
        | Step::Symlink { path, .. }
        | Step::Mask { path }
        | Step::ReadOnly { path, .. } => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
