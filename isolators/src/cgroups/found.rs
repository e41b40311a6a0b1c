//! What lies below an agent's subtree, for who compares that with what should be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::act;
use super::error::CgroupError;
use super::hierarchy::Hierarchy;

/// The cgroups directly below the subtree by their names, each with its directory in every hierarchy that
/// has it. A hierarchy without the subtree has none.
pub fn children(
    hierarchy: &Hierarchy,
    root: &str,
) -> Result<BTreeMap<String, Vec<PathBuf>>, CgroupError> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for mount in hierarchy.mounts() {
        for directory in directories(&mount.join(root))? {
            let name = directory.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            found.entry(name).or_default().push(directory);
        }
    }
    Ok(found)
}

/// Those of the cgroup at a path, whosever it is, in every hierarchy that has it.
pub fn at(hierarchy: &Hierarchy, path: &Path) -> Vec<PathBuf> {
    let below = path.strip_prefix("/").unwrap_or(path);
    let places = hierarchy.mounts().map(|mount| mount.join(below));
    places.filter(|place| place.is_dir()).collect()
}

/// Processes that are in the subtree itself, where no container is.
pub fn in_root(hierarchy: &Hierarchy, root: &str) -> BTreeSet<u32> {
    let mounts = hierarchy.mounts();
    let pids = mounts.flat_map(|mount| act::pids(&mount.join(root).join("cgroup.procs")));
    pids.collect()
}

/// Processes in these cgroups and in all below them. One that is gone meanwhile has none.
pub fn processes(cgroups: &[PathBuf]) -> BTreeSet<u32> {
    let mut waiting = cgroups.to_vec();
    let mut found = BTreeSet::new();
    while let Some(directory) = waiting.pop() {
        found.extend(act::pids(&directory.join("cgroup.procs")));
        waiting.extend(directories(&directory).unwrap_or_default());
    }
    found
}

fn directories(directory: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let failed = |source| CgroupError::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::hierarchy::ControllerMount;

    #[test]
    fn a_cgroup_is_found_in_every_hierarchy_that_has_it() {
        let top = std::env::temp_dir().join(format!("cgroups-found-{}", std::process::id()));
        let mount = |controller: &str| ControllerMount {
            controllers: vec![controller.to_owned()],
            path: top.join(controller),
        };
        let hierarchy = Hierarchy::V1(vec![mount("cpu"), mount("memory"), mount("pids")]);
        for directory in ["cpu/a/b/c1/inner", "cpu/a/b/c2", "memory/a/b/c1", "pids/a"] {
            fs::create_dir_all(top.join(directory)).expect("a directory");
        }
        fs::write(top.join("cpu/a/b/tasks"), "").expect("a file");
        fs::write(top.join("cpu/a/b/c1/inner/cgroup.procs"), "7\n8\n").expect("a file");
        fs::write(top.join("memory/a/b/c1/cgroup.procs"), "8\n9\n").expect("a file");
        let found = children(&hierarchy, "a/b").expect("lists");
        let wanted = [
            (
                "c1",
                vec![top.join("cpu/a/b/c1"), top.join("memory/a/b/c1")],
            ),
            ("c2", vec![top.join("cpu/a/b/c2")]),
        ];
        let wanted = wanted.map(|(name, directories)| (name.to_owned(), directories));
        assert_eq!(found, BTreeMap::from(wanted));
        assert_eq!(processes(&found["c1"]), BTreeSet::from([7, 8, 9]));
        let wanted = [top.join("cpu/a/b/c1"), top.join("memory/a/b/c1")];
        assert_eq!(at(&hierarchy, Path::new("/a/b/c1")), wanted);
        assert_eq!(children(&hierarchy, "other").expect("none").len(), 0);
        fs::remove_dir_all(&top).expect("removes");
    }
}
