//! What a spec may ask for and nothing here does. It is refused: a container that runs with more, or
//! less, than its spec says would be worse than none.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxCpu, LinuxMemory, LinuxResources, Process, Spec};

use super::{Attached, CompileError, Facts};

pub fn refuse(
    spec: &Spec,
    linux: &Linux,
    process: &Process,
    facts: &Facts<'_>,
) -> Result<(), CompileError> {
    let Attached { hooks, console, .. } = facts.attached;
    // Version 1 of cgroups has no files of version 2.
    let on_v1 = facts.cgroup_files > 0;
    // Without it a label says nothing.
    let selinux = (facts.lookup)(Path::new("/sys/fs/selinux/enforce")).is_some();
    let table = [
        (spec.hooks().is_some() && !hooks, "hooks"),
        (process.terminal() == Some(true) && !console, "a terminal"),
        (process.apparmor_profile().is_some(), "an AppArmor profile"),
        (process.selinux_label().is_some(), "an SELinux label"),
        (process.io_priority().is_some(), "an I/O priority"),
        (process.scheduler().is_some(), "a scheduling policy"),
        (
            linux.mount_label().is_some() && selinux,
            "an SELinux label of mounts",
        ),
        (linux.intel_rdt().is_some(), "Intel RDT"),
        (linux.personality().is_some(), "a personality"),
        (linux.time_offsets().is_some(), "time offsets"),
        (linux.net_devices().is_some(), "network devices"),
    ];
    let resources = linux.resources().as_ref();
    let of_resources = resources.map(|resources| of_resources(resources, on_v1));
    let mut asked = table.into_iter().chain(of_resources.into_iter().flatten());
    match asked.find(|(is_asked, _)| *is_asked) {
        Some((_, what)) => Err(CompileError::Unsupported(what)),
        None => Ok(()),
    }
}

/// All but what `isolators::cgroups` sets.
fn of_resources(resources: &LinuxResources, on_v1: bool) -> [(bool, &'static str); 9] {
    [
        (
            resources.devices().iter().flatten().next().is_some(),
            "a list of allowed devices",
        ),
        (resources.pids().is_some(), "a limit of processes"),
        (resources.block_io().is_some(), "limits of block I/O"),
        (
            resources
                .hugepage_limits()
                .iter()
                .flatten()
                .next()
                .is_some(),
            "limits of huge pages",
        ),
        (
            resources.network().is_some(),
            "network classes or priorities",
        ),
        (resources.rdma().is_some(), "limits of RDMA"),
        (
            on_v1 && resources.unified().iter().flatten().next().is_some(),
            "files of cgroup v2 on a host with cgroup v1",
        ),
        (
            resources.memory().as_ref().is_some_and(beyond_memory),
            "more of memory than a limit and a reservation",
        ),
        (
            resources.cpu().as_ref().is_some_and(beyond_cpu),
            "more of cpu than shares, a quota and its period",
        ),
    ]
}

fn beyond_memory(memory: &LinuxMemory) -> bool {
    memory.swap().is_some()
        || memory.kernel().is_some()
        || memory.kernel_tcp().is_some()
        || memory.swappiness().is_some()
        || memory.disable_oom_killer() == Some(true)
}

fn beyond_cpu(cpu: &LinuxCpu) -> bool {
    cpu.burst().is_some()
        || cpu.idle().is_some()
        || cpu.realtime_runtime().is_some()
        || cpu.realtime_period().is_some()
        || cpu.cpus().is_some()
        || cpu.mems().is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is refused of a spec with these parts.
    fn refused(linux: Value, process: Value, on_v1: bool) -> Option<CompileError> {
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["x"]},
            "linux": linux,
        });
        let added = process.as_object().expect("an object").clone();
        spec["process"]
            .as_object_mut()
            .expect("one, too")
            .extend(added);
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let (linux, process) = (spec.linux().as_ref(), spec.process().as_ref());
        let (linux, process) = (linux.expect("linux"), process.expect("a process"));
        let facts = Facts {
            cgroup_files: u32::from(on_v1),
            cgroup_v1_mounts: &[],
            staging: Path::new("/"),
            lookup: &|_path| None,
            filters: &Default::default(),
            then: init::Then::Become {},
            attached: Attached::default(),
        };
        refuse(&spec, linux, process, &facts).err()
    }

    #[test]
    fn what_is_set_is_taken() {
        let resources = json!({"resources": {
            "memory": {"limit": 1, "reservation": 1},
            "cpu": {"shares": 2, "quota": 1000, "period": 100_000},
            "devices": [],
            "unified": {"cpu.weight": "5"},
        }});
        assert_eq!(refused(resources.clone(), json!({}), false), None);
        let why = "files of cgroup v2 on a host with cgroup v1";
        let on_v1 = refused(resources, json!({}), true);
        assert_eq!(on_v1, Some(CompileError::Unsupported(why)));
    }

    #[test]
    fn what_is_not_is_refused_by_name() {
        let of_resources = [
            (json!({"pids": {"limit": 5}}), "a limit of processes"),
            (
                json!({"devices": [{"allow": false, "access": "rwm"}]}),
                "a list of allowed devices",
            ),
            (json!({"blockIO": {"weight": 10}}), "limits of block I/O"),
            (
                json!({"memory": {"swap": 5}}),
                "more of memory than a limit and a reservation",
            ),
            (
                json!({"cpu": {"cpus": "0"}}),
                "more of cpu than shares, a quota and its period",
            ),
        ];
        for (resources, what) in of_resources {
            let found = refused(json!({ "resources": resources }), json!({}), false);
            assert_eq!(found, Some(CompileError::Unsupported(what)));
        }
        let apparmor = refused(json!({}), json!({"apparmorProfile": "p"}), false);
        let what = "an AppArmor profile";
        assert_eq!(apparmor, Some(CompileError::Unsupported(what)));
    }
}
