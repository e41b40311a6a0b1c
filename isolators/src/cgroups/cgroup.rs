//! One container's cgroup: made before its processes, removed after them.
//!
//! v1: `<mount>/<root>/<id>` in every hierarchy. v2: `<mount>/<root>/<id>` holds the limits and
//! `<id>/leaf` the processes, so that nested containers can lie beside it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cgroups_rs::cpu::CpuController;
use cgroups_rs::memory::MemController;
use oci_spec::runtime::LinuxResources;

use super::files::{self, Files};
use super::hierarchy::{ControllerMount, Hierarchy};

#[derive(Debug, Clone)]
pub struct Cgroup {
    pub(super) dirs: Dirs,
    /// As the kernel names it in its log, e.g. `/mesos/c1`.
    pub(super) name: String,
}

#[derive(Debug, Clone)]
pub(super) enum Dirs {
    V1(Vec<ControllerMount>),
    V2(PathBuf),
}

/// How a new process gets into the cgroup.
#[derive(Debug)]
pub enum Entry {
    /// The process writes `0` to each of these itself.
    Tasks(Vec<OwnedFd>),
    /// For clone3(2) with CLONE_INTO_CGROUP.
    Directory(OwnedFd),
}

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("cannot create cgroup {path}{}", hint(source))]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot open cgroup file {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write {value:?} to {file}")]
    Write {
        file: PathBuf,
        value: String,
        source: io::Error,
    },
    #[error("cannot set {what} of cgroup {path}")]
    Set {
        what: &'static str,
        path: PathBuf,
        source: cgroups_rs::error::Error,
    },
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

impl Cgroup {
    /// Prepares the subtree that all containers' cgroups lie in; once per start.
    pub fn prepare_root(hierarchy: &Hierarchy, root: &str) -> Result<(), CgroupError> {
        match hierarchy {
            Hierarchy::V1(mounts) => mounts.iter().try_for_each(|m| make(&m.path.join(root))),
            Hierarchy::V2(mount) => {
                // A parent must hand each controller on before a child has its files.
                hand_on_controllers(mount)?;
                make(&mount.join(root))?;
                hand_on_controllers(&mount.join(root))
            }
        }
    }

    /// Takes the subtree away when nothing is in it (else `Busy`): agents come and go, and leave
    /// nothing. A cgroup in it that is still empty may be another agent's next container, so it stays.
    pub fn remove_root(hierarchy: &Hierarchy, root: &str) -> Result<(), CgroupError> {
        let remove = |path: &Path| told(path, fs::remove_dir(path));
        match hierarchy {
            Hierarchy::V1(mounts) => mounts.iter().try_for_each(|m| remove(&m.path.join(root))),
            Hierarchy::V2(mount) => remove(&mount.join(root)),
        }
    }

    /// Names the cgroup at `path` below each mount; it need not exist.
    pub fn at(hierarchy: &Hierarchy, path: &Path) -> Self {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let dirs = match hierarchy {
            Hierarchy::V1(mounts) => Dirs::V1(
                mounts
                    .iter()
                    .map(|mount| ControllerMount {
                        controllers: mount.controllers.clone(),
                        path: mount.path.join(relative),
                    })
                    .collect(),
            ),
            Hierarchy::V2(mount) => Dirs::V2(mount.join(relative)),
        };
        Self {
            dirs,
            name: format!("/{}", relative.display()),
        }
    }

    /// Makes the cgroup with its limits. On error nothing of it is left.
    pub fn create(&self, limits: Option<&LinuxResources>) -> Result<(), CgroupError> {
        let created = self.make_dirs().and_then(|()| match limits {
            Some(limits) => self.apply(limits),
            None => Ok(()),
        });
        if created.is_err() {
            // The first failure is what the caller must hear; these directories are empty.
            let _ = self.remove();
        }
        created
    }

    fn make_dirs(&self) -> Result<(), CgroupError> {
        match &self.dirs {
            Dirs::V1(dirs) => dirs.iter().try_for_each(|dir| make(&dir.path)),
            Dirs::V2(dir) => make(dir).and_then(|()| make(&dir.join("leaf"))),
        }
    }

    fn apply(&self, limits: &LinuxResources) -> Result<(), CgroupError> {
        if let (Some(memory), Some(dir)) = (limits.memory(), self.dir("memory")) {
            let controller = MemController::new(dir.to_owned(), self.is_v2());
            let set = |what| {
                let path = dir.to_owned();
                move |source| CgroupError::Set { what, path, source }
            };
            if let Some(limit) = memory.limit() {
                controller.set_limit(limit).map_err(set("memory limit"))?;
            }
            if let Some(soft) = memory.reservation() {
                controller
                    .set_soft_limit(soft)
                    .map_err(set("soft memory limit"))?;
            }
        }
        if let (Some(cpu), Some(dir)) = (limits.cpu(), self.dir("cpu")) {
            self.apply_cpu(cpu, dir)?;
        }
        for (file, value) in limits.unified().iter().flatten() {
            if let Dirs::V2(dir) = &self.dirs {
                write(&dir.join(file), value)?;
            }
        }
        Ok(())
    }

    fn apply_cpu(&self, cpu: &oci_spec::runtime::LinuxCpu, dir: &Path) -> Result<(), CgroupError> {
        let controller = CpuController::new(dir.to_owned(), self.is_v2());
        if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
            // An OCI spec speaks of v1 shares, 2 to 262144; v2 has weights, 1 to 10000. Our own plans
            // for v2 name the weight itself, by Mesos' rule (see `cpu`).
            let value = if self.is_v2() {
                1 + (shares.max(2) - 2) * 9999 / 262_142
            } else {
                shares
            };
            controller
                .set_shares(value)
                .map_err(|source| CgroupError::Set {
                    what: "cpu weight",
                    path: dir.to_owned(),
                    source,
                })?;
        }
        let Some(quota) = cpu.quota() else {
            return Ok(());
        };
        let period = cpu.period().unwrap_or(100_000);
        if self.is_v2() {
            let quota = if quota < 0 {
                "max".to_owned()
            } else {
                quota.to_string()
            };
            return write(&dir.join("cpu.max"), &format!("{quota} {period}"));
        }
        write(&dir.join("cpu.cfs_period_us"), &period.to_string())?;
        write(&dir.join("cpu.cfs_quota_us"), &quota.to_string())
    }

    pub fn entry(&self) -> Result<Entry, CgroupError> {
        let open = |path: PathBuf, options: &fs::OpenOptions| match options.open(&path) {
            Ok(file) => Ok(OwnedFd::from(file)),
            Err(source) => Err(CgroupError::Open { path, source }),
        };
        match &self.dirs {
            Dirs::V1(dirs) => {
                let options = File::options().write(true).clone();
                let tasks = dirs
                    .iter()
                    .map(|dir| open(dir.path.join("tasks"), &options));
                Ok(Entry::Tasks(tasks.collect::<Result<_, _>>()?))
            }
            Dirs::V2(dir) => {
                let options = File::options().read(true).clone();
                Ok(Entry::Directory(open(dir.join("leaf"), &options)?))
            }
        }
    }

    /// SIGKILL to every process in it. Only for containers whose first process is unknown: killing
    /// that one ends its whole pid namespace at once.
    pub fn kill(&self) {
        let signal = nix::sys::signal::Signal::SIGKILL;
        match &self.dirs {
            // A cgroup that is gone has nobody left to kill.
            Dirs::V2(dir) => drop(fs::write(dir.join("cgroup.kill"), "1")),
            Dirs::V1(_) => self.processes().into_iter().for_each(|pid| {
                // It may have ended by itself meanwhile.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal);
            }),
        }
    }

    /// Host pids of the processes in it; empty when it does not exist.
    pub fn processes(&self) -> Vec<u32> {
        let file = match &self.dirs {
            Dirs::V1(dirs) => dirs.first().map(|dir| dir.path.join("cgroup.procs")),
            Dirs::V2(dir) => Some(dir.join("leaf/cgroup.procs")),
        };
        let text = file
            .and_then(|file| fs::read_to_string(file).ok())
            .unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removing twice is not an error. `Busy` may pass: a process that was killed leaves its cgroup
    /// a moment later.
    pub fn remove(&self) -> Result<(), CgroupError> {
        match &self.dirs {
            Dirs::V1(dirs) => dirs.iter().try_for_each(|dir| remove(&dir.path)),
            Dirs::V2(dir) => remove(&dir.join("leaf")).and_then(|()| remove(dir)),
        }
    }

    fn is_v2(&self) -> bool {
        matches!(self.dirs, Dirs::V2(_))
    }

    pub(super) fn files(&self) -> &'static Files {
        match self.dirs {
            Dirs::V1(_) => &files::V1,
            Dirs::V2(_) => &files::V2,
        }
    }

    /// Where the files of one controller are.
    pub(super) fn dir(&self, controller: &str) -> Option<&Path> {
        match &self.dirs {
            Dirs::V1(dirs) => dirs
                .iter()
                .find(|dir| dir.controllers.iter().any(|c| c == controller))
                .map(|dir| dir.path.as_path()),
            Dirs::V2(dir) => Some(dir),
        }
    }
}

/// Gives the children of a v2 cgroup their controllers: those we need, and pids where there is it.
fn hand_on_controllers(dir: &Path) -> Result<(), CgroupError> {
    let file = dir.join("cgroup.subtree_control");
    for needed in super::hierarchy::REQUIRED {
        write(&file, &format!("+{needed}"))?;
    }
    // Only for counting.
    let _ = write(&file, "+pids");
    Ok(())
}

fn make(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir_all(path) {
        Ok(()) => Ok(()),
        Err(source) => Err(CgroupError::Create {
            path: path.to_owned(),
            source,
        }),
    }
}

/// With everything below it: a container may have made cgroups of its own where it could.
fn remove(path: &Path) -> Result<(), CgroupError> {
    let removed = match fs::remove_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => remove_children(path),
        removed => removed,
    };
    told(path, removed)
}

fn told(path: &Path, removed: io::Result<()>) -> Result<(), CgroupError> {
    let path = || path.to_owned();
    removed.or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        io::ErrorKind::ResourceBusy => Err(CgroupError::Busy { path: path() }),
        _ => Err(CgroupError::Remove {
            path: path(),
            source: e,
        }),
    })
}

/// Depth first, without recursion: how deep they lie is not for us to say.
fn remove_children(path: &Path) -> io::Result<()> {
    let mut found = vec![path.to_owned()];
    let mut seen = 0;
    while let Some(directory) = found.get(seen).cloned() {
        seen += 1;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
    }
    found.iter().rev().try_for_each(fs::remove_dir)
}

pub(super) fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(file, value).map_err(|source| CgroupError::Write {
        file: file.to_owned(),
        value: value.to_owned(),
        source,
    })
}
