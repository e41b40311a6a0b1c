//! The container's own cgroup, and what its files can do to the host.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::trouble::{Trouble, cannot};

pub const RELEASE_AGENT: Attack = Attack {
    name: "release_agent: a program started by the kernel",
    cve: "CVE-2022-0492",
    tries: "The container writes or mounts a cgroup v1 hierarchy and names a program that the kernel runs \
            on the host when a cgroup becomes empty.",
    attempt: release_agent,
};

pub const LIMITS: Attack = Attack {
    name: "limits raised or left from inside",
    cve: "",
    tries: "The container raises its own limits, freezes itself, or moves to another cgroup.",
    attempt: limits,
};

pub const PATH: Attack = Attack {
    name: "cgroup path that leads out of the hierarchy",
    cve: "",
    tries: "A spec's cgroup path climbs to a directory of the host, where the runtime would make files.",
    attempt: path,
};

fn path(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let target = canaries.directory().display();
    let strayed = Strayed::below(field, canaries.directory());
    let mut reached = Vec::new();
    for up in [
        "..",
        "/..",
        "/../..",
        "/../../../../..",
        "a/../../../../../..",
    ] {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.spec["linux"]["cgroupsPath"] = json!(format!("{up}{target}/made"));
        if walls == Walls::Down {
            bundle = Bundle::image(field, walls)?;
            bundle.bind(canaries.directory(), "/leak", &["rbind", "rw"]);
        }
        bundle.script("mkdir /leak/made 2>/dev/null; true");
        reached.extend(field.run(&bundle)?.reached()?);
    }
    strayed.remove();
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}

/// Cgroups that are made on the way to a path that was kept in its hierarchy.
struct Strayed(Vec<PathBuf>);

impl Strayed {
    /// Those that are not there yet, the deepest first.
    fn below(field: &Field, path: &Path) -> Self {
        let top = &field.config().cgroups_hierarchy;
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten();
        let places = hierarchies.map(|entry| entry.path()).chain([top.clone()]);
        let inside = path.strip_prefix("/").unwrap_or(path);
        let made = |place: PathBuf| {
            inside
                .ancestors()
                .map(move |part| place.join(part))
                .collect()
        };
        let all = places.flat_map(|place| -> Vec<PathBuf> { made(place) });
        Self(all.filter(|path| !path.exists()).collect())
    }

    fn remove(&self) {
        // Most were never made.
        self.0.iter().for_each(|path| drop(fs::remove_dir(path)));
    }
}

fn release_agent(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let mut reached = Vec::new();
    // It only opens the file for writing, and leaves it as it is: that is all it takes.
    let look = "for f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent; do
            [ -e $f ] || continue
            (: >>$f) 2>/dev/null && echo \"! may write $f\"
            (echo 1 >${f%/*}/notify_on_release) 2>/dev/null && echo \"! may write ${f%/*}/notify_on_release\"
        done
        mkdir -p /tmp/longshore-cgroup
        for t in 'cgroup -o rdma' 'cgroup -o misc' 'cgroup -o memory' 'cgroup -o none,name=longshore-selftest' cgroup2; do
            for in in '' 'unshare -UrmC' 'unshare -mC' 'unshare -Ur -mpf'; do
                $in mount -t $t none /tmp/longshore-cgroup 2>/dev/null || continue
                echo \"! mounted $t with '$in'\"
                umount /tmp/longshore-cgroup 2>/dev/null
            done
        done
        mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo '! made /sys/fs/cgroup writable'
        rmdir /tmp/longshore-cgroup 2>/dev/null
        true";
    for mut bundle in [Bundle::image(field, walls)?, Bundle::task(field, walls)?] {
        bundle.script(look);
        reached.extend(field.run(&bundle)?.ended()?.reached()?);
    }
    reached.extend(canaries.harmed()?);
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}

fn limits(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut reached = Vec::new();
    // Its own values are written back to its own files.
    let look = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
            for n in memory.limit_in_bytes memory.max cpu.shares cpu.weight pids.max devices.allow \\
                cgroup.procs tasks freezer.state cgroup.freeze cgroup.subtree_control cpuset.cpus; do
                f=$d/$n
                [ -e $f ] || continue
                (: >>$f) 2>/dev/null && echo \"! may write $f\"
            done
            mkdir $d/inner 2>/dev/null && { echo \"! made a cgroup in $d\"; rmdir $d/inner; }
        done
        true";
    for mut bundle in [Bundle::image(field, walls)?, Bundle::task(field, walls)?] {
        bundle.script(look);
        reached.extend(field.run(&bundle)?.ended()?.reached()?);
    }
    // And, as the host sees it, it has stayed where it was.
    let mut bundle = Bundle::image(field, walls)?;
    let path = bundle.spec["linux"]["cgroupsPath"].clone();
    let path = path.as_str().unwrap_or_default().to_owned();
    bundle.script(
        "for f in /sys/fs/cgroup/*/tasks /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs \
             /sys/fs/cgroup/../../../proc/1/root/sys/fs/cgroup/cgroup.procs; do
            (echo 0 >$f; echo $$ >$f) 2>/dev/null
        done; echo tried; sleep 1000",
    );
    bundle.spec["process"]["env"] = json!(["PATH=/bin:/sbin:/usr/bin:/usr/sbin"]);
    let running = field.launch(&bundle)?.running()?;
    running.until_said("tried")?;
    let status = fs::read_to_string(format!("/proc/{}/cgroup", running.pid()));
    let status = status.map_err(cannot("look at a container's cgroups"))?;
    let memory = status.lines().find(|line| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        controllers.split(',').any(|c| c == "memory") || line.starts_with("0::")
    });
    if !memory.is_some_and(|line| line.contains(&path)) {
        reached.push(format!("moved out of its cgroup: {status}"));
    }
    running.kill()?;
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
