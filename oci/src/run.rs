//! `run`: create, start, and wait for the end.

use std::process::ExitCode;

use containerizer::ExitStatus;
use containerizer::hooks::Kind;

use crate::caller;
use crate::console;
use crate::create::{Created, Order, Waits};
use crate::error::Error;
use crate::flags::Run;
use crate::log::Log;
use crate::state::State;
use crate::status::Status;
use crate::store::Store;
use crate::{delete, hooks, start};

pub fn run(store: &Store, flags: &Run, log: &Log) -> Result<ExitCode, Error> {
    let order = Order::read(store, &flags.create, log)?;
    let socket = flags.create.console_socket.as_deref();
    let terminal = order.wants_terminal();
    if terminal && flags.detach && socket.is_none() {
        return Err(Error::NoConsoleSocket);
    }
    if socket.is_some() && !(terminal && flags.detach) {
        return Err(Error::NeedlessConsoleSocket);
    }
    let console = socket.map(console::connect).transpose()?;
    let spec = order.spec.clone();
    let created = order.create(caller::stdio()?, console, Waits::Never)?;
    if let Err(error) = begin(store, &created, &spec) {
        delete::end(&created.stored);
        created.child.wait();
        delete::remove(&created.entry, &created.stored, log)?;
        return Err(error);
    }
    if flags.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let status = created.child.wait();
    if !flags.keep {
        delete::remove(&created.entry, &created.stored, log)?;
    }
    Ok(as_ours(status))
}

fn begin(store: &Store, created: &Created, spec: &oci_spec::runtime::Spec) -> Result<(), Error> {
    let Created { entry, stored, .. } = created;
    if entry.gate().exists() {
        return start::start(store, entry.id.as_str());
    }
    let state = State::as_told(entry, stored, Status::Running.name()).to_json()?;
    hooks::run(spec, Kind::Poststart, &state)
}

/// As shells tell of a signal: 128 and its number.
pub fn as_ours(status: Option<ExitStatus>) -> ExitCode {
    match status {
        Some(ExitStatus::Exited(code)) => ExitCode::from(code as u8),
        Some(ExitStatus::Signaled(signal)) => ExitCode::from((128 + signal) as u8),
        None => ExitCode::FAILURE,
    }
}
