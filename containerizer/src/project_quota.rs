//! Project quotas: a file system that counts what is below a directory as it is written, and refuses what
//! is too much. ext4 mounted with `prjquota`, XFS with `pquota` or `prjquota`.
//!
//! A project is a number that inodes carry and that what is made in a directory inherits. Root with
//! CAP_SYS_RESOURCE writes beyond a limit of ext4. Source: quotactl(2), ioctl_xfs_fsgetxattr(2).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::stat::{SFlag, fstat};

use crate::sys;
use crate::sys::QUOTA_BLOCK;
pub use crate::sys::{ProjectUse, project_of, stop_inheriting_project};

/// A file system that counts by project.
#[derive(Debug, Clone)]
pub struct ProjectQuota {
    path: PathBuf,
    enforces: bool,
}

/// What a project may use; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProjectLimit {
    /// Held to in whole kilobytes, rounded up.
    pub bytes: Option<u64>,
    /// Files, directories and links.
    pub inodes: Option<u64>,
}

impl ProjectLimit {
    pub fn is_that_of(&self, used: &ProjectUse) -> bool {
        (used.limit, used.inode_limit) == (self.rounded(), self.files())
    }

    /// As it is read again. Nothing at all would be no limit.
    fn rounded(&self) -> u64 {
        let blocks = |bytes: u64| bytes.div_ceil(QUOTA_BLOCK).max(1);
        self.bytes.map_or(0, |bytes| blocks(bytes) * QUOTA_BLOCK)
    }

    fn files(&self) -> u64 {
        self.inodes.map_or(0, |inodes| inodes.max(1))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    #[error("cannot open {}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot make a file below {} count for project {project}", .path.display())]
    Assign {
        path: PathBuf,
        project: u32,
        source: io::Error,
    },
    #[error("cannot limit project {project} of the file system at {}", .path.display())]
    Limit {
        path: PathBuf,
        project: u32,
        source: io::Error,
    },
    #[error("cannot read what project {project} uses of the file system at {}", .path.display())]
    Read {
        path: PathBuf,
        project: u32,
        source: io::Error,
    },
}

impl ProjectQuota {
    /// Of the file system that `path`, a directory, is on; `None` where it does not count by project, or
    /// the kernel cannot be asked (before Linux 5.14).
    pub fn at(path: &Path) -> Result<Option<ProjectQuota>, QuotaError> {
        let directory = open(path)?;
        // ext4 may count although its inodes have no room for a project.
        let has_projects = project_of(directory.as_fd()).is_ok();
        let counting = sys::project_counting(directory.as_fd()).ok();
        let counting = counting.filter(|counting| counting.counts && has_projects);
        Ok(counting.map(|counting| ProjectQuota {
            path: path.to_owned(),
            enforces: counting.enforces,
        }))
    }

    /// Whether limits are held to, and not only noted.
    pub fn enforces(&self) -> bool {
        self.enforces
    }

    /// What is made in `file`, if that is a directory, counts for `project`, too.
    pub fn assign(&self, file: BorrowedFd<'_>, project: u32) -> Result<(), QuotaError> {
        let kind = fstat(file).map(|stat| stat.st_mode & SFlag::S_IFMT.bits());
        let is_directory = kind == Ok(SFlag::S_IFDIR.bits());
        let set = sys::set_project(file, project, is_directory);
        set.map_err(|source| QuotaError::Assign {
            path: self.path.clone(),
            project,
            source,
        })
    }

    pub fn limit(&self, project: u32, limit: ProjectLimit) -> Result<(), QuotaError> {
        let (blocks, inodes) = (limit.rounded() / QUOTA_BLOCK, limit.files());
        let set = sys::set_project_limit(open(&self.path)?.as_fd(), project, blocks, inodes);
        set.map_err(|source| QuotaError::Limit {
            path: self.path.clone(),
            project,
            source,
        })
    }

    /// Takes as long for a large tree as for a small one.
    pub fn read(&self, project: u32) -> Result<ProjectUse, QuotaError> {
        match sys::project_use(open(&self.path)?.as_fd(), project) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ProjectUse {
                project,
                ..ProjectUse::default()
            }),
            used => used.map_err(|source| self.unread(project, source)),
        }
    }

    /// All projects from `first` to `last` that use something or have a limit.
    pub fn in_use(&self, first: u32, last: u32) -> Result<Vec<ProjectUse>, QuotaError> {
        let directory = open(&self.path)?;
        let mut found = Vec::new();
        let mut next = Some(first);
        while let Some(from) = next.filter(|from| *from <= last) {
            let used = match sys::next_project_use(directory.as_fd(), from) {
                // XFS says so at the end of its list, ext4 likewise.
                Err(error) if is_end(&error) => break,
                used => used.map_err(|source| self.unread(from, source))?,
            };
            if used.project > last {
                break;
            }
            next = used.project.checked_add(1);
            let nothing = ProjectUse {
                project: used.project,
                ..ProjectUse::default()
            };
            if used != nothing {
                found.push(used);
            }
        }
        Ok(found)
    }

    fn unread(&self, project: u32, source: io::Error) -> QuotaError {
        QuotaError::Read {
            path: self.path.clone(),
            project,
            source,
        }
    }
}

/// For one question: held for longer, it would keep the file system from being unmounted.
fn open(path: &Path) -> Result<File, QuotaError> {
    let mut options = File::options();
    let flags = nix::libc::O_DIRECTORY | nix::libc::O_CLOEXEC;
    let directory = options.read(true).custom_flags(flags).open(path);
    directory.map_err(|source| QuotaError::Open {
        path: path.to_owned(),
        source,
    })
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::ENOENT | nix::libc::ESRCH)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_counts_nothing_has_no_quota() {
        assert!(ProjectQuota::at(Path::new("/proc")).unwrap().is_none());
        let error = ProjectQuota::at(Path::new("/no/such")).unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
}
