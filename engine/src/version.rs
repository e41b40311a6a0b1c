//! Versions of the API, and which one to speak.

use std::fmt;
use std::str::FromStr;

/// Ordered as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

/// The first with all that is asked of an engine here.
pub const LEAST: Version = Version {
    major: 1,
    minor: 41,
};

impl Version {
    /// Newer engines refuse old versions, so it is the oldest that both know: what later ones change is not asked
    /// for. `None`: the engine is too old.
    pub fn spoken(engine_least: Version, engine_most: Version) -> Option<Version> {
        let spoken = LEAST.max(engine_least);
        (spoken <= engine_most).then_some(spoken)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no version of the Docker Engine API, as 1.41 is")]
pub struct BadVersion(String);

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(bad)?;
        let number = |text: &str| text.parse().ok();
        match (number(major), number(minor)) {
            (Some(major), Some(minor)) => Ok(Version { major, minor }),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn the_oldest_that_both_know_is_spoken() {
        let table = [
            // least, most, spoken
            ("1.12", "1.41", Some("1.41")),
            ("1.24", "1.47", Some("1.41")),
            ("1.44", "1.52", Some("1.44")),
            ("1.12", "1.40", None),
        ];
        for (least, most, spoken) in table {
            let told = Version::spoken(version(least), version(most));
            assert_eq!(told, spoken.map(version), "{least} to {most}");
        }
    }

    #[test]
    fn versions_are_numbers_and_not_texts() {
        assert!(version("1.100") > version("1.41"));
        assert_eq!(version("1.41").to_string(), "1.41");
        for bad in ["", "1", "1.", ".41", "v1.41", "1.41.2", "1.-1", "1.99999"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
