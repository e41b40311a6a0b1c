//! One rule of `linux.resources.devices`, and what every container may use.

#[cfg(test)]
pub mod many;
#[cfg(any(test, fuzzing))]
pub mod naive;

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::request::{Device, DeviceKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Block,
    Char,
}

/// Bits as in linux/bpf.h (BPF_DEVCG_ACC_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(pub u8);

/// Which devices: `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub allow: bool,
    /// `None`: both.
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: Access,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    #[error("type {0} cannot be limited: there are a (all), b (block) and c (character devices)")]
    Type(&'static str),
    #[error("access {0:?} is not made of r, w and m")]
    Access(String),
    #[error("{what} {number} is no device number (-1, or none, is any)")]
    Number { what: &'static str, number: i64 },
    #[error(
        "\"{rule}\" is to be denied, or allowed, apart from \"{within}\", but cgroup v1 cannot take a \
         part out of a wider rule: name the parts that stay"
    )]
    Hole { rule: Rule, within: Rule },
}

impl Access {
    pub const MKNOD: Self = Self(1);
    pub const ALL: Self = Self(7);
    const LETTERS: [(char, u8); 3] = [('r', 2), ('w', 4), ('m', 1)];

    pub fn parse(text: &str) -> Option<Self> {
        let mut bits = 0;
        for letter in text.chars() {
            // For all, as in the type: no document has it, but specs do.
            let all = (letter == 'a').then_some(Self::ALL.0);
            let one = Self::LETTERS.iter().find(|(l, _)| *l == letter);
            bits |= all.or(one.map(|(_, bit)| *bit))?;
        }
        (bits != 0).then_some(Self(bits))
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Self::LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0);
        letters
            .map(|(letter, _)| letter)
            .try_for_each(|l| write!(f, "{l}"))
    }
}

impl fmt::Display for Rule {
    /// As the kernel writes it in `devices.list`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            None => 'a',
            Some(Kind::Block) => 'b',
            Some(Kind::Char) => 'c',
        };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(f, "{kind} {major}:{minor} {}", self.access)
    }
}

impl TryFrom<&LinuxDeviceCgroup> for Rule {
    type Error = BadRule;

    fn try_from(rule: &LinuxDeviceCgroup) -> Result<Self, BadRule> {
        let kind = match rule.typ() {
            None | Some(LinuxDeviceType::A) => None,
            Some(LinuxDeviceType::B) => Some(Kind::Block),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Char),
            Some(LinuxDeviceType::P) => return Err(BadRule::Type("p (FIFO)")),
        };
        let number = |what, number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_out_of_range| BadRule::Number { what, number }),
        };
        let access = rule.access().as_deref().unwrap_or_default();
        Ok(Self {
            allow: rule.allow(),
            kind,
            major: number("major", rule.major())?,
            minor: number("minor", rule.minor())?,
            access: Access::parse(access).ok_or_else(|| BadRule::Access(access.to_owned()))?,
        })
    }
}

impl Rule {
    /// The last word on every device.
    pub fn is_whole(&self) -> bool {
        let any = (self.kind, self.major, self.minor) == (None, None, None);
        any && self.access == Access::ALL
    }

    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let (major, minor, kind) = (self.major, self.minor, self.kind);
        [Kind::Block, Kind::Char]
            .into_iter()
            .filter(move |one| kind.is_none_or(|kind| kind == *one))
            .map(move |kind| Key { kind, major, minor })
    }

    /// For the form that specs have.
    pub fn to_oci(self) -> LinuxDeviceCgroup {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(self.allow);
        rule.set_typ(self.kind.map(|kind| match kind {
            Kind::Block => LinuxDeviceType::B,
            Kind::Char => LinuxDeviceType::C,
        }));
        rule.set_major(self.major.map(i64::from));
        rule.set_minor(self.minor.map(i64::from));
        rule.set_access(Some(self.access.to_string()));
        rule
    }
}

/// `None` when nothing is allowed with it.
pub fn of(device: &Device) -> Option<Rule> {
    let asked = [device.mknod, device.read, device.write];
    let bits = asked.iter().zip([1, 2, 4]).filter(|(asked, _)| **asked);
    let access = Access(bits.map(|(_, bit)| bit).sum());
    (!access.is_none()).then_some(Rule {
        allow: true,
        kind: Some(match device.kind {
            DeviceKind::Block => Kind::Block,
            DeviceKind::Char => Kind::Char,
        }),
        major: Some(device.major),
        minor: Some(device.minor),
        access,
    })
}

pub const DENY_ALL: Rule = Rule {
    allow: false,
    kind: None,
    major: None,
    minor: None,
    access: Access::ALL,
};

/// What runc and crun allow in every container, whatever its spec says.
#[rustfmt::skip] // A device a row.
const DEFAULTS: &[(Kind, Option<u32>, Option<u32>, Access)] = &[
    // To make a device is not to use it.
    (Kind::Char, None, None, Access::MKNOD),
    (Kind::Block, None, None, Access::MKNOD),
    (Kind::Char, Some(1), Some(3), Access::ALL), // null
    (Kind::Char, Some(1), Some(5), Access::ALL), // zero
    (Kind::Char, Some(1), Some(7), Access::ALL), // full
    (Kind::Char, Some(1), Some(8), Access::ALL), // random
    (Kind::Char, Some(1), Some(9), Access::ALL), // urandom
    (Kind::Char, Some(5), Some(0), Access::ALL), // tty
    (Kind::Char, Some(5), Some(1), Access::ALL), // console
    (Kind::Char, Some(5), Some(2), Access::ALL), // ptmx
    (Kind::Char, Some(136), None, Access::ALL),  // pts/*
    (Kind::Char, Some(10), Some(200), Access::ALL), // net/tun; using it takes CAP_NET_ADMIN
];

pub fn defaults() -> impl Iterator<Item = Rule> {
    DEFAULTS.iter().map(|(kind, major, minor, access)| Rule {
        allow: true,
        kind: Some(*kind),
        major: *major,
        minor: *minor,
        access: *access,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::naive::allows;
    use super::*;

    fn parsed(rule: serde_json::Value) -> Result<String, BadRule> {
        let rule: LinuxDeviceCgroup = serde_json::from_value(rule).expect("a rule");
        Rule::try_from(&rule).map(|rule| rule.to_string())
    }

    #[test]
    fn rules_are_read_or_refused() {
        let table = [
            (json!({"allow": false, "access": "rwm"}), "a *:* rwm"),
            (
                json!({"allow": true, "type": "c", "major": 1, "minor": -1, "access": "wr"}),
                "c 1:* rw",
            ),
            (
                json!({"allow": false, "type": "b", "access": "rwa"}),
                "b *:* rwm",
            ),
            (
                json!({"allow": true, "type": "u", "major": 1, "minor": 3, "access": "m"}),
                "c 1:3 m",
            ),
        ];
        for (rule, wanted) in table {
            assert_eq!(parsed(rule.clone()).as_deref(), Ok(wanted), "{rule}");
        }
        for rule in [
            json!({"allow": true, "type": "p", "access": "r"}),
            json!({"allow": true, "type": "c", "access": "x"}),
            json!({"allow": true, "type": "c"}),
            json!({"allow": true, "type": "c", "major": -2, "access": "r"}),
        ] {
            assert!(parsed(rule.clone()).is_err(), "{rule}");
        }
    }

    #[test]
    fn a_rule_survives_its_form_in_specs() {
        for rule in defaults().chain([DENY_ALL]) {
            assert_eq!(Rule::try_from(&rule.to_oci()), Ok(rule));
        }
    }

    #[test]
    fn by_default_disks_can_be_made_but_not_used() {
        let rules: Vec<_> = [DENY_ALL].into_iter().chain(defaults()).collect();
        let device = |kind, major, minor| Key {
            kind,
            major: Some(major),
            minor: Some(minor),
        };
        let disk = device(Kind::Block, 8, 0);
        assert!(allows(&rules, disk, Access::MKNOD));
        assert!(!allows(&rules, disk, Access(2)));
        assert!(allows(&rules, device(Kind::Char, 1, 3), Access::ALL));
        assert!(!allows(&rules, device(Kind::Char, 1, 1), Access(2)));
    }
}
