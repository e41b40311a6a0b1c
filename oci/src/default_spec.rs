//! `spec`: something to begin with, as runc writes it.

use std::io::Write as _;

use isolators::cgroups::Hierarchy;
use serde_json::{Value, json};

use crate::error::{Error, call, file};
use crate::flags::Spec;

const NAME: &str = "config.json";

pub fn write(flags: &Spec) -> Result<(), Error> {
    let path = flags.bundle.join(NAME);
    let on_v2 = crate::status::hierarchy().is_ok_and(|it| matches!(*it, Hierarchy::V2(_)));
    let text = serde_json::to_string_pretty(&spec(on_v2)).map_err(call("write a spec as JSON"))?;
    let made = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(&path);
    let mut made = made.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::SpecExists(NAME.to_owned()),
        _ => file("create", &path)(error),
    })?;
    writeln!(made, "{text}").map_err(file("write", &path))
}

/// A shell with a terminal in every namespace but user, time, and on v1 cgroup.
fn spec(on_v2: bool) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let mut mount = json!({"destination": destination, "type": kind, "source": source});
        if !options.is_empty() {
            mount["options"] = options.split(',').collect();
        }
        mount
    };
    let namespaces = ["pid", "network", "ipc", "uts", "mount"];
    let namespaces = namespaces.into_iter().chain(on_v2.then_some("cgroup"));
    let namespaces: Vec<Value> = namespaces.map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": crate::version::SPEC,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runc",
        "mounts": [
            mount("/proc", "proc", "proc", ""),
            mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "devpts",
                "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}
