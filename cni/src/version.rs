//! Versions of the protocol.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V010,
    V020,
    V030,
    V031,
    V040,
    V100,
    V110,
}

#[rustfmt::skip] // A version a row.
const ALL: &[(Version, &str)] = &[
    (Version::V010, "0.1.0"),
    (Version::V020, "0.2.0"),
    (Version::V030, "0.3.0"),
    (Version::V031, "0.3.1"),
    (Version::V040, "0.4.0"),
    (Version::V100, "1.0.0"),
    (Version::V110, "1.1.0"),
];

impl Version {
    pub fn parse(text: &str) -> Option<Self> {
        let known = ALL.iter().find(|(_, known)| *known == text);
        known.map(|(version, _)| *version)
    }

    pub fn text(self) -> &'static str {
        let known = ALL.iter().find(|(version, _)| *version == self);
        known.map_or("", |(_, text)| text)
    }

    /// One address of each family, at a name of its own. From 0.3.0 on there is a list.
    pub fn has_one_address_each(self) -> bool {
        self < Self::V030
    }

    /// STATUS and GC.
    pub fn looks_after_networks(self) -> bool {
        self >= Self::V110
    }

    /// CHECK, and what was said when a container was connected when it is disconnected.
    pub fn keeps_results(self) -> bool {
        self >= Self::V040
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_text() {
        for (version, text) in ALL {
            assert_eq!(Version::parse(text), Some(*version));
            assert_eq!(version.to_string(), *text);
        }
        for other in ["", "1.0", "0.2.1", "2.0.0", "1.1.0 "] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
    }
}
