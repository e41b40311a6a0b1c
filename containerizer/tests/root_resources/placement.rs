//! Where the cgroups are, and who is in them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;

use isolators::cgroups::{Below, Cgroup, Entry, Hierarchy, Layout};
use serde_json::json;

use crate::support::{Host, chain, resources, until};

fn mounts(hierarchy: &Hierarchy) -> Vec<PathBuf> {
    match hierarchy {
        Hierarchy::V1(mounts) => mounts.iter().map(|mount| mount.path.clone()).collect(),
        Hierarchy::V2(mount) => vec![mount.clone()],
    }
}

#[tokio::test]
async fn root_a_container_has_cgroups_only_where_it_needs_them() {
    let host = Host::new("lean");
    if let Hierarchy::V1(mounts) = host.hierarchy() {
        let always = ["cpu", "cpuacct", "memory", "pids"];
        for (asked, more) in [
            (json!({}), None),
            (json!({"cpu": {"mems": "0"}}), Some("cpuset")),
        ] {
            let container = host.launched("sleep 1000", asked).await;
            for mount in &mounts {
                let needed = always.iter().chain(&more).any(|name| mount.has(name));
                let path = mount.path.join(&host.root).join("c1");
                assert_eq!(path.exists(), needed, "{}", path.display());
            }
            host.end(&container).await;
        }
    } else {
        let container = host.launched("sleep 1000", json!({})).await;
        let leaf = host.directory_of("memory").join("leaf/cgroup.procs");
        let pids = fs::read_to_string(leaf).unwrap();
        let pid = container.pid().to_string();
        assert!(pids.lines().any(|line| line == pid), "{pids}");
        host.end(&container).await;
    }
    host.finish();
}

/// A process that has entered as a container's first process does.
fn enter(entry: Entry, directory: Option<PathBuf>) -> Child {
    let mut sleep = std::process::Command::new("sleep");
    sleep.arg("1000").process_group(0);
    let child = sleep.spawn().unwrap();
    match (entry, directory) {
        (Entry::Tasks(tasks), _) => {
            for file in tasks {
                File::from(file)
                    .write_all(child.id().to_string().as_bytes())
                    .unwrap();
            }
        }
        (Entry::Directory(_), Some(directory)) => {
            fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        (Entry::Directory(_), None) => unreachable!("v2 has a directory"),
    }
    child
}

#[tokio::test]
async fn root_an_oci_cgroup_is_in_every_hierarchy_and_holds_the_processes_itself() {
    let host = Host::new("oci");
    let hierarchy = Arc::new(host.hierarchy());
    let path = Path::new("/").join(&host.root).join("a/b");
    let cgroup = Cgroup::at(&hierarchy, &path, Layout::Oci);
    let asked = resources(json!({"pids": {"limit": 9}, "cpu": {"cpus": "0"}}));
    let plan = cgroup.plan(Some(&asked)).unwrap();
    let entry = cgroup
        .create(&plan)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let mut child = enter(entry, cgroup.directory());
    for mount in mounts(&hierarchy) {
        let procs = mount
            .join(path.strip_prefix("/").unwrap())
            .join("cgroup.procs");
        let pids = fs::read_to_string(&procs).unwrap();
        assert_eq!(pids.trim(), child.id().to_string(), "{}", procs.display());
    }
    assert_eq!(cgroup.processes(), [child.id()]);
    let found = Cgroup::found(&hierarchy, &path);
    assert_eq!(found.processes(), [child.id()]);

    let error = cgroup.create(&plan).expect_err("somebody is in it");
    assert!(
        chain(&error).contains("container's cgroup is not empty"),
        "{error}"
    );
    assert_eq!(cgroup.processes(), [child.id()]);

    child.kill().unwrap();
    child.wait().unwrap();
    until("empty", || cgroup.remove().is_ok()).await;
    for mount in mounts(&hierarchy) {
        fs::remove_dir(mount.join(&host.root).join("a")).unwrap();
        // The subtree is prepared in some; the rest came with this cgroup.
        let _ = fs::remove_dir(mount.join(&host.root));
    }
    host.finish();
}

#[tokio::test]
async fn root_a_cgroup_that_is_refused_leaves_none_of_its_parents() {
    let host = Host::new("unmade");
    let hierarchy = Arc::new(host.hierarchy());
    let path = Path::new("/").join(&host.root).join("deep/er/c1");
    for layout in [Layout::Lean, Layout::Oci] {
        let cgroup = Cgroup::at(&hierarchy, &path, layout);
        let asked = resources(json!({"cpu": {"cpus": "4000"}}));
        let plan = cgroup.plan(Some(&asked)).unwrap();
        cgroup.create(&plan).expect_err("refused");
        for mount in mounts(&hierarchy) {
            assert!(!mount.join(&host.root).join("deep").exists());
        }
    }
    host.finish();
}

#[tokio::test]
async fn root_a_frozen_cgroup_takes_no_container() {
    let host = Host::new("ice");
    let hierarchy = Arc::new(host.hierarchy());
    let path = Path::new("/").join(&host.root).join("c1");
    let cgroup = Cgroup::at(&hierarchy, &path, Layout::Oci);
    let plan = cgroup.plan(None).unwrap();
    drop(cgroup.create(&plan).unwrap());
    cgroup.freeze(std::time::Duration::from_secs(20)).unwrap();
    let error = cgroup.create(&plan).expect_err("it is frozen");
    assert!(
        error
            .to_string()
            .contains("container's cgroup unexpectedly frozen"),
        "{error}"
    );
    cgroup.thaw().unwrap();
    cgroup.remove().unwrap();
    host.finish();
}

#[tokio::test]
async fn root_a_further_process_can_be_below_the_containers_cgroup() {
    let host = Host::new("below");
    let container = host.launched("sleep 1000", json!({})).await;
    let hierarchy = Arc::new(host.hierarchy());
    let path = Path::new("/").join(&host.root).join("c1");
    let sub = host.directory_of("pids").join("sub");
    fs::create_dir(&sub).unwrap();
    let controllers = host.either(vec!["pids".to_owned()], vec![]);
    let place = |path: &str| Below {
        controllers: controllers.clone(),
        path: path.into(),
    };
    let cgroup = Cgroup::found(&hierarchy, &path);
    let entry = cgroup.entry_below(&[place("sub")]).unwrap();
    let mut child = enter(entry, Some(sub.clone()));
    let pids = fs::read_to_string(sub.join("cgroup.procs")).unwrap();
    assert_eq!(pids.trim(), child.id().to_string());
    if !host.is_v2() {
        assert!(cgroup.processes().contains(&child.id()));
    }
    for (path, reason) in [("none", "No such file"), ("..", "bad sub cgroup path")] {
        let error = cgroup.entry_below(&[place(path)]).expect_err("refused");
        assert!(chain(&error).contains(reason), "{error}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    host.end(&container).await;
    host.finish();
}
