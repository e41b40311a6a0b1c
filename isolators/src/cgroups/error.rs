//! What can go wrong with a cgroup, said so that an operator knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::settings::BadResources;

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error(transparent)]
    Resources(#[from] BadResources),
    #[error("cannot create cgroup {path}{}", hint(source))]
    Create { path: PathBuf, source: io::Error },
    #[error(
        "container's cgroup is not empty: {path} holds {processes} processes of somebody else (choose \
         another linux.cgroupsPath, or end them)"
    )]
    NotEmpty { path: PathBuf, processes: usize },
    #[error(
        "container's cgroup unexpectedly frozen: thaw {path}, or choose another linux.cgroupsPath"
    )]
    Frozen { path: PathBuf },
    #[error("cannot open cgroup file {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("bad sub cgroup path: {path} must stay below the container's cgroup")]
    NotBelow { path: PathBuf },
    #[error("unknown controller {controller}: this host has no hierarchy of its own for it")]
    UnknownController { controller: String },
    #[error("cannot read cgroup file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {value:?} to {file}{}", write_hint(file, source))]
    Write {
        file: PathBuf,
        value: String,
        source: io::Error,
    },
    #[error(
        "cannot set {value:?}: there is no {file} (this kernel may not have it; on cgroup v2 each parent \
         must hand controller {controller} on in its cgroup.subtree_control)"
    )]
    NoFile {
        file: PathBuf,
        value: String,
        controller: String,
    },
    #[error(
        "cannot set what needs cgroup controller {controller}: it is not mounted on this host (mount \
         it, or leave that resource out)"
    )]
    NoController { controller: String },
    #[error("{first}; taking the changes before it back failed, too: {}", also.join("; "))]
    HalfWay {
        #[source]
        first: Box<CgroupError>,
        also: Vec<String>,
    },
    #[error(
        "cannot {attempt} {path} within {seconds} s (one of its processes waits for the kernel)"
    )]
    Patience {
        attempt: &'static str,
        path: PathBuf,
        seconds: f64,
    },
    #[error("cannot move the processes of cgroup {path}: they fork faster than they can be moved")]
    Restless { path: PathBuf },
    #[error("cannot remove cgroup {path}: processes or child cgroups are left in it")]
    Busy { path: PathBuf },
    #[error("cannot remove cgroup {path}")]
    Remove { path: PathBuf, source: io::Error },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            " (cgroups are mounted read-only here, as in most containers: run the agent on the host, or \
             mount them rw)"
        }
        io::ErrorKind::PermissionDenied => {
            " (are you root? a service manager may own it: Delegate=yes)"
        }
        // EAGAIN of a cgroup.max.descendants or cgroup.max.depth above.
        io::ErrorKind::WouldBlock => {
            " (a limit on cgroups is reached: see cgroup.max.descendants and cgroup.max.depth above it)"
        }
        io::ErrorKind::StorageFull => {
            " (the kernel has no more cgroups to give: are old ones left over?)"
        }
        _ => "",
    }
}

fn write_hint(file: &Path, error: &io::Error) -> &'static str {
    let name = file.file_name().and_then(|name| name.to_str());
    match (name.unwrap_or_default(), error.kind()) {
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", io::ErrorKind::ResourceBusy) => {
            " (more than that is in use)"
        }
        ("memory.memsw.limit_in_bytes" | "memory.limit_in_bytes", io::ErrorKind::InvalidInput) => {
            " (memory.limit must not be above memory.swap, the limit of both together)"
        }
        ("devices.allow", io::ErrorKind::PermissionDenied) => " (a cgroup above does not allow it)",
        ("cpu.cfs_quota_us" | "cpu.cfs_period_us" | "cpu.max", io::ErrorKind::InvalidInput) => {
            " (a period is 1000 to 1000000 microseconds, a quota at least 1000, and on cgroup v1 not \
             above what a parent allows)"
        }
        ("cpu.rt_runtime_us", io::ErrorKind::InvalidInput) => {
            " (the cgroups above must have real-time runtime to give)"
        }
        ("cpu.cfs_burst_us" | "cpu.max.burst", io::ErrorKind::InvalidInput) => {
            " (a burst must not be above the quota)"
        }
        ("cpu.weight" | "cpu.shares", io::ErrorKind::InvalidInput) => {
            " (out of range, or the cgroup is idle: set cpu.idle to 0)"
        }
        (name, _) if name.starts_with("cpuset.") => {
            " (see cpuset.cpus and cpuset.mems of the cgroup above for what there is)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_refused_value_says_how_to_mend_it() {
        let refused = |file: &str, value: &str, errno: Errno| {
            let error = CgroupError::Write {
                file: file.into(),
                value: value.to_owned(),
                source: errno.into(),
            };
            error.to_string()
        };
        assert_eq!(
            refused("/cg/c1/memory.limit_in_bytes", "4096", Errno::EBUSY),
            "cannot write \"4096\" to /cg/c1/memory.limit_in_bytes (more than that is in use)"
        );
        assert_eq!(
            refused("/cg/c1/devices.allow", "b 8:0 r", Errno::EPERM),
            "cannot write \"b 8:0 r\" to /cg/c1/devices.allow (a cgroup above does not allow it)"
        );
        for (file, errno) in [
            ("cpuset.cpus", Errno::EINVAL),
            ("cpuset.mems", Errno::ERANGE),
            ("cpuset.cpus", Errno::EACCES),
        ] {
            let told = refused(file, "9", errno);
            assert!(
                told.contains("of the cgroup above for what there is"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_change_that_is_half_way_tells_both_failures() {
        let failed = |file: &str| CgroupError::Write {
            file: file.into(),
            value: "5".to_owned(),
            source: Errno::EIO.into(),
        };
        let error = CgroupError::HalfWay {
            first: Box::new(failed("/cg/a")),
            also: vec![failed("/cg/b").to_string()],
        };
        assert_eq!(
            error.to_string(),
            "cannot write \"5\" to /cg/a; taking the changes before it back failed, too: cannot write \"5\" \
             to /cg/b"
        );
    }
}
