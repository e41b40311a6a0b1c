//! How long each phase of a launch took. The containerizer's own, in their order:
//!
//! ```text
//! plan      request → OCI runtime spec; none for a spec that was ready-made
//! queue     until the launch had its turn, and a thread
//! compile   spec → program for `init`
//! record    a place made to write it down for the next agent
//! cgroup    made, limited, and watched for its out-of-memory events
//! spawn     the descriptors of `init`, and clone3(2) until `init` was there
//! setup     `init` at work, until it was about to exec: mounts, root, limits, user, capabilities
//! exec      until the command had taken its place
//! ```
//!
//! Whoever asks for a launch may put phases of its own in front.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// The phases of one launch, in their order and without a gap: together they are all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings(Vec<(Cow<'static, str>, Duration)>);

/// Measures a launch that goes on, by the monotonic clock.
#[derive(Debug)]
pub struct Stopwatch {
    lap: Instant,
    timings: Timings,
}

impl Timings {
    pub fn phases(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.0.iter().map(|(phase, taken)| (phase.as_ref(), *taken))
    }

    pub fn total(&self) -> Duration {
        self.0.iter().map(|(_, taken)| *taken).sum()
    }

    /// From what `Display` wrote; `None` when that was cut off. The total at the end says that
    /// nothing is missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lines: Option<Vec<_>> = text.strip_suffix('\n')?.lines().map(parse_line).collect();
        let mut lines = lines?;
        let (last, total) = lines.pop()?;
        let timings = Self(lines);
        (last == TOTAL && timings.total() == total).then_some(timings)
    }
}

/// Name of the last line.
const TOTAL: &str = "total";

fn parse_line(line: &str) -> Option<(Cow<'static, str>, Duration)> {
    let (phase, nanoseconds) = line.split_once(' ')?;
    let taken = Duration::from_nanos(nanoseconds.parse().ok()?);
    Some((Cow::Owned(phase.to_owned()), taken))
}

/// One line for each phase, with its nanoseconds, and one for all of them.
impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (phase, taken) in self.phases().chain([(TOTAL, self.total())]) {
            writeln!(f, "{phase} {}", taken.as_nanos())?;
        }
        Ok(())
    }
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            lap: Instant::now(),
            timings: Timings::default(),
        }
    }

    /// Ends a phase, which began when the one before it ended. A name is one word.
    pub fn lap(&mut self, phase: &'static str) {
        let now = Instant::now();
        let taken = now - self.lap;
        self.timings.0.push((Cow::Borrowed(phase), taken));
        self.lap = now;
    }

    /// The same for a phase that ended at a moment of the monotonic clock, in nanoseconds. What is before
    /// the last lap or in the future (the clock of another time namespace) counts as now.
    pub fn lap_at(&mut self, phase: &'static str, nanoseconds: u64) {
        let ago = monotonic_nanoseconds().checked_sub(nanoseconds);
        let now = Instant::now();
        let at = ago.and_then(|ago| now.checked_sub(Duration::from_nanos(ago)));
        let at = at.filter(|at| *at >= self.lap).unwrap_or(now);
        let taken = at - self.lap;
        self.timings.0.push((Cow::Borrowed(phase), taken));
        self.lap = at;
    }

    pub fn stop(mut self) -> Timings {
        // They are kept as long as their container.
        self.timings.0.shrink_to_fit();
        self.timings
    }
}

fn monotonic_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.map_or(0, |now| now.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings() -> Timings {
        let phase = |name, micros| (Cow::Borrowed(name), Duration::from_micros(micros));
        Timings(vec![phase("plan", 12), phase("setup", 340)])
    }

    #[test]
    fn phases_are_kept_in_their_order_and_make_up_the_total() {
        let started = Instant::now();
        let mut watch = Stopwatch::start();
        watch.lap("spawn");
        watch.lap("exec");
        let timings = watch.stop();
        let names: Vec<_> = timings.phases().map(|(phase, _)| phase).collect();
        assert_eq!(names, ["spawn", "exec"]);
        assert!(timings.total() <= started.elapsed());
    }

    #[test]
    fn a_phase_that_ended_a_while_ago_is_as_long_as_it_was() {
        let mut watch = Stopwatch::start();
        let at = monotonic_nanoseconds();
        std::thread::sleep(Duration::from_millis(20));
        watch.lap_at("setup", at);
        watch.lap("exec");
        for elsewhere in [0, u64::MAX] {
            watch.lap_at("none", elsewhere);
        }
        let timings = watch.stop();
        let taken: Vec<_> = timings.phases().map(|(_, taken)| taken).collect();
        let slept = Duration::from_millis(20);
        assert!(taken[0] < slept && taken[1] >= slept, "{taken:?}");
        assert!(taken[2] + taken[3] < slept, "{taken:?}");
    }

    #[test]
    fn what_was_written_reads_back() {
        let text = timings().to_string();
        assert_eq!(text, "plan 12000\nsetup 340000\ntotal 352000\n");
        assert_eq!(Timings::parse(&text), Some(timings()));
    }

    #[test]
    fn timings_that_were_cut_off_anywhere_are_none() {
        let text = timings().to_string();
        for length in 0..text.len() {
            assert_eq!(Timings::parse(&text[..length]), None, "{length} bytes");
        }
        for text in ["\n", "total\n", "plan 1\n", "plan x\ntotal 0\n"] {
            assert_eq!(Timings::parse(text), None, "{text:?}");
        }
    }
}
