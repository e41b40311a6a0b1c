//! Durations as runc takes them: numbers with units, `1m30s`, `100ms`, `1.5h`.

use std::time::Duration;

/// `None`: it is none, or not above 0.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_sum_of_units() {
        for (text, wanted) in [
            ("5s", 5_000),
            ("100ms", 100),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("0.5s250ms", 750),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(wanted)), "{text}");
        }
        for bad in [
            "", "5", "0s", "s", "-1s", "1x", "1..s", "5 s", "1e3s", "1s5",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
