//! Logs of all crates, on stderr.

use tracing_subscriber::EnvFilter;

/// `RUST_LOG`, or else `quietly`, decides what is shown.
pub fn to_stderr(quietly: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(quietly));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// For programs that run for long.
pub const USUAL: &str = "info";
/// For a terminal that shows the output of tasks.
pub const QUIET: &str = "error";
