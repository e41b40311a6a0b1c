//! Disks of the agent's own resources that have a root on this host.
//!
//! Source: spec/mesos-agent.md section 3: roots of type PATH are made where missing, those of type
//! MOUNT must be mount points.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use proto::v1;
use proto::v1::resource::disk_info::source::Type;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("cannot make {}, the root of a disk of type PATH in --resources", .root.display())]
    Make { root: PathBuf, source: io::Error },
    #[error("cannot look at {}, the root of a disk of type MOUNT in --resources", .root.display())]
    Look { root: PathBuf, source: io::Error },
    #[error(
        "{}, the root of a disk of type MOUNT in --resources, is no mount point: mount its file system \
         there, or use type PATH",
        .0.display()
    )]
    NotMounted(PathBuf),
}

/// Blocks. A relative root lies in the work directory.
pub fn prepare(resources: &[v1::Resource], work_dir: &Path) -> Result<(), DiskError> {
    let disks = resources.iter().filter_map(|r| r.disk.as_ref());
    for source in disks.filter_map(|disk| disk.source.as_ref()) {
        let (path, mount) = (source.path.as_ref(), source.mount.as_ref());
        match source.r#type() {
            Type::Path => {
                if let Some(root) = path.and_then(|path| path.root.as_ref()) {
                    make(work_dir.join(root))?;
                }
            }
            Type::Mount => {
                if let Some(root) = mount.and_then(|mount| mount.root.as_ref()) {
                    check_mounted(work_dir.join(root))?;
                }
            }
            // Refused where flags are read.
            Type::Unknown | Type::Block | Type::Raw => {}
        }
    }
    Ok(())
}

fn make(root: PathBuf) -> Result<(), DiskError> {
    fs::create_dir_all(&root).map_err(|source| DiskError::Make { root, source })
}

fn check_mounted(root: PathBuf) -> Result<(), DiskError> {
    match is_mount_point(&root) {
        Ok(true) => Ok(()),
        Ok(false) => Err(DiskError::NotMounted(root)),
        Err(source) => Err(DiskError::Look { root, source }),
    }
}

/// By the kernel's list: a bind mount of the same file system shows by nothing else.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let real = path.canonicalize()?;
    if fs::metadata(&real)?.dev() != fs::metadata(real.join(".."))?.dev() {
        return Ok(true);
    }
    let mounts = isolators::mountinfo::own()?;
    Ok(mounts.iter().any(|mount| mount.point == real))
}

#[cfg(test)]
mod tests {
    use proto::resources::Resources;

    use super::*;

    fn disk(kind: &str, field: &str, root: &str) -> Vec<v1::Resource> {
        let text = format!(
            r#"[{{"name": "disk", "type": "SCALAR", "scalar": {{"value": 10}},
                 "disk": {{"source": {{"type": "{kind}", "{field}": {{"root": "{root}"}}}}}}}}]"#
        );
        Resources::parse(&text, "*").unwrap().to_protos()
    }

    #[test]
    fn a_path_is_made_where_it_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        prepare(&disk("PATH", "path", "a/b"), dir.path()).unwrap();
        assert!(dir.path().join("a/b").is_dir());
    }

    #[test]
    fn a_mount_must_be_one() {
        let dir = tempfile::tempdir().unwrap();
        prepare(&disk("MOUNT", "mount", "/proc"), dir.path()).unwrap();
        let not_one = dir.path().to_str().unwrap().to_owned();
        let error = prepare(&disk("MOUNT", "mount", &not_one), dir.path()).unwrap_err();
        assert!(error.to_string().contains("is no mount point"), "{error}");
        let error = prepare(&disk("MOUNT", "mount", "/no/such"), dir.path()).unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
}
