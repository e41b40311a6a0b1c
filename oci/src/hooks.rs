//! Hooks that run outside of the container.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use containerizer::hooks::{self, Kind};
use init::Hook;
use init::hook::{self, Files};
use nix::sys::memfd::{MFdFlags, memfd_create};
use oci_spec::runtime::Spec;

use crate::error::{Error, call};

/// In their order, until one fails. `state` as JSON.
pub fn run(spec: &Spec, kind: Kind, state: &str) -> Result<(), Error> {
    for (number, hook) in hooks::of(spec, kind).iter().enumerate() {
        run_one(hook, number, kind, state)?;
    }
    Ok(())
}

fn run_one(hook: &Hook, number: usize, kind: Kind, state: &str) -> Result<(), Error> {
    let files = files(state).map_err(call("prepare a hook"))?;
    hook::run(hook, files).map_err(|how| Error::Hook {
        kind: kind.name(),
        number,
        how,
    })
}

/// All of them, whether one fails or not; what failed is returned.
pub fn run_all(spec: &Spec, kind: Kind, state: &str) -> Vec<Error> {
    let hooks = hooks::of(spec, kind);
    let results = hooks
        .iter()
        .enumerate()
        .map(|(number, hook)| run_one(hook, number, kind, state));
    results.filter_map(Result::err).collect()
}

pub fn any(spec: &Spec, kind: Kind) -> bool {
    !hooks::of(spec, kind).is_empty()
}

fn files(state: &str) -> io::Result<Files> {
    let file =
        || -> io::Result<File> { Ok(File::from(memfd_create(c"hook", MFdFlags::MFD_CLOEXEC)?)) };
    let mut told = file()?;
    told.write_all(state.as_bytes())?;
    told.rewind()?;
    Ok(Files {
        state: told,
        output: file()?,
    })
}
