//! What a sandbox's log tells of a launch.

use std::fs::File;
use std::io::Write as _;

use isolators::ContainerId;

/// A line in the sandbox's log, which is held open since before the task could replace it.
pub fn say(mut log: &File, line: &str) {
    if let Err(error) = writeln!(log, "{line}") {
        tracing::warn!(%error, "cannot write to a sandbox's stderr");
    }
}

/// Wishes that are not met.
pub fn tell(container: &ContainerId, notes: &[String], log: &File) {
    for note in notes {
        tracing::info!(%container, note, "a wish of a task is not met");
        say(log, &format!("Note: {note}"));
    }
}
