//! `run`: create, start, and wait for the end.

use std::process::ExitCode;

use containerizer::hooks::Kind;
use containerizer::{ExitStatus, Lines};

use crate::attend::{self, Signals};
use crate::create::{Created, Order, Waits};
use crate::error::{Error, chain};
use crate::flags::Run;
use crate::log::Log;
use crate::state::State;
use crate::status::Status;
use crate::store::Store;
use crate::terminal::{self, Terminal};
use crate::{caller, console, delete, hooks, start};

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
    let (console, ours) = match socket {
        Some(path) => (Some((console::connect(path)?, Lines::Terminal)), None),
        None if terminal => {
            terminal::socket().map(|(ours, its)| (Some((its, Lines::Plain)), Some(ours)))?
        }
        None => (None, None),
    };
    let signals = (!flags.detach).then(Signals::take).transpose()?;
    let spec = order.spec.clone();
    let created = order.create(caller::stdio()?, console, Waits::Never)?;
    if let Err(error) = begin(store, &created, &spec) {
        delete::end(&created.stored);
        created.child.wait();
        if let Err(error) = delete::remove(&created.entry, &created.stored, log) {
            // Beside what went wrong first, not instead of it.
            log.warning(&chain(&error));
        }
        return Err(error);
    }
    let Some(signals) = signals else {
        return Ok(ExitCode::SUCCESS);
    };
    let terminal = ours.as_ref().map(Terminal::receive).transpose()?;
    let status = attend::until_end(&created.child, &signals, terminal.as_ref())?;
    drop(terminal);
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
