//! What this process was told to do at its points.

use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pause};

use crate::{DIE_AT, OF_SUCCESSOR, Point, REACHED, SUCCESSOR_DIES_AT};

/// Where to die, and how often the point is passed before that.
struct Death {
    at: Point,
    passes: AtomicUsize,
}

static DEATH: OnceLock<Option<Death>> = OnceLock::new();
static TRACE: OnceLock<Option<File>> = OnceLock::new();

pub fn reach(point: Point, part: impl FnOnce()) {
    if let Some(mut trace) = TRACE.get_or_init(trace).as_ref() {
        // One write, so that lines of several threads do not mix. A test misses what is not there.
        let _ = trace.write_all(format!("{}\n", point.name()).as_bytes());
    }
    let Some(death) = DEATH.get_or_init(death) else {
        return;
    };
    if death.at != point {
        return;
    }
    // Whoever comes later than the one that dies goes on for as long as the kernel lets it.
    if death.passes.fetch_sub(1, Ordering::Relaxed) == 1 {
        part();
        let _ = kill(Pid::this(), Signal::SIGKILL);
        loop {
            pause();
        }
    }
}

pub fn hand_on(command: &mut Command) {
    match std::env::var_os(SUCCESSOR_DIES_AT) {
        Some(death) => command.env(DIE_AT, death),
        None => command.env_remove(DIE_AT),
    };
    command.env_remove(SUCCESSOR_DIES_AT);
    if let Some(mut file) = std::env::var_os(REACHED) {
        file.push(OF_SUCCESSOR);
        command.env(REACHED, file);
    }
}

fn trace() -> Option<File> {
    let path = std::env::var_os(REACHED)?;
    File::options().create(true).append(true).open(path).ok()
}

/// A name that is none would be a test that tests nothing.
#[expect(clippy::panic, reason = "only a test can have set it")]
fn death() -> Option<Death> {
    let asked = std::env::var(DIE_AT).ok()?;
    let (name, times) = asked.split_once(':').unwrap_or((&asked, "1"));
    match (Point::named(name), times.parse()) {
        (Some(at), Ok(times)) => Some(Death {
            at,
            passes: AtomicUsize::new(times),
        }),
        _ => panic!("{DIE_AT}={asked} names no fail point"),
    }
}
