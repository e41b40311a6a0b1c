//! Sandboxes: the directory of one run and the two files its output goes to.
//!
//! Everything here blocks; callers are on a thread that may.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checkpoint;
use crate::paths::{Paths, Run};

/// Numeric user and group.
pub type Owner = (u32, u32);

#[derive(Debug)]
pub struct Sandbox {
    pub path: PathBuf,
    pub stdout: File,
    pub stderr: File,
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("cannot create {} in the sandbox's place", .path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot give {} to uid {uid}, gid {gid}", .path.display())]
    Chown {
        path: PathBuf,
        uid: u32,
        gid: u32,
        source: io::Error,
    },
    #[error("cannot point the \"latest\" link at the new sandbox")]
    Link(#[source] checkpoint::CheckpointError),
}

/// Makes the sandbox of `run`, which nobody else can have made: its container id is new.
pub fn create(paths: &Paths, run: &Run, owner: Option<Owner>) -> Result<Sandbox, SandboxError> {
    let path = paths.sandbox(run);
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| SandboxError::Create { path, source }
    };
    let runs = paths.runs(run);
    fs::create_dir_all(&runs).map_err(fail(&runs))?;
    DirBuilder::new()
        .mode(0o750)
        .create(&path)
        .map_err(fail(&path))?;
    // The umask may have taken bits away.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).map_err(fail(&path))?;
    let stdout = create_log(&path.join("stdout"), owner)?;
    let stderr = create_log(&path.join("stderr"), owner)?;
    // Last, so that the user cannot interfere with what was made before.
    let directory = File::open(&path).map_err(fail(&path))?;
    give(&directory, &path, owner)?;
    checkpoint::relink(&paths.latest_sandbox(run), Path::new(&run.container))
        .map_err(SandboxError::Link)?;
    Ok(Sandbox {
        path,
        stdout,
        stderr,
    })
}

/// Makes directories below a sandbox before anything of the task's runs there.
pub fn create_directories(
    sandbox: &Path,
    directories: &[PathBuf],
    owner: Option<Owner>,
) -> Result<(), SandboxError> {
    for relative in directories {
        let mut path = sandbox.to_owned();
        for component in relative.components() {
            path.push(component);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                outcome => {
                    outcome.map_err(|source| SandboxError::Create {
                        path: path.clone(),
                        source,
                    })?;
                }
            }
            let directory = File::open(&path).map_err(|source| SandboxError::Create {
                path: path.clone(),
                source,
            })?;
            give(&directory, &path, owner)?;
        }
    }
    Ok(())
}

/// Makes a sandbox as young as it can be. One that has gone needs no age.
pub fn touch(sandbox: &Path) {
    let touched = File::open(sandbox).and_then(|dir| dir.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(sandbox = %sandbox.display(), %error, "cannot touch a sandbox");
    }
}

fn create_log(path: &Path, owner: Option<Owner>) -> Result<File, SandboxError> {
    let fail = |source| SandboxError::Create {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(fail)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .map_err(fail)?;
    give(&file, path, owner)?;
    Ok(file)
}

fn give(file: &File, path: &Path, owner: Option<Owner>) -> Result<(), SandboxError> {
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    fchown(file, Some(uid), Some(gid)).map_err(|source| SandboxError::Chown {
        path: path.to_owned(),
        uid,
        gid,
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn run(container: &str) -> Run {
        Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "T".into(),
            container: container.into(),
        }
    }

    #[test]
    fn a_sandbox_is_private_and_its_logs_are_readable() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let sandbox = create(&paths, &run("C1"), None).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&sandbox.path), 0o750);
        assert_eq!(mode(&sandbox.path.join("stdout")), 0o644);
        writeln!(&sandbox.stderr, "one").unwrap();
        assert_eq!(fs::read(sandbox.path.join("stderr")).unwrap(), b"one\n");
    }

    #[test]
    fn latest_follows_the_newest_run_and_no_run_is_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        create(&paths, &run("C1"), None).unwrap();
        create(&paths, &run("C2"), None).unwrap();
        let latest = fs::read_link(paths.latest_sandbox(&run("C2"))).unwrap();
        assert_eq!(latest, Path::new("C2"));
        assert!(matches!(
            create(&paths, &run("C2"), None),
            Err(SandboxError::Create { .. })
        ));
    }
}
