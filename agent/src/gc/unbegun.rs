//! A sandbox that was made for a task which nothing was begun of: its agent has died before it had written the
//! task down. Nobody knows of the task, and nobody has a reason to look here.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::paths::{Paths, Run};

/// Whether there is a sandbox without a checkpoint, where all tasks have one, and nothing was ever written in
/// it. One whose checkpoint was lost is kept for as long as any: what it holds may be wanted. Blocks.
pub fn is_unbegun(paths: &Paths, run: &Run) -> bool {
    let checkpoints = paths.framework_info(&run.agent, &run.framework).exists();
    // The first is that of an earlier run, too.
    let is_written = paths.executor_info(run).exists() && paths.meta_run(run).exists();
    checkpoints && !is_written && is_untouched(paths.sandbox(run)).unwrap_or(false)
}

/// Nothing but directories and files without content. Links are not followed.
fn is_untouched(directory: PathBuf) -> io::Result<bool> {
    let mut directories = vec![directory];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if !metadata.is_file() || metadata.len() > 0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_unbegun_when_nothing_was_written_down_or_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let run = Run {
            agent: "S".into(),
            framework: "F".into(),
            executor: "E".into(),
            container: "C".into(),
        };
        let sandbox = paths.sandbox(&run);
        fs::create_dir_all(sandbox.join("volume/within")).unwrap();
        fs::write(sandbox.join("stdout"), "").unwrap();
        assert!(
            !is_unbegun(&paths, &run),
            "its framework does not checkpoint"
        );
        let framework = paths.framework_info("S", "F");
        fs::create_dir_all(framework.parent().unwrap()).unwrap();
        fs::write(framework, "").unwrap();
        assert!(is_unbegun(&paths, &run));

        fs::create_dir_all(paths.meta_runs(&run)).unwrap();
        fs::write(paths.executor_info(&run), "").unwrap();
        assert!(is_unbegun(&paths, &run), "that may be of an earlier run");
        fs::create_dir_all(paths.meta_run(&run)).unwrap();
        assert!(!is_unbegun(&paths, &run), "it is written down");
        fs::remove_file(paths.executor_info(&run)).unwrap();
        assert!(is_unbegun(&paths, &run));

        for (name, content) in [("stdout", "said"), ("volume/within/file", "kept")] {
            fs::write(sandbox.join(name), content).unwrap();
            assert!(!is_unbegun(&paths, &run), "{name}");
            fs::write(sandbox.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("/", sandbox.join("link")).unwrap();
        assert!(!is_unbegun(&paths, &run), "a link");
    }
}
