//! What the benches of launches have in common: a bundle, and a containerizer.
#![expect(clippy::unwrap_used, reason = "a bench that cannot prepare has failed")]

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerizer::{Config, Containerizer};
use isolators::seccomp::{Machine, Profile};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

pub fn open(runtime_dir: &Path) -> Containerizer {
    Containerizer::open(Config {
        runtime_dir: runtime_dir.to_owned(),
        cgroups_hierarchy: "/sys/fs/cgroup".into(),
        cgroups_root: CGROUPS.to_owned(),
        cgroups_enable_cfs: false,
        cgroups_destroy_timeout: Duration::from_secs(10),
        hidden: vec![],
        seccomp: Profile::builtin(),
    })
    .unwrap()
}

pub const CGROUPS: &str = "longshore-bench";

pub fn remove_cgroups() {
    let base = Path::new("/sys/fs/cgroup");
    let mounts = fs::read_dir(base)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for root in mounts
        .chain([base.to_owned()])
        .map(|mount| mount.join(CGROUPS))
    {
        if root.exists() {
            fs::remove_dir(root).unwrap();
        }
    }
}

/// A root file system that holds a static busybox, and the spec.
pub fn bundle(directory: &Path, seccomp: Value) -> PathBuf {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|p| Path::new(p).exists());
    let Some(busybox) = busybox else {
        panic!("busybox is not installed (busybox-static)")
    };
    let bin = directory.join("bundle/rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["true", "sleep"] {
        fs::copy(busybox, bin.join(name)).unwrap();
    }
    let bundle = directory.join("bundle");
    let mut config = config();
    if !seccomp.is_null() {
        config["linux"]["seccomp"] = seccomp;
    }
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

/// For us the cgroup is named by the container; runc and crun choose their own when it is not.
pub fn spec(bundle: &Path, id: &str) -> Spec {
    let config = fs::read_to_string(bundle.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["root"]["path"] = json!(bundle.join("rootfs"));
    config["linux"]["cgroupsPath"] = json!(format!("/{CGROUPS}/{id}"));
    serde_json::from_value(config).unwrap()
}

/// Our default profile, as it is for a container without capabilities.
pub fn builtin() -> Value {
    let uname = nix::sys::utsname::uname().unwrap();
    let machine = Machine::here(uname.release().to_str().unwrap());
    let resolved = Profile::builtin().resolve(&machine, &HashSet::new());
    json!(resolved.unwrap())
}

/// What container engines ask for: every namespace but user and time, the usual mounts, hidden and
/// read-only paths, reduced capabilities.
fn config() -> Value {
    let capabilities = [
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ];
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": source, "options": options})
    };
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "devpts",
                "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        ],
        "linux": {
            "resources": {"memory": {"limit": 67_108_864}, "cpu": {"shares": 512}},
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
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

/// Standard streams of a command that nobody hears.
pub fn silence() -> containerizer::Stdio {
    let null = || {
        let file = File::options().write(true).open("/dev/null");
        file.unwrap().into()
    };
    containerizer::Stdio {
        stdin: None,
        stdout: null(),
        stderr: null(),
    }
}
