//! Lets the programs die, and looks what becomes of the tasks: at every fail point, at each pair of them, or
//! at random for some minutes.
//!
//! ```text
//!  places ──► where points are
//!  points, pairs ──► trial ──► node    the real agent with real containers
//!                      │  └──► master  a master that does as it is told
//!                      └─────► story   what was heard of a task, and whether that can be true
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod master;
mod node;
mod pairs;
mod places;
mod plugin;
mod points;
mod remains;
mod scenario;
mod story;
mod trial;

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use points::Times;
use tokio::runtime::{Builder, Runtime};

const USAGE: &str = "crash points [NAME…] | crash each [NAME…] | crash pairs [NAME…] | \
                     crash sample NAME…";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match apart().and_then(|runtime| runtime.block_on(run(&words))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All that comes of it is in a network of its own: agents make bridges there, and not on this host.
fn apart() -> anyhow::Result<Runtime> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    let up = std::process::Command::new("busybox")
        .args(["ip", "link", "set", "lo", "up"])
        .status()
        .context("cannot start busybox")?;
    ensure!(up.success(), "busybox cannot bring the loopback up");
    let mut runtime = Builder::new_multi_thread();
    runtime
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

async fn run(words: &[&str]) -> anyhow::Result<bool> {
    let place = node::place();
    for kind in scenario::ALL
        .iter()
        .filter(|kind| !scenario::can_be(**kind, &place))
    {
        println!(
            "left out: {kind:?} tasks, which this kernel cannot run with a sandbox in {}",
            place.display()
        );
    }
    match words {
        ["points", names @ ..] => points::singles(names, Times::First).await,
        ["each", names @ ..] => points::singles(names, Times::Each).await,
        ["sample", names @ ..] if !names.is_empty() => points::sample(names).await,
        ["pairs", names @ ..] => pairs::pairs(names).await,
        _ => bail!("usage: {USAGE}"),
    }
}
