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
    let mut spec = spec(on_v2);
    if flags.rootless {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        spec = without_root(spec, uid.as_raw(), gid.as_raw());
    }
    let text = serde_json::to_string_pretty(&spec).map_err(call("write a spec as JSON"))?;
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

/// The same for somebody who is not root on the host, and in a user namespace is: a sysfs can be mounted only by
/// who owns the network, so the host's is shown; of ids there is one; and limits are not his to set.
fn without_root(mut spec: Value, uid: u32, gid: u32) -> Value {
    let only = |id| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = only(uid);
    linux["gidMappings"] = only(gid);
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            *mount = json!({
                "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            });
        }
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
    spec
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_gets_one_id_and_nothing_that_is_the_hosts_to_give() {
        let spec = without_root(spec(false), 1000, 100);
        let linux = &spec["linux"];
        let kinds = linux["namespaces"].as_array().expect("a list");
        let kinds: Vec<_> = kinds.iter().map(|it| it["type"].clone()).collect();
        assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "user"]);
        assert_eq!(linux["uidMappings"][0]["hostID"], 1000);
        assert_eq!(linux["gidMappings"][0]["hostID"], 100);
        assert_eq!(linux.get("resources"), None);
        let text = spec.to_string();
        assert!(
            !text.contains("gid=5") && !text.contains("\"sysfs\""),
            "{text}"
        );
        let spec: oci_spec::runtime::Spec = serde_json::from_value(spec).expect("a spec");
        assert!(crate::config::check(&spec).is_ok());
    }
}
