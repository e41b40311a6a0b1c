//! `longshore oci`: the launcher behind the words of an OCI runtime.
//!
//! Engines and test suites speak to runtimes in the words of runc: verbs, flags, output, messages and
//! exit statuses. They are facts here, and every verb does what the launcher can do for it. Source: OCI
//! runtime spec, runtime.md, and runc(8) with its pages.
//!
//! Each call is a process of its own that does one thing and ends: there is no async runtime here, and
//! what one call must tell a later one is in the store.
#![forbid(unsafe_code)]

mod attend;
mod caller;
mod config;
mod console;
mod create;
mod default_spec;
mod delete;
mod error;
mod events;
mod exec;
mod features;
mod flags;
mod hooks;
mod id;
mod kill;
mod list;
mod log;
mod pause;
mod place;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod ps;
mod run;
mod seccomp_agent;
mod signals;
mod start;
mod state;
mod status;
mod steps;
mod store;
mod terminal;
mod update;
mod usage;
mod version;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use error::Error;
use flags::{Line, Verb};
use log::Log;
use store::Store;
use usage::Shown;

/// The exit status of a verb that failed.
const FAILURE: u8 = 1;
/// Of exec, whose other statuses are those of its process.
const EXEC_FAILURE: u8 = 255;

/// Runs one verb. `arguments` begin with the name of the program, as it shall be shown.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match usage::parse(arguments) {
        Ok(line) => line,
        // Nobody is left to be told that this cannot be written.
        Err(Shown::Help(text)) => {
            let _ = write!(io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Shown::Refusal(text)) => {
            let _ = write!(io::stderr(), "{text}");
            return ExitCode::from(FAILURE);
        }
    };
    let log = match Log::open(&line.global) {
        Ok(log) => log,
        Err(error) => {
            Log::stderr().failure("", &error);
            return ExitCode::from(FAILURE);
        }
    };
    let store = Store::at(line.global.root.as_deref());
    let followed = steps::follow(&log, line.global.debug);
    let (done, failure) = match followed {
        Ok(()) => dispatch(&store, &line, &log),
        Err(error) => (Err(error), FAILURE),
    };
    done.unwrap_or_else(|error| {
        log.failure(failed(&line.verb), &error);
        ExitCode::from(failure)
    })
}

/// What engines look for at the beginning of a failure.
fn failed(verb: &Verb) -> &'static str {
    match verb {
        Verb::Run(_) => "runc run failed: ",
        Verb::Create(_) => "runc create failed: ",
        Verb::Exec(_) => "exec failed: ",
        _ => "",
    }
}

/// With the exit status that a failure of this verb has.
fn dispatch(store: &Store, line: &Line, log: &Log) -> (Result<ExitCode, Error>, u8) {
    let success = |done: Result<(), Error>| (done.map(|()| ExitCode::SUCCESS), FAILURE);
    if line.global.systemd_cgroup {
        return (Err(Error::SystemdCgroup), FAILURE);
    }
    match &line.verb {
        Verb::Spec(flags) => success(default_spec::write(flags)),
        Verb::Create(flags) => success(create::create(store, flags, log)),
        Verb::Start(flags) => success(start::start(store, &flags.id)),
        Verb::Exec(flags) => (exec::exec(store, flags, log), EXEC_FAILURE),
        Verb::Run(flags) => (run::run(store, flags, log), FAILURE),
        Verb::State(flags) => success(state::print(store, &flags.id)),
        Verb::Kill(flags) => success(kill::kill(store, flags)),
        Verb::Delete(flags) => success(delete::delete(store, flags, log)),
        Verb::List(flags) => success(list::print(store, flags)),
        Verb::Ps(flags) => success(ps::print(store, flags)),
        Verb::Pause(flags) => success(pause::pause(store, &flags.id)),
        Verb::Resume(flags) => success(pause::resume(store, &flags.id)),
        Verb::Update(flags) => success(update::update(store, flags)),
        Verb::Events(flags) => success(events::events(store, flags)),
        Verb::Features => success(features::print()),
        Verb::Checkpoint(_) => (Err(Error::Unsupported("checkpoint")), FAILURE),
        Verb::Restore(_) => (Err(Error::Unsupported("restore")), FAILURE),
    }
}
