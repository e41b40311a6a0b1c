//! What is damaged is set aside, for somebody to look at: renamed, never removed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{CheckpointError, failed};

/// Between a file's name and a number.
pub const SUFFIX: &str = ".damaged-";

/// Of as many, none is free: something else is wrong then.
const MOST: u32 = 10_000;

/// Renames `file`, whatever it is, to `<its name>.damaged-<n>` beside it, which it returns.
pub fn set_aside(file: &Path) -> Result<PathBuf, CheckpointError> {
    as_first_free(file, |name| {
        let no_replace = RenameFlags::RENAME_NOREPLACE;
        match renameat2(AT_FDCWD, file, AT_FDCWD, name, no_replace) {
            // A file system that cannot do that; nobody else names files here.
            Err(Errno::EINVAL) if fs::symlink_metadata(name).is_err() => fs::rename(file, name),
            renamed => renamed.map_err(io::Error::from),
        }
    })
}

/// The same where `file` itself stays, until something good is put in its place.
pub(super) fn keep_copy(file: &Path) -> Result<PathBuf, CheckpointError> {
    as_first_free(file, |name| fs::hard_link(file, name))
}

/// What `file` was set aside as by an earlier start.
pub fn was_set_aside(file: &Path) -> Option<PathBuf> {
    let mut prefix = file.file_name()?.to_owned();
    prefix.push(SUFFIX);
    let entries = fs::read_dir(file.parent()?).ok()?;
    let names = entries.flatten().map(|entry| entry.path());
    names
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            let name = name.as_encoded_bytes();
            name.starts_with(prefix.as_encoded_bytes())
        })
        .max()
}

fn as_first_free(
    file: &Path,
    give: impl Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, CheckpointError> {
    let fail = failed("set aside", file);
    for n in 0..MOST {
        let mut name = OsString::from(file);
        name.push(format!("{SUFFIX}{n}"));
        let name = PathBuf::from(name);
        match give(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            given => return given.map(|()| name).map_err(fail),
        }
    }
    Err(fail(io::ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_is_set_aside_keeps_its_name_and_gets_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("task.info");
        assert_eq!(was_set_aside(&file), None);
        for (n, content) in ["one", "two"].into_iter().enumerate() {
            fs::write(&file, content).unwrap();
            let aside = set_aside(&file).unwrap();
            assert_eq!(aside, dir.path().join(format!("task.info.damaged-{n}")));
            assert_eq!(fs::read_to_string(&aside).unwrap(), content);
            assert!(!file.exists());
        }
        assert_eq!(
            was_set_aside(&file),
            Some(dir.path().join("task.info.damaged-1"))
        );
        fs::create_dir(&file).unwrap();
        assert!(set_aside(&file).unwrap().is_dir());
        assert!(set_aside(&file).is_err());
    }
}
