use std::process::ExitCode;

use crate::terminal;

pub fn run() -> ExitCode {
    terminal::out(&format!(
        "longshore {} (Mesos API {}, Marathon API 1.10.0)",
        env!("CARGO_PKG_VERSION"),
        proto::MESOS_VERSION
    ));
    ExitCode::SUCCESS
}
