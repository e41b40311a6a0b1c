//! Fail points: places at which the agent may die, each with a name, so that tests can let it die there.
//!
//! A point lies after a step whose half-done work the next agent has to cope with: before and after each
//! write that recovery reads, and between system calls of one group. The table in `points` is all of them.
//! In a process that was started with `LONGSHORE_DIE_AT=<name>` or `<name>:<n>` the first or `n`th that
//! comes to the point ends the process as `kill -9` does: nothing is dropped, flushed or told. With
//! `LONGSHORE_POINTS=<file>` each point that is reached leaves its name there, as one line.
//!
//! Invariant: only builds with debug assertions have any of it. In others a point is no code at all, and
//! nobody can arm one.
#![forbid(unsafe_code)]

#[cfg(debug_assertions)]
mod armed;
mod points;

pub use points::{ALL, Point};

/// `<name>` or `<name>:<n>` of the point to die at.
pub const DIE_AT: &str = "LONGSHORE_DIE_AT";

/// The file that takes the name of each point that is reached.
pub const REACHED: &str = "LONGSHORE_POINTS";

/// The same of the process that replaces this one in an upgrade, which has a file of its own, too.
pub const SUCCESSOR_DIES_AT: &str = "LONGSHORE_SUCCESSOR_DIES_AT";

/// What the name of the file of a process is followed by in that of its successor.
pub const OF_SUCCESSOR: &str = ".successor";

/// Tells a process that is to replace this one what it is to do at its points.
#[inline]
pub fn hand_on(command: &mut std::process::Command) {
    #[cfg(debug_assertions)]
    armed::hand_on(command);
    #[cfg(not(debug_assertions))]
    let _ = command;
}

/// The process has come to `point`, and may end here.
#[inline]
pub fn reach(point: Point) {
    reach_leaving(point, || ());
}

/// The same where the step is one that can itself be cut: `part` does a part of it, when the process is
/// about to die.
#[inline]
pub fn reach_leaving(point: Point, part: impl FnOnce()) {
    #[cfg(debug_assertions)]
    armed::reach(point, part);
    #[cfg(not(debug_assertions))]
    let _ = (point, part);
}
