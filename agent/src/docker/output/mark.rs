//! How far the output of a container has come, and what of an engine's lines is new. Pure.

/// Nanoseconds. Lines of the two streams come nearly in the order of their times.
const MARGIN: u64 = 10_000_000_000;

/// The last line of one stream that is in the sandbox.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Mark {
    /// Its time, in nanoseconds since 1970; 0 when there is none.
    #[prost(uint64, tag = "1")]
    pub time: u64,
    /// Lines with that very time that are there.
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// Where in all that was ever written to the sandbox's log it ends.
    #[prost(uint64, tag = "3")]
    pub end: u64,
}

/// Of both streams.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Marks {
    #[prost(message, optional, tag = "1")]
    pub stdout: Option<Mark>,
    #[prost(message, optional, tag = "2")]
    pub stderr: Option<Mark>,
}

impl Marks {
    /// From when on an engine is to tell its lines again, as it is asked that; `None`: all of them.
    pub fn since(&self) -> Option<String> {
        let times = [self.stdout, self.stderr].into_iter().flatten();
        let last = times.map(|mark| mark.time).max().filter(|time| *time > 0)?;
        let since = last.saturating_sub(MARGIN);
        Some(format!(
            "{}.{:09}",
            since / 1_000_000_000,
            since % 1_000_000_000
        ))
    }
}

/// Lets those bytes of one stream pass that are not in the sandbox.
#[derive(Debug)]
pub struct Gate {
    mark: Mark,
    /// What was told before and is told again, as long as it may come.
    again: Option<Again>,
    /// Bytes that are in the sandbox and were not noted.
    unnoted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Again {
    time: u64,
    /// Lines with that time that are still to come.
    left: u32,
}

impl Gate {
    /// `end`: of the sandbox's log as it is.
    pub fn new(mark: Mark, end: u64) -> Gate {
        Gate {
            mark,
            again: (mark.time > 0).then_some(Again {
                time: mark.time,
                left: mark.count,
            }),
            unnoted: end.saturating_sub(mark.end),
        }
    }

    /// What of a line is new.
    pub fn pass<'a>(&mut self, time: u64, line: &'a [u8]) -> &'a [u8] {
        if let Some(again) = &mut self.again {
            if time < again.time {
                return &[];
            }
            if time == again.time && again.left > 0 {
                again.left -= 1;
                return &[];
            }
            // From here on it is in the order in which it comes, also when a clock is set back.
            self.again = None;
        }
        match time == self.mark.time {
            true => self.mark.count += 1,
            false => (self.mark.time, self.mark.count) = (time, 1),
        }
        self.mark.end += line.len() as u64;
        let known = self.unnoted.min(line.len() as u64);
        self.unnoted -= known;
        &line[known as usize..]
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }
}

/// The time that an engine puts before a line, and the line. Without one it is as old as can be.
pub fn split(frame: &[u8]) -> (u64, &[u8]) {
    let Some(space) = frame.iter().position(|byte| *byte == b' ') else {
        return (0, frame);
    };
    let time = std::str::from_utf8(&frame[..space])
        .ok()
        .and_then(nanoseconds);
    match time {
        Some(time) => (time, &frame[space + 1..]),
        None => (0, frame),
    }
}

/// Since 1970, of RFC 3339 in UTC with or without a fraction. `None` for what is before that, or none.
pub fn nanoseconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let mut next = || date.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = whole.splitn(3, ':').map(str::parse::<u64>);
    let mut next = || clock.next()?.ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    let is_one = (1970..2500).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hours < 24
        && minutes < 60
        && seconds <= 60
        && (1..=9).contains(&fraction.len());
    if !is_one {
        return None;
    }
    let nanos: u64 = fraction.parse().ok()?;
    let nanos = nanos * 10_u64.pow(9 - fraction.len() as u32);
    let seconds = days(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds;
    Some(seconds * 1_000_000_000 + nanos)
}

/// Since 1970. The year begins in March, so that the day that is not always there is its last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.000000001Z", Some(1)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500_000_000)),
            (
                "2026-11-26T19:24:25.123456789Z",
                Some(1_795_721_065_123_456_789),
            ),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-26T19:24:25+01:00", None),
            ("2026-13-26T19:24:25Z", None),
            ("yesterday", None),
        ];
        for (text, wanted) in table {
            assert_eq!(nanoseconds(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_line_is_what_is_behind_its_time() {
        assert_eq!(
            split(b"1970-01-01T00:00:00.000000007Z a b\n"),
            (7, &b"a b\n"[..])
        );
        assert_eq!(split(b"no time\n"), (0, &b"no time\n"[..]));
        assert_eq!(split(b""), (0, &b""[..]));
    }

    #[test]
    fn what_is_asked_for_again_begins_a_little_before_the_last_line() {
        let mark = |time| {
            Some(Mark {
                time,
                count: 1,
                end: 0,
            })
        };
        let marks = Marks {
            stdout: mark(5),
            stderr: mark(1_700_000_000_000_000_042),
        };
        assert_eq!(marks.since().as_deref(), Some("1699999990.000000042"));
        assert_eq!(Marks::default().since(), None);
        assert_eq!(
            Marks {
                stdout: mark(0),
                stderr: None
            }
            .since(),
            None
        );
    }

    proptest! {
        /// Whoever writes dies at any moment: after any number of lines, with any part of what he wrote since
        /// his last note in the log.
        #[test]
        fn no_line_is_lost_or_doubled_wherever_a_writer_dies(
            steps in vec((0_u64..3, vec(any::<u8>(), 0..6)), 1..40),
            deaths in vec((0_usize..40, 0_usize..12), 0..6),
            before in 0_u64..5,
        ) {
            let mut time = 1_700_000_000_000_000_000_u64;
            let lines: Vec<(u64, Vec<u8>)> = (steps.into_iter())
                .map(|(later, line)| { time += later; (time, line) })
                .collect();
            let wanted: Vec<u8> = lines.iter().flat_map(|(_, line)| line.clone()).collect();
            let mut log = Vec::new();
            let mut noted = Mark { time: 0, count: 0, end: before };
            for (after, unnoted) in deaths.into_iter().chain([(usize::MAX, 0)]) {
                let mut gate = Gate::new(noted, before + log.len() as u64);
                let since = noted.time.saturating_sub(MARGIN);
                let told = lines.iter().filter(|(time, _)| *time >= since);
                let mut behind = Vec::new();
                for (number, (time, line)) in told.enumerate() {
                    let fresh = gate.pass(*time, line).to_vec();
                    if number < after {
                        log.extend(fresh);
                        noted = gate.mark();
                    } else {
                        behind.extend(fresh);
                    }
                }
                // Some of what comes next was written, and not noted.
                behind.truncate(unnoted);
                log.extend(behind);
            }
            prop_assert_eq!(log, wanted);
        }
    }
}
