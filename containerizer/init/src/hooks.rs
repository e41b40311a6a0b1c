//! Hooks that run in the container.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use init::hook::{self, Files};
use init::{Hook, Stage};

use crate::failure::{Failure, because};
use crate::sys;

/// With all that they need from the kernel before they are born.
pub struct Hooks {
    kind: String,
    prepared: Vec<(Hook, Files)>,
}

/// `state`: of the container, as they are told.
pub fn prepare(kind: &str, hooks: Vec<Hook>, state: &str) -> Result<Hooks, Failure> {
    let prepared = hooks.into_iter().map(|hook| Ok((hook, files(state)?)));
    let prepared = prepared.collect::<io::Result<_>>();
    Ok(Hooks {
        kind: kind.to_owned(),
        prepared: prepared.map_err(because(format!("prepare a {kind} hook")))?,
    })
}

impl Hooks {
    /// In their order, until one fails.
    pub fn run(self) -> Result<(), Failure> {
        let Self { kind, prepared } = self;
        for (number, (hook, files)) in prepared.into_iter().enumerate() {
            hook::run(&hook, files).map_err(|how| Failure {
                attempt: format!("error running {kind} hook #{number}: {how}"),
                errno: 0,
                stage: Stage::Hook {},
            })?;
        }
        Ok(())
    }
}

fn files(state: &str) -> io::Result<Files> {
    let mut file = File::from(sys::memory_file()?);
    file.write_all(state.as_bytes())?;
    file.rewind()?;
    Ok(Files {
        state: file,
        output: sys::memory_file()?.into(),
    })
}
