//! Which devices a container may use, on cgroup v2: a program that is attached to its cgroup.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use isolators::cgroups::Hierarchy;

use crate::sys;

#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    #[error("cannot load the program that limits devices{}", load_hint(source))]
    Load { source: io::Error },
    #[error("cannot {attempt} cgroup {path}, to limit its devices")]
    Attach {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

fn load_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            " (it takes CAP_SYS_ADMIN or CAP_BPF, and before Linux 5.11 a larger ulimit -l)"
        }
        Some(libc::ENOSYS | libc::EINVAL) => {
            " (this kernel cannot: it needs CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF)"
        }
        _ => "",
    }
}

/// Whether this host can limit devices at all; said once, when it cannot.
pub fn can_be_limited(hierarchy: &Hierarchy) -> bool {
    // A program that denies everything, and that nothing is attached to.
    const DENY: [u64; 2] = [0xb7, 0x95];
    match hierarchy {
        Hierarchy::V1(_) if hierarchy.has_device_lists() => true,
        Hierarchy::V1(_) => {
            tracing::warn!("containers are not kept from devices: no v1 hierarchy has \"devices\"");
            false
        }
        Hierarchy::V2(_) => match sys::load_device_program(&DENY) {
            Ok(_) => true,
            Err(source) => {
                let error = DevicesError::Load { source };
                tracing::warn!(%error, "containers are not kept from devices");
                false
            }
        },
    }
}

/// Programs that were loaded before: nearly all containers have the same list, and the kernel looks
/// long at a program before it takes it.
#[derive(Debug, Default)]
pub struct Programs(Mutex<HashMap<Vec<u64>, Arc<OwnedFd>>>);

/// Kept at one time; lists that differ for each container must not pile up.
const KEPT: usize = 16;

impl Programs {
    fn load(&self, program: &[u64]) -> Result<Arc<OwnedFd>, DevicesError> {
        // No panic leaves it half changed.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = known().get(program) {
            return Ok(loaded.clone());
        }
        let loaded = sys::load_device_program(program);
        let loaded = Arc::new(loaded.map_err(|source| DevicesError::Load { source })?);
        let mut known = known();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(program.to_vec(), loaded.clone());
        Ok(loaded)
    }

    /// To a cgroup that has none.
    pub fn attach(&self, program: &[u64], cgroup: &Path) -> Result<(), DevicesError> {
        let program = self.load(program)?;
        let directory = open(cgroup)?;
        let attached = sys::attach_device_program(directory.as_fd(), program.as_fd());
        attached.map_err(failed("attach a program to", cgroup))
    }

    /// In place of those that are attached. At no moment is more allowed than by the old or the new.
    pub fn replace(&self, program: &[u64], cgroup: &Path) -> Result<(), DevicesError> {
        let directory = open(cgroup)?;
        let program = self.load(program)?;
        let ask = failed("ask for the programs of", cgroup);
        let id = sys::program_id(program.as_fd()).map_err(&ask)?;
        let old = sys::attached_device_programs(directory.as_fd()).map_err(&ask)?;
        // One program cannot be attached twice.
        if !old.contains(&id) {
            let attached = sys::attach_device_program(directory.as_fd(), program.as_fd());
            attached.map_err(failed("attach a program to", cgroup))?;
        }
        for old in old.into_iter().filter(|old| *old != id) {
            let detached = sys::program_by_id(old)
                .and_then(|old| sys::detach_device_program(directory.as_fd(), old.as_fd()));
            detached.map_err(failed("detach the old program from", cgroup))?;
        }
        Ok(())
    }
}

fn open(cgroup: &Path) -> Result<File, DevicesError> {
    File::open(cgroup).map_err(failed("open", cgroup))
}

fn failed(attempt: &'static str, cgroup: &Path) -> impl Fn(io::Error) -> DevicesError {
    move |source| DevicesError::Attach {
        attempt,
        path: cgroup.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use isolators::cgroups::{Cgroup, Layout};
    use serde_json::json;

    use super::*;

    /// Also on a hybrid host, whose v2 tree has no controllers: programs need none.
    fn v2_mount() -> PathBuf {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let is_v2 = |line: &&str| line.contains(" - cgroup2 ");
        let line = mounts.lines().find(is_v2).unwrap();
        line.split(' ').nth(4).unwrap().into()
    }

    fn program(allow: bool) -> Vec<u64> {
        let asked = json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": allow, "type": "c", "major": 60, "minor": 7, "access": "r"},
        ]});
        let hierarchy = Arc::new(Hierarchy::V2(v2_mount()));
        let cgroup = Cgroup::at(&hierarchy, Path::new("/any"), Layout::Oci);
        let resources = serde_json::from_value(asked).unwrap();
        let plan = cgroup.plan(Some(&resources)).unwrap();
        plan.device_program().unwrap().to_vec()
    }

    /// What a process in the cgroup is told when it opens device 60:7, which no driver has.
    fn told(cgroup: &Path, device: &Path) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read go; cat \"$0\""]).arg(device);
        let shell = shell.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut shell = shell.unwrap();
        std::fs::write(cgroup.join("cgroup.procs"), shell.id().to_string()).unwrap();
        shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let output = shell.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        told.trim().rsplit(": ").next().unwrap().to_owned()
    }

    #[test]
    fn root_a_program_decides_until_another_takes_its_place() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let device = directory.path().join("none");
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        let number = nix::sys::stat::makedev(60, 7);
        nix::sys::stat::mknod(&device, kind, nix::sys::stat::Mode::S_IRUSR, number).unwrap();
        let cgroup = v2_mount().join(format!("longshore-test-{}-program", std::process::id()));
        std::fs::create_dir(&cgroup).unwrap();

        let programs = Programs::default();
        let (denied, passed) = ("Operation not permitted", "No such device or address");
        assert_eq!(told(&cgroup, &device), passed);
        programs.attach(&program(false), &cgroup).unwrap();
        assert_eq!(told(&cgroup, &device), denied);
        for (allow, wanted) in [(true, passed), (true, passed), (false, denied)] {
            programs.replace(&program(allow), &cgroup).unwrap();
            assert_eq!(told(&cgroup, &device), wanted);
        }
        let attached = sys::attached_device_programs(open(&cgroup).unwrap().as_fd());
        assert_eq!(attached.unwrap().len(), 1);
        std::fs::remove_dir(&cgroup).unwrap();
    }
}
