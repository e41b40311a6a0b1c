//! Pressure stall information: how much of the last minute was lost to waiting for memory.
//!
//! Source: Documentation/accounting/psi.rst of Linux, since 4.20.

use std::fmt;
use std::fs;
use std::path::Path;

/// Shares of the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// In which some process waited for memory.
    pub some: Percent,
    /// In which all that had something to do waited.
    pub full: Percent,
    pub of: PressureOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PressureOf {
    Container,
    /// cgroup v1 knows no other.
    Host,
}

/// In hundredths of a percent: 0 to 10 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

/// `None` where the kernel has none: built or booted without it.
pub fn read(file: &Path, of: PressureOf) -> Option<Pressure> {
    parse(&fs::read_to_string(file).ok()?, of)
}

/// `some avg10=0.00 avg60=1.25 avg300=0.00 total=12`, and the same for `full`.
fn parse(text: &str, of: PressureOf) -> Option<Pressure> {
    let share = |kind: &str| {
        let mut words = text.lines().map(str::split_whitespace);
        let mut words = words.find_map(|mut words| (words.next()? == kind).then_some(words))?;
        percent(words.find_map(|word| word.strip_prefix("avg60="))?)
    };
    Some(Pressure {
        some: share("some")?,
        full: share("full")?,
        of,
    })
}

fn percent(text: &str) -> Option<Percent> {
    let (whole, hundredths) = text.split_once('.')?;
    let number = |digits: &str| digits.parse::<u32>().ok();
    let hundredths = (hundredths.len() == 2).then(|| number(hundredths))??;
    let sum = number(whole)?.checked_mul(100)?.checked_add(hundredths)?;
    (sum <= 10_000).then_some(Percent(sum))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_shares_of_the_last_minute_are_read() {
        let text = "some avg10=0.00 avg60=12.05 avg300=1.00 total=13300261\n\
                    full avg10=9.99 avg60=100.00 avg300=0.00 total=4992907\n";
        let pressure = parse(text, PressureOf::Host).expect("a pressure");
        assert_eq!(pressure.some.to_string(), "12.05%");
        assert_eq!(pressure.full.to_string(), "100.00%");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "((some|full)( avg60=[0-9.]{0,12}| .{0,9}){0,3}\n){0,3}") {
            if let Some(pressure) = parse(&text, PressureOf::Container) {
                prop_assert!(pressure.some.max(pressure.full) <= Percent(10_000));
            }
        }
    }
}
