//! Where this host keeps its cgroups: one v2 tree, or a v1 tree per controller.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::mountinfo::{self, Mount};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Also a hybrid host, whose v2 tree has no controllers.
    V1,
    V2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// One mount for each set of controllers, e.g. `/sys/fs/cgroup/cpu,cpuacct`.
    V1(Vec<ControllerMount>),
    V2(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerMount {
    pub controllers: Vec<String>,
    pub path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum BadHierarchy {
    #[error("cannot look at {path}, where cgroups should be mounted (see --cgroups_hierarchy)")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "no cgroup v1 controller {controller} is mounted below {path}: mount it, boot with \
         cgroup v2, or point --cgroups_hierarchy to the right place"
    )]
    Missing {
        controller: &'static str,
        path: PathBuf,
    },
    #[error(
        "cgroup v2 controller {controller} is not available in {path}: it is not delegated to the \
         agent (run as root, or set Delegate=yes in the agent's unit)"
    )]
    NotDelegated {
        controller: &'static str,
        path: PathBuf,
    },
}

/// Without these there is no limit to enforce.
pub(super) const REQUIRED: &[&str] = &["cpu", "memory"];
/// Of v1, where they exist: every container has a cgroup in these hierarchies, for limits and
/// accounting. Each hierarchy costs a launch some 40 microseconds, so it is in others when its
/// resources need them, or its [`Layout`](super::Layout) says so.
pub(super) const ALWAYS_V1: &[&str] = &["cpu", "cpuacct", "memory", "pids"];
/// Of v1, where they exist.
const KNOWN_V1: &[&str] = &[
    "cpu", "cpuacct", "memory", "pids", "cpuset", "blkio", "hugetlb", "devices", "net_cls",
    "net_prio", "freezer", "rdma",
];

impl Hierarchy {
    pub fn detect(root: &Path) -> Result<Self, BadHierarchy> {
        let unreadable = |path: &Path, source| BadHierarchy::Unreadable {
            path: path.into(),
            source,
        };
        let kind = statfs(root)
            .map_err(|e| unreadable(root, e.into()))?
            .filesystem_type();
        if kind == CGROUP2_SUPER_MAGIC {
            let file = root.join("cgroup.controllers");
            let list = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, e))?;
            let missing = REQUIRED
                .iter()
                .find(|c| !list.split_whitespace().any(|has| has == **c));
            return match missing {
                Some(controller) => Err(BadHierarchy::NotDelegated {
                    controller,
                    path: root.into(),
                }),
                None => Ok(Self::V2(root.to_owned())),
            };
        }
        let file = Path::new("/proc/self/mountinfo");
        let mounts = mountinfo::own().map_err(|e| unreadable(file, e))?;
        Self::from_mounts(mounts, root)
    }

    pub(super) fn from_mounts(mounts: Vec<Mount>, root: &Path) -> Result<Self, BadHierarchy> {
        let mounts = mounts.into_iter().filter_map(|mount| v1_mount(mount, root));
        let mounts: Vec<_> = mounts.collect();
        for controller in REQUIRED {
            if !mounts.iter().any(|mount| mount.has(controller)) {
                return Err(BadHierarchy::Missing {
                    controller,
                    path: root.into(),
                });
            }
        }
        Ok(Self::V1(mounts))
    }

    pub fn version(&self) -> Version {
        match self {
            Self::V1(_) => Version::V1,
            Self::V2(_) => Version::V2,
        }
    }

    /// Whether a list of devices can be set. v2 needs no controller for that, but bpf(2).
    pub fn has_device_lists(&self) -> bool {
        match self {
            Self::V1(mounts) => mounts.iter().any(|mount| mount.has("devices")),
            Self::V2(_) => true,
        }
    }

    pub(super) fn mounts(&self) -> impl Iterator<Item = &Path> {
        let (v1, v2) = match self {
            Self::V1(mounts) => (mounts.as_slice(), None),
            Self::V2(mount) => ([].as_slice(), Some(mount.as_path())),
        };
        v1.iter().map(|mount| mount.path.as_path()).chain(v2)
    }
}

impl ControllerMount {
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|has| has == controller)
    }

    /// Whether every container has a cgroup here.
    pub(super) fn is_always_used(&self) -> bool {
        ALWAYS_V1.iter().any(|controller| self.has(controller))
    }
}

/// When it is one of cgroup v1 below `root` with controllers that we use.
fn v1_mount(mount: Mount, root: &Path) -> Option<ControllerMount> {
    let path = mount.point;
    if mount.fstype != "cgroup" || !path.starts_with(root) {
        return None;
    }
    let wanted = (mount.options)
        .split(',')
        .filter(|option| KNOWN_V1.contains(option));
    let controllers: Vec<String> = wanted.map(str::to_owned).collect();
    (!controllers.is_empty()).then_some(ControllerMount { controllers, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
24 21 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
25 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
26 24 0:24 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
27 24 0:25 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
28 24 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
29 24 0:27 / /elsewhere/pids rw,relatime - cgroup cgroup rw,pids
";

    #[test]
    fn v1_mounts_are_found_by_their_controllers() {
        let mounts = mountinfo::parse(MOUNTS.as_bytes());
        let found = Hierarchy::from_mounts(mounts, Path::new("/sys/fs/cgroup")).expect("found");
        let Hierarchy::V1(mounts) = found else {
            panic!("expected v1, got {found:?}")
        };
        let paths: Vec<_> = mounts
            .iter()
            .map(|m| m.path.to_str().expect("utf-8"))
            .collect();
        assert_eq!(
            paths,
            ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"]
        );
        assert_eq!(mounts[0].controllers, ["cpu", "cpuacct"]);
    }

    #[test]
    fn a_hierarchy_may_lie_where_there_are_blanks() {
        let mounts = MOUNTS.replace("/sys/fs/cgroup", "/mnt/my\\040cgroups");
        let mounts = mountinfo::parse(mounts.as_bytes());
        let found = Hierarchy::from_mounts(mounts, Path::new("/mnt/my cgroups")).expect("found");
        let paths: Vec<_> = found.mounts().collect();
        let wanted = ["/mnt/my cgroups/cpu,cpuacct", "/mnt/my cgroups/memory"];
        assert_eq!(paths, wanted.map(Path::new));
    }

    #[test]
    fn a_missing_controller_is_named_with_the_remedy() {
        let error = Hierarchy::from_mounts(vec![], Path::new("/cg")).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "no cgroup v1 controller cpu is mounted below /cg: mount it, boot with cgroup v2, or \
             point --cgroups_hierarchy to the right place"
        );
    }
}
