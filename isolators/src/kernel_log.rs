//! The kernel's log: what it says of processes that it ended.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use nix::fcntl::OFlag;

/// The kernel's own lines of its ring buffer, oldest first.
#[derive(Debug, Default)]
pub struct KernelLog {
    lines: Vec<Line>,
    /// To read on where the last reading ended.
    file: Option<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the boot, by a clock that time servers do not set right.
    pub at: Duration,
    pub text: String,
}

impl KernelLog {
    /// Errors: `EPERM` without CAP_SYSLOG where the sysctl kernel.dmesg_restrict is set.
    pub fn open() -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open("/dev/kmsg")?;
        let mut log = Self {
            lines: Vec::new(),
            file: Some(file),
        };
        log.read_on()?;
        Ok(log)
    }

    /// Adds what was written to it since.
    pub fn read_on(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        // Each read(2) of /dev/kmsg gives one record.
        let mut record = [0; 8192];
        loop {
            match file.read(&mut record) {
                Ok(0) => return Ok(()),
                Ok(n) => (self.lines).extend(line(&String::from_utf8_lossy(&record[..n]))),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Overwritten between two reads: the next read continues with the oldest one left.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Of records as /dev/kmsg gives them, one after the other.
    #[must_use]
    pub fn parse(records: &str) -> Self {
        Self {
            lines: records.lines().filter_map(line).collect(),
            file: None,
        }
    }

    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// `LEVEL,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT`, and lines with more of it that are left out.
///
/// Whoever may write to /dev/kmsg can put any text there, but not in the kernel's name: the first
/// number is facility * 8 + level, and the kernel's facility is 0.
fn line(record: &str) -> Option<Line> {
    let (prefix, text) = record.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let at = fields.nth(1)?.parse().map(Duration::from_micros).ok()?;
    let text = text.lines().next().unwrap_or_default().to_owned();
    (priority < 8).then_some(Line { at, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_a_moment_and_a_text() {
        let log = KernelLog::parse("6,1,1500000,-,caller=T1;a; b\n SUBSYSTEM=x\n4,2,2000000,-;c");
        let line = |millis, text: &str| Line {
            at: Duration::from_millis(millis),
            text: text.to_owned(),
        };
        assert_eq!(log.lines(), [line(1500, "a; b"), line(2000, "c")]);
    }

    #[test]
    fn what_others_wrote_into_it_is_left_out() {
        assert!(KernelLog::parse("14,1,1,-;oom-kill:").lines().is_empty());
        assert!(KernelLog::parse("8,1,1,-;oom-kill:").lines().is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(records in "(?s)([0-9]{0,3},){0,4};?.{0,40}|.{0,200}") {
            let lines = KernelLog::parse(&records).lines().len();
            prop_assert!(lines <= records.lines().count());
        }
    }
}
