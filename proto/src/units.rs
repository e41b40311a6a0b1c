//! Durations as flags and environment variables write them: a number and a unit, such as `5secs`.
//! Numbers are read exactly, as decimals, never through floating point.

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

/// Reads a duration such as `10secs`, `1.5hrs` or `250ms`.
///
/// At most `i64::MAX` nanoseconds (about 292 years), which is what messages can carry; digits
/// beyond a nanosecond are dropped.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match u64::try_from(nanoseconds(text)?) {
        Ok(nanoseconds) if i64::try_from(nanoseconds).is_ok() => {
            Ok(Duration::from_nanos(nanoseconds))
        }
        Ok(_) | Err(_) => Err(format!("duration {text:?} is too long: at most 292 years")),
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

/// More digits than this say nothing, and fewer cannot overflow below.
const MAX_DIGITS: usize = 20;

fn nanoseconds(text: &str) -> Result<u128, String> {
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim_start();
    let Some(&(_, length)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = DURATIONS.iter().map(|&(name, _)| name).collect();
        return Err(format!(
            "duration {text:?} must be a number and one of the units {}, such as 10secs",
            names.join(", ")
        ));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let bad =
        number.is_empty() || (whole.is_empty() && fraction.is_empty()) || fraction.contains('.');
    if bad {
        return Err(format!(
            "duration {text:?} must begin with a number that is not negative, such as 10secs"
        ));
    }
    let digits = format!("{}{fraction}", whole.trim_start_matches('0'));
    if digits.len() > MAX_DIGITS || fraction.len() > MAX_DIGITS - 4 {
        return Err(format!("duration {text:?} has too many digits"));
    }
    let scaled: u128 = if digits.is_empty() {
        0
    } else {
        digits
            .parse()
            .map_err(|e| format!("duration {text:?}: {e}"))?
    };
    // 20 digits times less than 2^60 stays far below 2^128.
    let scaled = scaled * u128::from(length);
    Ok(fraction.bytes().fold(scaled, |rest, _digit| rest / 10))
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

    proptest! {
        #[test]
        fn a_written_duration_reads_back(nanoseconds in 0..i64::MAX as u64) {
            let back = parse_duration(&format_duration(Duration::from_nanos(nanoseconds))).unwrap();
            // Fractions of days and weeks are cut after 15 digits.
            prop_assert!(back.as_nanos().abs_diff(u128::from(nanoseconds)) <= 1);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9. ]{0,40}[a-zA-Z]{0,5}") {
            let _ = parse_duration(&text);
        }
    }
}
