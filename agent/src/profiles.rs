//! The seccomp profile of tasks that ask for none: what an operator has said with flags, or ours.

use std::io;
use std::path::PathBuf;

use isolators::seccomp::{LoadError, Profile};

use crate::flags::Flags;

#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    #[error(
        "--seccomp_profile_name {0:?} names a file in a directory: say with --seccomp_config_dir in which"
    )]
    NoDirectory(String),
    #[error("bad --seccomp_config_dir {}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    #[error("bad --seccomp_profile_name {name:?}")]
    Profile { name: String, source: LoadError },
}

/// Read once, at the start, so that a fault in it is found before any task.
pub fn of_tasks(flags: &Flags) -> Result<Profile, ProfilesError> {
    if let Some(directory) = &flags.seccomp_config_dir {
        std::fs::read_dir(directory)
            .map_err(|error| ProfilesError::Directory(directory.clone(), error))?;
    }
    match (&flags.seccomp_config_dir, &flags.seccomp_profile_name) {
        (_, None) => Ok(Profile::builtin()),
        (None, Some(name)) => Err(ProfilesError::NoDirectory(name.clone())),
        (Some(directory), Some(name)) => {
            Profile::load(directory, name).map_err(|source| ProfilesError::Profile {
                name: name.clone(),
                source,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::error::chain;

    use super::*;
    use crate::flags::tests::parse;

    #[test]
    fn a_profile_by_name_is_read_from_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let text = r#"{"defaultAction": "SCMP_ACT_LOG"}"#;
        std::fs::write(directory.path().join("log.json"), text).unwrap();
        let in_directory = format!("--seccomp_config_dir={}", directory.path().display());
        let flags = parse(&[&in_directory, "--seccomp_profile_name=log.json"]);
        assert_eq!(of_tasks(&flags).unwrap().rules, []);
        assert_eq!(
            of_tasks(&parse(&[&in_directory])).unwrap(),
            Profile::builtin()
        );
        assert_eq!(of_tasks(&parse(&[])).unwrap(), Profile::builtin());
    }

    #[test]
    fn a_profile_that_cannot_be_had_is_told_by_its_flag() {
        let table: [(&[&str], &str); 3] = [
            (
                &["--seccomp_profile_name=x"],
                "--seccomp_profile_name \"x\" names a file in a directory: say with \
                 --seccomp_config_dir in which",
            ),
            (
                &["--seccomp_config_dir=/no/such"],
                "bad --seccomp_config_dir /no/such: No such file or directory (os error 2)",
            ),
            (
                &["--seccomp_config_dir=/", "--seccomp_profile_name=../x"],
                "bad --seccomp_profile_name \"../x\": bad name \"../x\" of a seccomp profile: it \
                 must be that of a file below the directory of profiles, without '..'",
            ),
        ];
        for (flags, wanted) in table {
            let error = of_tasks(&parse(flags)).unwrap_err();
            assert_eq!(chain(&error), wanted);
        }
    }
}
