//! Decides what differs. Pure.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use isolators::mountinfo::Mount;

use super::bundles::Condition;
use super::difference::Difference;
use super::inventory::{Inventory, accounted};
use super::journal::{Journal, Keeper};
use super::kernel::LoopDevice;
use super::{Scope, kernel};
use crate::runtime_dir;

/// In the order in which they can be repaired: what others hold on to comes first. `scope` only names the
/// places. Mounts and loop devices in the scope's further directories are left to who named these.
pub fn compare(scope: &Scope, inventory: &Inventory, journal: &Journal) -> Vec<Difference> {
    let runtime_dir = kernel::real(&scope.runtime_dir);
    let root = Path::new("/").join(&scope.cgroups_root);
    let root = root.display().to_string();
    let inits = inventory.inits.iter();
    let stray = inits.filter(|(container, _)| !journal.records.contains_key(container));
    let processes = stray.map(|(container, process)| Difference::Process {
        container: container.clone(),
        process: process.clone(),
    });
    let mut bundles = inventory.bundles.values();
    let is_one_in_root = bundles.any(|bundle| bundle.is_in_root(&scope.cgroups_root));
    let intruders = inventory.in_root.iter().filter(|_| !is_one_in_root);
    let intruders = intruders.map(|process| Difference::Intruder {
        root: root.clone(),
        process: process.clone(),
    });
    let mounts = inventory.mounts.iter();
    let mounts = mounts.filter_map(|mount| of_mount(&runtime_dir, mount));
    let loops = inventory.loop_devices.iter();
    let loops = loops.filter(|device: &&LoopDevice| device.file.starts_with(&runtime_dir));
    let all = processes
        .chain(intruders)
        .chain(mounts)
        .chain(cgroups(scope, inventory, journal))
        .chain(orphans(&runtime_dir, inventory, journal))
        .chain(damaged(&runtime_dir, journal))
        .chain(without_cgroup(&root, inventory, journal))
        .chain(ids(&runtime_dir, inventory, journal))
        .chain(loops.cloned().map(Difference::Loop))
        .chain(inventory.links.iter().cloned().map(Difference::Link))
        .chain(bundles_left(scope, inventory));
    all.collect()
}

/// What both looks saw, as the second did: the rest was on its way, in or out.
pub fn lasting(first: &[Difference], second: Vec<Difference>) -> Vec<Difference> {
    let is_same = |one: &Difference, other: &Difference| {
        (one.kind(), one.place()) == (other.kind(), other.place())
    };
    let was_there = |now: &Difference| first.iter().any(|before| is_same(before, now));
    second.into_iter().filter(was_there).collect()
}

fn of_mount(runtime_dir: &Path, mount: &Mount) -> Option<Difference> {
    let below = match mount.point.strip_prefix(runtime_dir) {
        Ok(below) => below,
        Err(_elsewhere) if kernel::is_namespace_of_ours(mount) => Path::new("elsewhere"),
        Err(_elsewhere) => return None,
    };
    let mut names = below.components().map(|name| match name {
        Component::Normal(name) => name.to_string_lossy().into_owned(),
        _ => String::new(),
    });
    let container = match names.next()?.as_str() {
        "containers" => names.next(),
        _ => None,
    };
    Some(Difference::Mount {
        mount: mount.clone(),
        container,
    })
}

fn cgroups(
    scope: &Scope,
    inventory: &Inventory,
    journal: &Journal,
) -> impl Iterator<Item = Difference> {
    let accounted = accounted(journal);
    let bundles = inventory.bundles.values();
    // What is left of one that has ended is told with it.
    let of_bundles = bundles.filter_map(|bundle| bundle.place_in(&scope.cgroups_root));
    let of_bundles: BTreeSet<String> = of_bundles.collect();
    let all = inventory.cgroups.iter();
    let stray = all
        .filter(move |(name, _)| !accounted.contains(name.as_str()) && !of_bundles.contains(*name));
    stray.map(|(name, seen)| {
        // A process can claim what it likes, but not be where it was not put.
        let mut inits = inventory.inits.iter();
        let holds_its_init =
            inits.any(|(container, init)| container == name && seen.processes.contains(init));
        Difference::Cgroup {
            container: name.clone(),
            directories: seen.directories.clone(),
            processes: seen.processes.clone(),
            is_ours: journal.known.contains(name) || holds_its_init,
        }
    })
}

fn orphans(
    runtime_dir: &Path,
    inventory: &Inventory,
    journal: &Journal,
) -> impl Iterator<Item = Difference> {
    let all = journal.records.iter();
    let whole = all.filter(|(_, record)| record.damage.is_none());
    let orphans = whole.filter(|(container, _)| !journal.keeper.has(container));
    orphans.map(|(container, _)| Difference::Orphan {
        container: container.clone(),
        record: runtime_dir::containers(runtime_dir).join(container),
        lives: inventory.living.contains(container),
        in_use: matches!(journal.keeper, Keeper::Us(_)),
    })
}

fn bundles_left(scope: &Scope, inventory: &Inventory) -> impl Iterator<Item = Difference> {
    let all = inventory.bundles.iter();
    let left = all.filter(|(_, bundle)| bundle.condition != Condition::Lives);
    left.map(|(container, bundle)| Difference::Bundle {
        container: container.clone(),
        bundle: bundle.clone(),
        root: scope.cgroups_root.clone(),
    })
}

fn damaged(runtime_dir: &Path, journal: &Journal) -> impl Iterator<Item = Difference> {
    let all = journal.records.iter();
    all.filter_map(|(container, record)| {
        Some(Difference::Damaged {
            container: container.clone(),
            record: runtime_dir::containers(runtime_dir).join(container),
            damage: record.damage.clone()?,
        })
    })
}

fn without_cgroup(
    root: &str,
    inventory: &Inventory,
    journal: &Journal,
) -> impl Iterator<Item = Difference> {
    let living = inventory.living.iter();
    let bare = living.filter(|container| {
        let record = journal.records.get(*container);
        let elsewhere = record.and_then(|record| record.cgroup.as_ref());
        !inventory
            .cgroups
            .contains_key(elsewhere.unwrap_or(container))
    });
    bare.map(|container| Difference::NoCgroup {
        container: container.clone(),
        root: root.to_owned(),
    })
}

fn ids(
    runtime_dir: &Path,
    inventory: &Inventory,
    journal: &Journal,
) -> impl Iterator<Item = Difference> {
    let all = inventory.ids.iter();
    all.filter_map(|(container, ids)| {
        let holder = journal.ids.get(&ids.first);
        if holder == Some(container) {
            return None;
        }
        Some(Difference::Ids {
            container: container.clone(),
            ids: *ids,
            link: runtime_dir::ids(runtime_dir).join(ids.first.to_string()),
            holder: holder.map(|holder| (holder.clone(), inventory.living.contains(holder))),
        })
    })
}
