//! How the values of flags are read, where that is more than a word or a number.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use containerizer::IDS_OF_EACH;
use isolators::IdRange;
use proto::resources::Ranges;
use proto::sizes::parse_size;
use proto::units::parse_duration;

use crate::quota::ProjectRange;

/// The text itself, or what the file holds that it names with `file://`.
pub fn text_or_file(text: &str) -> Result<String, String> {
    match text.strip_prefix("file://") {
        None => Ok(text.to_owned()),
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
        }
    }
}

/// As Mesos' users write paths.
pub fn path_or_url(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.strip_prefix("file://").unwrap_or(text).into())
}

/// Those that are built into Mesos.
pub fn http_authenticators(text: &str) -> Result<String, String> {
    let unknown = |name: &&str| !matches!(*name, "basic" | "jwt");
    match text.split(',').find(unknown) {
        Some(name) => Err(format!(
            "{name:?} is not built in, and modules are not loaded: use basic or jwt"
        )),
        None => Ok(text.to_owned()),
    }
}

/// 0 is the host's root, and with its last id a range ends one before "no id".
pub fn id_range(text: &str) -> Result<IdRange, String> {
    let bad =
        || format!("write FIRST-LAST, with at least {IDS_OF_EACH} ids between 1 and 4294967294");
    let (first, last) = text.split_once('-').ok_or_else(bad)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_no_number| bad());
    let (first, last) = (number(first)?, number(last)?);
    match last.checked_sub(first) {
        Some(more) if first > 0 && last < u32::MAX && more + 1 >= IDS_OF_EACH => Ok(IdRange {
            first,
            count: more + 1,
        }),
        _ => Err(bad()),
    }
}

/// One range, as resources are written. Project 0 is that of everything else.
pub fn project_range(text: &str) -> Result<ProjectRange, String> {
    let bad = || "write [FIRST-LAST], two numbers between 1 and 4294967294".to_owned();
    let ranges = Ranges::parse(text).map_err(|_bad_ranges| bad())?;
    let mut ranges = ranges.ranges();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Err(bad());
    };
    match (u32::try_from(*range.start()), u32::try_from(*range.end())) {
        (Ok(first), Ok(last)) if first > 0 && last < u32::MAX => Ok(ProjectRange { first, last }),
        _ => Err(bad()),
    }
}

/// Source: spec/mesos-agent.md section 2.2.
pub fn reregistration_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        long if long > Duration::from_secs(15) => Err("it must be at most 15secs".to_owned()),
        timeout => Ok(timeout),
    }
}

/// The kernel takes 0 for no limit.
pub fn shm_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("it must be more than 0".to_owned()),
        size => Ok(size),
    }
}
