//! How much of the minute before its end a container lost to waiting for memory.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::cgroups::pressure::Pressure;

/// Shares of the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPressure {
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
pub fn read(file: &Path, of: PressureOf) -> Option<MemoryPressure> {
    let Pressure { some, full } = Pressure::parse(&fs::read_to_string(file).ok()?)?;
    Some(MemoryPressure {
        some: percent(some.avg60)?,
        full: percent(full?.avg60)?,
        of,
    })
}

fn percent(share: f64) -> Option<Percent> {
    (0.0..=100.0)
        .contains(&share)
        .then(|| Percent((share * 100.0).round() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_two_decimals_and_is_at_most_all() {
        let shown = |share| percent(share).map(|percent| percent.to_string());
        assert_eq!(shown(12.05).as_deref(), Some("12.05%"));
        assert_eq!(shown(100.0).as_deref(), Some("100.00%"));
        for bad in [-0.01, 100.01, f64::NAN, f64::INFINITY] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
