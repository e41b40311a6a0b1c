//! Profiles that an operator keeps as files in one directory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use super::parse::BadProfile;
use super::profile::Profile;

/// Docker's own is 20 KB.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "bad name {0:?} of a seccomp profile: it must be that of a file below the directory of \
         profiles, without '..'"
    )]
    Name(String),
    #[error("cannot read seccomp profile {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("seccomp profile {} is no file of at most 1 MB", .0.display())]
    NoFile(PathBuf),
    #[error("bad seccomp profile {}", .0.display())]
    Bad(PathBuf, #[source] BadProfile),
}

impl Profile {
    /// Reads `name`, a path below `directory`. Links there are the operator's own.
    pub fn load(directory: &Path, name: &str) -> Result<Profile, LoadError> {
        let is_below = |part| matches!(part, Component::Normal(_));
        if name.is_empty() || name.contains('\0') || !Path::new(name).components().all(is_below) {
            return Err(LoadError::Name(name.to_owned()));
        }
        let path = directory.join(name);
        let failed = |error| LoadError::Read(path.clone(), error);
        // A pipe would keep us waiting for a writer.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(LoadError::NoFile(path));
        }
        let mut text = String::new();
        let file = File::open(&path).map_err(failed)?;
        let read = file.take(LARGEST + 1).read_to_string(&mut text);
        if read.map_err(failed)? as u64 > LARGEST {
            return Err(LoadError::NoFile(path));
        }
        text.parse().map_err(|bad| LoadError::Bad(path, bad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_directory() {
        for name in ["", "/etc/passwd", "../x", "a/../../x", ".", "a\0"] {
            let error = Profile::load(Path::new("/nowhere"), name).expect_err(name);
            assert!(matches!(error, LoadError::Name(_)), "{error}");
        }
    }

    #[test]
    fn a_profile_is_read_from_its_file() {
        let directory = std::env::temp_dir();
        let name = format!("longshore-profile-{}.json", std::process::id());
        let path = directory.join(&name);
        std::fs::write(&path, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).expect("writes");
        let profile = Profile::load(&directory, &name);
        std::fs::write(&path, "{").expect("writes");
        let bad = Profile::load(&directory, &name);
        std::fs::remove_file(&path).expect("removes");
        assert_eq!(profile.expect("a profile").rules, []);
        let bad = bad.expect_err("refused").to_string();
        assert_eq!(bad, format!("bad seccomp profile {}", path.display()));
        let gone = Profile::load(&directory, &name).expect_err("refused");
        assert!(gone.to_string().starts_with("cannot read seccomp profile"));
        let directory = Profile::load(Path::new("/"), "proc").expect_err("refused");
        assert_eq!(
            directory.to_string(),
            "seccomp profile /proc is no file of at most 1 MB"
        );
    }
}
