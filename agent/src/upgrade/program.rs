//! The program that this process was started from, as it can be started again: by the same path, where
//! another may lie by now.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("cannot tell which program this is: is /proc mounted?")]
    Unknown(#[source] io::Error),
}

impl Program {
    /// To be asked early: while the working directory and the file are those of the start.
    pub fn of_this_process() -> Result<Program, ProgramError> {
        let mut words = std::env::args_os();
        let name = words.next().unwrap_or_default();
        let running = std::env::current_exe().map_err(ProgramError::Unknown)?;
        let search = std::env::var_os("PATH").unwrap_or_default();
        let mut named = candidates(&name, &search);
        let same = |path: &PathBuf| is_same(path, &running);
        // Not behind links: one of them may be what an upgrade changes.
        let path = named.find(same).unwrap_or(running);
        Ok(Program {
            path: std::path::absolute(&path).unwrap_or(path),
            arguments: words.collect(),
        })
    }
}

/// Where a program that was started by `name` may lie.
fn candidates<'a>(name: &'a OsStr, search: &'a OsStr) -> impl Iterator<Item = PathBuf> + 'a {
    let is_path = name.as_encoded_bytes().contains(&b'/');
    let itself = is_path.then(|| PathBuf::from(name));
    let found = (!is_path).then(|| std::env::split_paths(search).map(move |it| it.join(name)));
    itself.into_iter().chain(found.into_iter().flatten())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    id(one).is_some_and(|it| Some(it) == id(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_not() {
        let all = |name: &str| {
            let search = OsStr::new("/usr/bin:/opt/bin");
            candidates(OsStr::new(name), search).collect::<Vec<_>>()
        };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            all("longshore"),
            paths(&["/usr/bin/longshore", "/opt/bin/longshore"])
        );
        assert_eq!(all("./longshore"), paths(&["./longshore"]));
        assert_eq!(all("/opt/l/longshore"), paths(&["/opt/l/longshore"]));
    }

    #[test]
    fn this_program_is_found_as_it_was_started() {
        let program = Program::of_this_process().unwrap();
        assert!(program.path.is_absolute());
        assert!(is_same(&program.path, &std::env::current_exe().unwrap()));
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        assert_eq!(program.arguments, arguments);
    }
}
