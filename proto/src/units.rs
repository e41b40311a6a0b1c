//! Durations and sizes as flags and environment variables write them: a number and a unit, such as
//! `5secs` or `512MB`. Numbers are read exactly, as decimals, never through floating point.

use std::time::Duration;

/// Unit names and their length in nanoseconds, shortest first.
const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60 * 1_000_000_000),
    ("hrs", 3_600 * 1_000_000_000),
    ("days", 86_400 * 1_000_000_000),
    ("weeks", 604_800 * 1_000_000_000),
];

/// Unit names and their size in bytes, smallest first.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1 << 10),
    ("MB", 1 << 20),
    ("GB", 1 << 30),
    ("TB", 1 << 40),
];

/// Reads a duration such as `10secs`, `1.5hrs` or `250ms`.
///
/// At most `i64::MAX` nanoseconds (about 292 years), which is what messages can carry; digits
/// beyond a nanosecond are dropped.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let quantity = Quantity::parse(text, "duration", "10secs", DURATIONS)?;
    match u64::try_from(quantity.whole()) {
        Ok(nanoseconds) if i64::try_from(nanoseconds).is_ok() => {
            Ok(Duration::from_nanos(nanoseconds))
        }
        _ => Err(format!("duration {text:?} is too long: at most 292 years")),
    }
}

/// Writes a duration in the largest unit that it reaches (`5secs`, `1mins`, `2weeks`). When that
/// takes a fraction but the next smaller unit does not, the smaller one is used (`90secs`, `10days`).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let mut unit = DURATIONS
        .iter()
        .rposition(|&(_, length)| nanoseconds >= u128::from(length));
    if let Some(i) = unit
        && i > 0
        && !nanoseconds.is_multiple_of(u128::from(DURATIONS[i].1))
        && nanoseconds.is_multiple_of(u128::from(DURATIONS[i - 1].1))
    {
        unit = Some(i - 1);
    }
    let (name, length) = DURATIONS[unit.unwrap_or(0)];
    let length = u128::from(length);
    let (whole, rest) = (nanoseconds / length, nanoseconds % length);
    if rest == 0 {
        return format!("{whole}{name}");
    }
    // A finite decimal exists for units up to a second; for longer ones (thirds of a minute) 15
    // digits are more than a nanosecond.
    let mut digits = String::new();
    let mut rest = rest;
    while rest != 0 && digits.len() < 15 {
        rest *= 10;
        digits.push(char::from(b'0' + (rest / length) as u8));
        rest %= length;
    }
    format!("{whole}.{digits}{name}")
}

/// Reads a size such as `512MB` or `1.5GB`. Units are powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let quantity = Quantity::parse(text, "size", "512MB", SIZES)?;
    if quantity.has_fraction() {
        return Err(format!(
            "size {text:?} is not a whole number of bytes: use a smaller unit"
        ));
    }
    u64::try_from(quantity.whole())
        .map_err(|_overflow| format!("size {text:?} is too large: at most 16777215TB"))
}

/// A decimal number of some unit, as `scaled / 10^decimals`.
struct Quantity {
    scaled: u128,
    decimals: u32,
}

impl Quantity {
    /// More digits than this say nothing, and fewer cannot overflow below.
    const MAX_DIGITS: usize = 20;

    fn parse(text: &str, what: &str, example: &str, units: &[(&str, u64)]) -> Result<Self, String> {
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let Some(&(_, factor)) = units.iter().find(|(name, _)| *name == unit.trim_start()) else {
            let names: Vec<&str> = units.iter().map(|&(name, _)| name).collect();
            return Err(format!(
                "{what} {text:?} must be a number and one of the units {}, such as {example}",
                names.join(", ")
            ));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let bad = number.is_empty()
            || (whole.is_empty() && fraction.is_empty())
            || fraction.contains('.');
        if bad {
            return Err(format!(
                "{what} {text:?} must begin with a number that is not negative, such as {example}"
            ));
        }
        let digits = format!("{}{fraction}", whole.trim_start_matches('0'));
        if digits.len() > Self::MAX_DIGITS || fraction.len() > Self::MAX_DIGITS - 4 {
            return Err(format!("{what} {text:?} has too many digits"));
        }
        let scaled: u128 = if digits.is_empty() {
            0
        } else {
            digits
                .parse()
                .map_err(|e| format!("{what} {text:?}: {e}"))?
        };
        // 20 digits times less than 2^60 stays far below 2^128.
        Ok(Self {
            scaled: scaled * u128::from(factor),
            decimals: fraction.len() as u32,
        })
    }

    fn whole(&self) -> u128 {
        self.scaled / 10u128.pow(self.decimals)
    }

    fn has_fraction(&self) -> bool {
        !self.scaled.is_multiple_of(10u128.pow(self.decimals))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, nanoseconds) in [
            ("0ns", 0),
            ("5secs", 5_000_000_000),
            ("1.5hrs", 5_400_000_000_000),
            ("0.1secs", 100_000_000),
            (".5ms", 500_000),
            ("2 mins", 120_000_000_000),
            ("1weeks", 604_800_000_000_000),
            ("9223372036854775807ns", i64::MAX as u64),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_nanos(nanoseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_durations_are_explained() {
        for text in [
            "",
            "5",
            "secs",
            "5sec",
            "-5secs",
            "1.2.3secs",
            ".secs",
            "1e3secs",
            "99999weeks",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
        assert_eq!(
            parse_duration("5s").unwrap_err(),
            "duration \"5s\" must be a number and one of the units \
             ns, us, ms, secs, mins, hrs, days, weeks, such as 10secs"
        );
    }

    #[test]
    fn durations_are_written_in_the_unit_that_reads_best() {
        for (nanoseconds, text) in [
            (0, "0ns"),
            (5_000_000_000, "5secs"),
            (60_000_000_000, "1mins"),
            (90_000_000_000, "90secs"),
            (5_400_000_000_000, "90mins"),
            (1_500_000_000, "1500ms"),
            (1_234_567_890, "1.23456789secs"),
            (864_000_000_000_000, "10days"),
        ] {
            assert_eq!(format_duration(Duration::from_nanos(nanoseconds)), text);
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_bytes("10B"), Ok(10));
        assert_eq!(parse_bytes("2GB"), Ok(2 << 30));
        assert_eq!(parse_bytes("1.5KB"), Ok(1536));
        assert_eq!(parse_bytes("16777215TB"), Ok(16_777_215 << 40));
        for text in ["10", "MB", "1.5B", "16777216TB", "-1MB", "5mb"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(nanoseconds in 0..i64::MAX as u64) {
            let back = parse_duration(&format_duration(Duration::from_nanos(nanoseconds))).unwrap();
            // Fractions of days and weeks are cut after 15 digits.
            prop_assert!(back.as_nanos().abs_diff(u128::from(nanoseconds)) <= 1);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "[0-9. ]{0,40}[a-zA-Z]{0,5}") {
            let _ = parse_duration(&text);
            let _ = parse_bytes(&text);
        }
    }
}
