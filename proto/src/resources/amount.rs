//! How much there is of a resource.

use std::fmt;

use super::ranges::Ranges;
use super::scalar::Scalar;
use super::set::Set;

/// How much there is of a resource. Amounts of different kinds never mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    Scalar(Scalar),
    Ranges(Ranges),
    Set(Set),
}

/// The type of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Scalar,
    Ranges,
    Set,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "an amount (SCALAR)",
            Self::Ranges => "ranges (RANGES)",
            Self::Set => "a set (SET)",
        })
    }
}

impl Amount {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Scalar(_) => Kind::Scalar,
            Self::Ranges(_) => Kind::Ranges,
            Self::Set(_) => Kind::Set,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// Whether the two share a thing that would be counted once in their sum.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ranges(a), Self::Ranges(b)) => a.overlaps(b),
            (Self::Set(a), Self::Set(b)) => a.overlaps(b),
            _ => false,
        }
    }

    /// `None` for different kinds.
    pub(super) fn add(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => Some(Self::Scalar(a.saturating_add(*b))),
            (Self::Ranges(a), Self::Ranges(b)) => Some(Self::Ranges(a.union(b))),
            (Self::Set(a), Self::Set(b)) => Some(Self::Set(a.union(b))),
            _ => None,
        }
    }

    /// `None` for different kinds, and when not all of `other` is here.
    pub(super) fn try_sub(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a.checked_sub(*b).map(Self::Scalar),
            (Self::Ranges(a), Self::Ranges(b)) => {
                a.contains_all(b).then(|| Self::Ranges(a.subtract(b)))
            }
            (Self::Set(a), Self::Set(b)) => a.contains_all(b).then(|| Self::Set(a.subtract(b))),
            _ => None,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(set) => set.fmt(f),
        }
    }
}
