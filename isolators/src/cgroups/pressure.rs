//! Pressure stall information: for how long processes had to wait for a resource.
//!
//! Source: the kernel's Documentation/accounting/psi.rst.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct Pressure {
    /// While at least one process waited.
    pub some: Stall,
    /// While all of them did. Linux 5.13 for cpu.
    pub full: Option<Stall>,
}

/// Of v2, where the kernel measures it; a hybrid host has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pressures {
    pub cpu: Option<Pressure>,
    pub memory: Option<Pressure>,
    pub io: Option<Pressure>,
}

/// Percent of the last 10, 60 and 300 seconds, and the time since the cgroup was made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: Duration,
}

impl Pressures {
    /// By what the files of a cgroup of v2 say.
    pub(super) fn of(read: impl Fn(&str) -> Option<String>) -> Self {
        let read = |file| Pressure::parse(&read(file)?);
        Self {
            cpu: read("cpu.pressure"),
            memory: read("memory.pressure"),
            io: read("io.pressure"),
        }
    }
}

impl Pressure {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let line = |kind: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines
                .find(|(name, _)| *name == kind)
                .map(|(_, rest)| stall(rest))
        };
        Some(Self {
            some: line("some")??,
            full: line("full").flatten(),
        })
    }
}

fn stall(text: &str) -> Option<Stall> {
    let mut stall = Stall::default();
    for word in text.split(' ') {
        let (key, value) = word.split_once('=')?;
        let average = match key {
            "avg10" => &mut stall.avg10,
            "avg60" => &mut stall.avg60,
            "avg300" => &mut stall.avg300,
            "total" => {
                stall.total = Duration::from_micros(value.parse().ok()?);
                continue;
            }
            _ => continue,
        };
        *average = value.parse().ok()?;
    }
    Some(stall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read_and_one_may_be_missing() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.00 total=1234567\n\
                    full avg10=0.10 avg60=0.00 avg300=0.00 total=5\n";
        let found = Pressure::parse(text).expect("a pressure");
        assert_eq!(found.some.avg10, 1.5);
        assert_eq!(found.some.total, Duration::from_micros(1_234_567));
        assert_eq!(
            found.full.map(|full| full.total),
            Some(Duration::from_micros(5))
        );
        let first = text.lines().next().expect("a line");
        assert_eq!(Pressure::parse(first).expect("a pressure").full, None);
        for bad in ["", "some", "some avg10=x total=5"] {
            assert_eq!(Pressure::parse(bad), None, "{bad:?}");
        }
    }
}
