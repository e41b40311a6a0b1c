//! What holds of the kernel's files, whatever they say.

use std::path::{Component, Path};

use oci_spec::runtime::LinuxResources;

use super::act::{listed, restoring};
use super::details::flat_keys;
use super::device_io::{DeviceIo, from_blkio, from_io_stat};
use super::devices::{Access, Key, Kind, List, Rule, compile, interpreter, kernel::Kernel, naive};
use super::hierarchy::{Hierarchy, REQUIRED, Version};
use super::oom::report;
use super::plan::Plan;
use super::pressure::Pressure;
use super::settings::{Choice, Now};
use super::statistics::{flat_keyed, kernel_memory};
use super::update::cpu_max;
use crate::{KernelLog, mountinfo};

/// `memory.stat`, `io.stat`, `blkio.*`, `*.pressure`, `cgroup.procs`, `cpu.max`, and any that is changed.
pub fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (key, _) in flat_keys(&text) {
        let wanted = format!("{key} ");
        let mut values = text.lines().filter_map(|line| line.strip_prefix(&wanted));
        let value = values.find_map(|value| value.trim().parse().ok());
        assert_eq!(flat_keyed(&text, &key), value, "{key}");
    }
    let _ = kernel_memory(&text);
    let devices = from_io_stat(&text);
    assert_eq!(from_io_stat(&io_stat(&devices)), devices);
    let (bytes, operations) = text.split_once("\n\n").unwrap_or((&text, &text));
    let devices = from_blkio(bytes, operations);
    assert_eq!(from_io_stat(&io_stat(&devices)), devices);
    if let Some(pressure) = Pressure::parse(&text) {
        assert!(text.contains("some "), "{pressure:?}");
    }
    let stands = |pid: &u32| text.contains(&pid.to_string());
    assert!(listed(&text).iter().all(stands));
    let bandwidth = cpu_max(&text);
    let quota = bandwidth.quota.map_or("max".to_owned(), |n| n.to_string());
    assert_eq!(
        cpu_max(&format!("{quota} {}\n", bandwidth.period)),
        bandwidth
    );
    leads_back(&text);
}

/// To change a file back takes one line: what it said, or what removes the line that was not there.
fn leads_back(before: &str) {
    let choice = Choice {
        file: "f".into(),
        value: "8:0 5".to_owned(),
    };
    let whole = restoring(before, &choice, None);
    assert!(whole == "\n" || before.lines().any(|line| line.ends_with(&whole)));
    assert!(!whole.is_empty());
    let line = restoring(before, &choice, Some("8:0 default"));
    assert!(line == "8:0" || line.starts_with("8:0 "), "{line:?}");
    assert!(!line.contains('\n'));
}

fn io_stat(devices: &[DeviceIo]) -> String {
    let line = |one: &DeviceIo| {
        let (bytes, operations) = (one.bytes, one.operations);
        format!(
            "{}:{} rbytes={} wbytes={} dbytes={} rios={} wios={} dios={}\n",
            one.major,
            one.minor,
            bytes.read,
            bytes.written,
            bytes.discarded,
            operations.read,
            operations.written,
            operations.discarded
        )
    };
    devices.iter().map(line).collect()
}

/// Whatever is mounted elsewhere is none of ours, and no name of a mount point changes what is read of it.
pub fn a_mountinfo(bytes: &[u8]) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let line = [
        b"36 35 98:0 / ",
        &*mountinfo::escape(bytes),
        b" rw - ext4 x rw\n",
    ]
    .concat();
    let points: Vec<_> = mountinfo::parse(&line)
        .into_iter()
        .map(|it| it.point)
        .collect();
    assert_eq!(points, [Path::new(OsStr::from_bytes(bytes))]);
    let listed = mountinfo::parse(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(listed.len() <= lines);
    let root = Path::new("/sys/fs/cgroup");
    let Ok(found) = Hierarchy::from_mounts(listed.clone(), root) else {
        return;
    };
    assert_eq!(found.version(), Version::V1);
    let Hierarchy::V1(mounts) = found else {
        return;
    };
    for ours in &mounts {
        assert!(ours.path.starts_with(root) && !ours.controllers.is_empty());
        assert!(listed.iter().any(|mount| mount.point == ours.path));
    }
    for controller in REQUIRED {
        assert!(mounts.iter().any(|mount| mount.has(controller)));
    }
}

/// Nothing has to be written to make a list what it is already.
pub fn a_list_of_devices(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(list) = List::parse(&text) {
        let writes = list.writes_to(&list);
        // A list that allows by default is begun anew.
        assert!(writes.is_empty() || writes == [("devices.allow", "a".to_owned())]);
    }
}

/// v1's list and v2's program decide as the rules read, of which each four bytes are one: first those of a
/// new container, then those of a change.
pub fn rules_of_devices(bytes: &[u8]) {
    let rules: Vec<Rule> = bytes.chunks_exact(4).take(16).map(rule).collect();
    let (first, second) = rules.split_at(rules.len() / 2);
    let mut kernel = Kernel::fresh();
    for rules in [first, second] {
        let program = compile(rules);
        assert!(interpreter::reached(&program));
        let on_v1 = kernel.change(rules).is_ok();
        for (device, access) in uses() {
            let wanted = naive::allows(rules, device, access);
            let of_v2 = interpreter::run(&program, device, access);
            assert_eq!(of_v2, wanted, "{rules:?} {device:?} {access:?}");
            let of_v1 = kernel.allows(device, access);
            assert!(!on_v1 || of_v1 == wanted, "{rules:?} {device:?} {access:?}");
        }
    }
}

/// Few numbers, so that rules meet.
fn rule(bytes: &[u8]) -> Rule {
    let number = |byte: u8| (byte & 1 == 1).then_some(u32::from(byte >> 1) % 3);
    Rule {
        allow: bytes[0] & 1 == 1,
        kind: match bytes[0] >> 1 & 3 {
            0 => None,
            1 => Some(Kind::Block),
            _ => Some(Kind::Char),
        },
        major: number(bytes[1]),
        minor: number(bytes[2]),
        access: Access(bytes[3] % 7 + 1),
    }
}

/// The kernel asks for the making of a device alone, and for reading and writing together.
fn uses() -> impl Iterator<Item = (Key, Access)> {
    let numbers = (0..4).flat_map(|major| (0..4).map(move |minor| (major, minor)));
    numbers.flat_map(|(major, minor)| {
        let key = move |kind| Key {
            kind,
            major: Some(major),
            minor: Some(minor),
        };
        let of = move |kind| [1, 2, 4, 6].map(|access| (key(kind), Access(access)));
        [of(Kind::Block), of(Kind::Char)].concat()
    })
}

/// The victim is one of the container's, and the largest of its processes are told first.
pub fn an_oom_report(bytes: &[u8]) {
    const CGROUP: &str = "/mesos/c1";
    let text = String::from_utf8_lossy(bytes);
    let records: String = text
        .lines()
        .map(|line| format!("6,1,1,-;{line}\n"))
        .collect();
    let Some(report) = report::last(&KernelLog::parse(&records), CGROUP, 4096) else {
        return;
    };
    let tells = |line: &str| {
        line.starts_with("oom-kill:")
            && line.contains(&format!("task_memcg={CGROUP}"))
            && line.contains(&report.victim.name)
    };
    assert!(text.lines().any(tells), "{report:?}");
    assert!(report.tasks.len() <= 5);
    assert!(report.tasks.is_sorted_by(|a, b| a.rss >= b.rss));
}

/// Resources of any spec are settings of files that lie in the container's cgroup.
pub fn resources(bytes: &[u8]) {
    let Ok(resources) = serde_json::from_slice::<LinuxResources>(bytes) else {
        return;
    };
    for version in [Version::V1, Version::V2] {
        let Ok(plan) = Plan::of(&resources, version, &Now::default()) else {
            continue;
        };
        for setting in &plan.settings {
            for choice in &setting.choices {
                let mut components = Path::new(&*choice.file).components();
                let name = components.next();
                assert!(matches!(name, Some(Component::Normal(_))), "{setting:?}");
                assert!(components.next().is_none(), "{setting:?}");
                assert!(!setting.controller.contains('/'), "{setting:?}");
                assert!(!choice.value.trim_end().contains('\n'), "{setting:?}");
            }
        }
    }
}
