//! Moments, as the API writes them; they also name versions.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, SubsecRound as _, TimeDelta, Utc};

/// A moment in UTC to the millisecond: `2026-11-20T08:12:54.136Z`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(DateTime<Utc>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad timestamp {0:?}: write it like 2026-11-20T08:12:54.136Z")]
pub struct BadTimestamp(pub String);

impl Timestamp {
    pub fn now() -> Timestamp {
        Timestamp(Utc::now().trunc_subsecs(3))
    }

    /// From milliseconds since 1970; out of range (some 260 000 years) is the nearest end.
    pub fn from_millis(millis: i64) -> Timestamp {
        let clamped = if millis < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        };
        Timestamp(
            DateTime::from_timestamp_millis(millis)
                .unwrap_or(clamped)
                .trunc_subsecs(3),
        )
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// The first moment that is not before `self` and later than `last`: versions grow strictly
    /// even when the clock does not.
    pub fn later_than(self, last: Timestamp) -> Timestamp {
        self.max(Timestamp(last.0 + TimeDelta::milliseconds(1)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Timestamp, BadTimestamp> {
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Timestamp(time.with_timezone(&Utc).trunc_subsecs(3))),
            Err(_) => Err(BadTimestamp(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = BadTimestamp;

    fn try_from(text: String) -> Result<Timestamp, BadTimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> String {
        timestamp.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc_with_three_digits() {
        for (text, canonical) in [
            ("2026-11-20T08:12:54Z", "2026-11-20T08:12:54.000Z"),
            ("2026-11-20T08:12:54.136999Z", "2026-11-20T08:12:54.136Z"),
            ("2026-11-20T10:12:54.1+02:00", "2026-11-20T08:12:54.100Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), canonical);
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn versions_grow_even_when_the_clock_stands_still() {
        let now = Timestamp::from_millis(5_000);
        assert_eq!(now.later_than(now).millis(), 5_001);
        assert_eq!(now.later_than(Timestamp::from_millis(1)).millis(), 5_000);
    }
}
