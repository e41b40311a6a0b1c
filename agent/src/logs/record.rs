//! The state of a log's rotation, kept beside the log: `stdout.logrotate.state`.
//!
//! It says which byte of all that the task ever wrote the file begins with, so that whoever follows
//! a log goes on at the right place; and while a rotation is under way, how far that has come, so
//! that after the agent's death the next one carries it on. A task may write anything there: it
//! misleads whoever reads its own logs, and nobody else.

use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Counts up with every change, so that a reader notices that there was one.
    pub changes: u64,
    /// Bytes of the stream that come before the file's first, hole or not.
    pub shift: u64,
    /// Where in the stream the file's bytes began when it was rotated last: what is before that is
    /// in the rotated files.
    pub start: u64,
    pub pending: Option<Pending>,
}

/// A rotation that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The file's bytes up to here are copied, or are to be dropped.
    pub end: u64,
    pub source: Source,
    pub progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The copy becomes the newest rotated file.
    Copied,
    /// There is none; rotated files are older than what is dropped, and go too.
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// The file may have begun to give its bytes back.
    Begun,
    /// It has given them back: as long as the hole is there, it has not been taken out. A task only
    /// appends, so it never fills it.
    Hollow,
}

#[derive(Serialize, Deserialize)]
struct Text {
    version: u32,
    changes: u64,
    shift: u64,
    start: u64,
    pending: Option<Pending>,
}

impl Record {
    /// `None` for what no agent of this version has written.
    pub fn parse(text: &[u8]) -> Option<Record> {
        let text: Text = serde_json::from_slice(text).ok()?;
        // So that sums of these and of sizes of files have their place.
        let fits = |n: u64| n < 1 << 60;
        let numbers = [text.shift, text.start, text.pending.map_or(0, |p| p.end)];
        (text.version == VERSION && numbers.into_iter().all(fits)).then_some(Record {
            changes: text.changes,
            shift: text.shift,
            start: text.start,
            pending: text.pending,
        })
    }

    pub fn text(&self) -> String {
        let text = Text {
            version: VERSION,
            changes: self.changes,
            shift: self.shift,
            start: self.start,
            pending: self.pending,
        };
        // Numbers and names always have a JSON form.
        serde_json::to_string(&text).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written() {
        let resting = Record {
            changes: 9,
            shift: 4096,
            start: 8192,
            pending: None,
        };
        let pending = |source, progress| Record {
            pending: Some(Pending {
                end: 4096,
                source,
                progress,
            }),
            ..resting.clone()
        };
        for record in [
            resting.clone(),
            pending(Source::Copied, Progress::Begun),
            pending(Source::Dropped, Progress::Hollow),
        ] {
            assert_eq!(Record::parse(record.text().as_bytes()), Some(record));
        }
    }

    #[test]
    fn what_is_no_record_of_ours_is_none() {
        let good = Record::default().text();
        for bad in [
            "",
            "{}",
            &good[..good.len() / 2],
            &good.replace(":1,", ":2,"),
            &good.replace("\"shift\":0", "\"shift\":18446744073709551615"),
            "\0",
        ] {
            assert_eq!(Record::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
