//! What the benches of launches have in common: a bundle, and a containerizer.
#![expect(clippy::unwrap_used, reason = "a bench that cannot prepare has failed")]

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerizer::{Config, Containerizer, Timings};
use isolators::seccomp::{Machine, Profile};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

pub use percentile::percentile;

mod percentile;

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
    fs::copy(busybox, bin.join("sleep")).unwrap();
    let command = bin.join("true");
    fs::write(&command, exits_at_once()).unwrap();
    fs::set_permissions(&command, Permissions::from_mode(0o755)).unwrap();
    let bundle = directory.join("bundle");
    let mut config = config();
    if !seccomp.is_null() {
        config["linux"]["seccomp"] = seccomp;
    }
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

/// The smallest program for this machine: exit(0). A C library's start would be a good part of what is
/// measured (glibc asks a virtual processor again and again what it can do). elf(5).
fn exits_at_once() -> Vec<u8> {
    let (machine, code): (u16, &[u8]) = if cfg!(target_arch = "x86_64") {
        // xor edi, edi; mov eax, SYS_exit_group; syscall
        (62, b"\x31\xff\xb8\xe7\x00\x00\x00\x0f\x05")
    } else {
        // mov x0, 0; mov x8, SYS_exit_group; svc 0
        (183, b"\x00\x00\x80\xd2\xc8\x0b\x80\xd2\x01\x00\x00\xd4")
    };
    const AT: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + code.len() as u64;
    let mut file = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut half = |value: u16| file.extend(value.to_le_bytes());
    // An executable, of this machine.
    [2, machine].into_iter().for_each(&mut half);
    file.extend(1_u32.to_le_bytes());
    // Where it starts, where its program headers are; it has no sections.
    for value in [AT + HEADERS, 64, 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for value in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    // The whole file in one piece, to be read and executed.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for value in [0, AT, AT, length, length, 0x1000] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
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

/// Where the time of launches went, medians in milliseconds; the rest, until it is reaped, is the kernel's end of it.
pub fn phases_of(launches: &[Timings]) -> String {
    let names: Vec<&str> = launches[0].phases().map(|(name, _)| name).collect();
    let medians = names.iter().map(|name| {
        let of_one = |launch: &Timings| {
            let mut phases = launch.phases();
            phases.find_map(|(phase, taken)| (phase == *name).then_some(taken))
        };
        let taken: Vec<Duration> = launches.iter().filter_map(of_one).collect();
        let median = percentile(&taken, 50).as_secs_f64() * 1000.0;
        format!("{name} {median:.2}")
    });
    medians.collect::<Vec<_>>().join(", ")
}
