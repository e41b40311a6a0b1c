//! What containers leave on the host, and its removal after a failed test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Cgroups below a root's name, in every mounted hierarchy, deepest first.
pub fn cgroups(root: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut places = vec![PathBuf::from("/sys/fs/cgroup")];
    places.extend(directories(Path::new("/sys/fs/cgroup")));
    for place in places {
        below(&place.join(root), &mut found);
    }
    found
}

/// Processes in these cgroups.
pub fn processes(cgroups: &[PathBuf]) -> BTreeSet<i32> {
    cgroups
        .iter()
        .filter_map(|cgroup| fs::read_to_string(cgroup.join("cgroup.procs")).ok())
        .flat_map(|list| {
            list.lines()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Mount points below a directory.
pub fn mounts(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(PathBuf::from)
        .filter(|point| point.starts_with(directory))
        .collect()
}

/// Says what is there of an agent's containers: cgroups, processes in them, mounts below its
/// directory.
pub fn nothing_left(root: &str, directory: &Path) -> Result<(), String> {
    let mut cgroups = cgroups(root);
    let processes = processes(&cgroups);
    // The root itself stays as long as its agent may come back.
    cgroups.retain(|cgroup| !cgroup.ends_with(root));
    let mounts = mounts(directory);
    match processes.is_empty() && cgroups.is_empty() && mounts.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "processes {processes:?}, cgroups {cgroups:?}, mounts {mounts:?}"
        )),
    }
}

/// Processes and cgroups of an agent whose cgroups have this root, whatever state it died in.
pub fn remove_all(root: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = cgroups(root);
        for pid in processes(&left) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        for cgroup in &left {
            let _still_busy = fs::remove_dir(cgroup);
        }
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn below(directory: &Path, found: &mut Vec<PathBuf>) {
    if !directory.is_dir() {
        return;
    }
    for inner in directories(directory) {
        below(&inner, found);
    }
    found.push(directory.to_owned());
}

fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
