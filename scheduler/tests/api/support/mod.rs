//! A scheduler under test, and a master that speaks the v1 scheduler API and runs every task it
//! is given, in memory.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod client;
mod master;

pub use client::Client;
pub use master::FakeMaster;

use std::path::Path;

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    flags: scheduler::Flags,
}

/// Starts a scheduler with its store in `directory`.
pub async fn start(master: &FakeMaster, directory: &Path) -> (scheduler::Handle, Client) {
    let work_dir = format!("--work_dir={}", directory.display());
    let master = format!("--master={}", master.address());
    let cli = Cli::parse_from(["scheduler", "--http_port=0", &work_dir, &master]);
    let handle = scheduler::start(cli.flags).await.unwrap();
    let client = Client::new(handle.address());
    (handle, client)
}
