//! Amounts such as 0.5 cpus. Source: spec/mesos-agent.md section 17.

use std::fmt;
use std::iter::Sum;

/// An amount that is not negative, in fixed point with 3 decimals: 0.1 + 0.2 is 0.3, and what two
/// sides of the wire rounded differently is still equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Scalar {
    thousandths: u64,
}

impl Scalar {
    pub const ZERO: Self = Self { thousandths: 0 };

    /// The largest amount that is read, about 1.1e12: up to here a thousandth survives a double.
    pub const MAX: Self = Self {
        thousandths: 1 << 50,
    };

    /// Rounds to the nearest thousandth. `None` for what is negative (less than −0.0005), not a
    /// number, or above [`Scalar::MAX`].
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        let thousandths = (value * 1000.0).round();
        (0.0..=Self::MAX.thousandths as f64)
            .contains(&thousandths)
            .then_some(Self {
                thousandths: thousandths as u64,
            })
    }

    #[must_use]
    pub const fn thousandths(self) -> u64 {
        self.thousandths
    }

    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.thousandths as f64 / 1000.0
    }

    /// Reads a decimal number such as `12`, `0.5` or `1e3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // `f64` also reads words such as "inf", which are no amounts.
        let numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        numeric.then(|| text.parse().ok())?.and_then(Self::from_f64)
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.thousandths == 0
    }

    #[must_use]
    pub(super) const fn is_whole(self) -> bool {
        self.thousandths.is_multiple_of(1000)
    }

    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self {
            thousandths: self.thousandths.saturating_add(other.thousandths),
        }
    }

    /// `None` when `other` is more than there is.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.thousandths
            .checked_sub(other.thousandths)
            .map(|thousandths| Self { thousandths })
    }
}

impl Sum for Scalar {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

/// As short as it can be: `4`, `0.5`, `1.125`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.thousandths / 1000, self.thousandths % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{rest:03}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(value: f64) -> Scalar {
        Scalar::from_f64(value).unwrap()
    }

    #[test]
    fn amounts_are_compared_after_rounding_to_three_decimals() {
        assert_eq!(scalar(0.1).saturating_add(scalar(0.2)), scalar(0.3));
        assert_eq!(scalar(1.000_4), scalar(1.0));
        assert_eq!(scalar(1.000_5), scalar(1.001));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for value in [
            -0.001,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e13,
        ] {
            assert_eq!(Scalar::from_f64(value), None, "{value}");
        }
        for text in ["", "inf", "nan", "-1", "+", "1,5", "0x10", "1.2.3", "abc"] {
            assert_eq!(Scalar::parse(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_written_short() {
        for (value, text) in [(4.0, "4"), (0.5, "0.5"), (1.125, "1.125"), (0.01, "0.01")] {
            assert_eq!(scalar(value).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_a_double_and_a_text(thousandths in 0..=Scalar::MAX.thousandths) {
            let scalar = Scalar { thousandths };
            prop_assert_eq!(Scalar::from_f64(scalar.as_f64()), Some(scalar));
            prop_assert_eq!(Scalar::parse(&scalar.to_string()), Some(scalar));
        }
    }
}
