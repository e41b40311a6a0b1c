//! How a command ended, as its container's first process leaves it in a file:
//!
//! ```text
//! 15                              raw wait(2) status, decimal
//! signal 15 code 0 pid 7 uid 0    the last signal that was passed on to it, and who sent that
//! sum 1c291ca3                    checksum of all lines before, in hexadecimal
//! ```
//!
//! The first line and the last are there in any case; each between them is a fact more, begins with its name,
//! and may be missing. Readers leave out the lines that they do not know.
//!
//! Before all that there is a line of its own when the command could not be started: `failed`, what was said of
//! that (`Word::Failed`) in hexadecimal digits, and their checksum.

use crate::{Report, Word, checksum};

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRecord {
    /// Raw wait(2) status.
    pub status: i32,
    pub sender: Option<Sender>,
}

/// A signal that came to the first process, with what siginfo_t says of its sender. sigaction(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    pub signal: i32,
    /// si_code: positive for what the kernel sent by itself.
    pub code: i32,
    /// si_pid in the container's pid namespace, 0 for a process outside. Says nothing when the kernel
    /// sent it.
    pub pid: i32,
    /// si_uid, as the container sees it. Says nothing when the kernel sent it.
    pub uid: u32,
}

impl Sender {
    /// By default: those that only stop a process or are left unheeded do not. signal(7).
    #[must_use]
    pub fn can_end_a_process(&self) -> bool {
        !matches!(
            self.signal,
            libc::SIGCHLD
                | libc::SIGCONT
                | libc::SIGSTOP
                | libc::SIGTSTP
                | libc::SIGTTIN
                | libc::SIGTTOU
                | libc::SIGURG
                | libc::SIGWINCH
        )
    }
}

const SUM: &str = "sum ";

/// The text of a record.
#[must_use]
pub fn exit_record(status: i32, sender: Option<Sender>) -> String {
    let mut text = format!("{status}\n");
    if let Some(Sender {
        signal,
        code,
        pid,
        uid,
    }) = sender
    {
        text.push_str(&format!(
            "signal {signal} code {code} pid {pid} uid {uid}\n"
        ));
    }
    let sum = checksum(text.as_bytes());
    text.push_str(&format!("{SUM}{sum:08x}\n"));
    text
}

const FAILED: &str = "failed ";

/// What is left of a command that could not be started. Who starts containers hears of that on the line; this
/// is for who comes after one that has died.
#[must_use]
pub fn failure_record(report: Report) -> String {
    let word = Word::Failed { report }.encode();
    let digits: String = word.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{FAILED}{digits} {:08x}\n", checksum(digits.as_bytes()))
}

/// Why the command that a record is about could not be started; `None` when it was.
#[must_use]
pub fn failure(text: &str) -> Option<Report> {
    let (line, _rest) = text.strip_prefix(FAILED)?.split_once('\n')?;
    let (digits, sum) = line.split_once(' ')?;
    if sum != format!("{:08x}", checksum(digits.as_bytes())) {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    match Word::decode(&bytes?).ok()? {
        Word::Failed { report } => Some(report),
        _ => None,
    }
}

impl ExitRecord {
    /// `None` when there is no status, only a part of it, or something else than was written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Who watches over the command adds what it sees to what the command has left.
        let text = match text.split_once('\n') {
            Some((line, rest)) if line.starts_with(FAILED) => rest,
            _ => text,
        };
        let (lines, sum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let lines = text.get(..=lines.len())?;
        if sum != format!("{SUM}{:08x}", checksum(lines.as_bytes())) {
            return None;
        }
        let (status, facts) = lines.split_once('\n')?;
        Some(Self {
            status: status.parse().ok()?,
            sender: facts.lines().find_map(sender),
        })
    }
}

fn sender(line: &str) -> Option<Sender> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["signal", signal, "code", code, "pid", pid, "uid", uid] = words.as_slice() else {
        return None;
    };
    Some(Sender {
        signal: signal.parse().ok()?,
        code: code.parse().ok()?,
        pid: pid.parse().ok()?,
        uid: uid.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender = Sender {
        signal: libc::SIGTERM,
        code: 0,
        pid: 7,
        uid: u32::MAX,
    };

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for sender in [None, Some(SENDER), Some(Sender { code: -6, ..SENDER })] {
            let read = ExitRecord::parse(&exit_record(15, sender));
            assert_eq!(read, Some(ExitRecord { status: 15, sender }));
        }
    }

    fn summed(lines: &str) -> String {
        format!("{lines}sum {:08x}\n", checksum(lines.as_bytes()))
    }

    #[test]
    fn a_failure_comes_back_and_whoever_knows_of_none_reads_a_status() {
        let report = Report {
            attempt: "run \"/x\" in /".to_owned(),
            errno: libc::ENOENT,
            stage: crate::Stage::Exec {},
        };
        let text = failure_record(report.clone()) + &exit_record(256, None);
        assert_eq!(failure(&text), Some(report));
        let status = ExitRecord::parse(&text).map(|record| record.status);
        assert_eq!(status, Some(256));
        for text in [
            "",
            "256\n",
            "failed \n",
            "failed 0g 00000000\n",
            "failed 00é\n",
        ] {
            assert_eq!(failure(text), None, "{text}");
        }
    }

    #[test]
    fn the_record_of_another_build_is_read_as_far_as_it_is_known() {
        let plain = Some(ExitRecord {
            status: 256,
            sender: None,
        });
        for lines in [
            "256\n",
            "256\nsignal 15\n",
            "256\nsignal 15 code x pid 1 uid 0\n",
            "256\nmemory 12\n\n",
        ] {
            assert_eq!(ExitRecord::parse(&summed(lines)), plain, "{lines}");
        }
        let more = summed("256\nmemory 12\nsignal 15 code 0 pid 7 uid 4294967295\n");
        let read = ExitRecord::parse(&more).and_then(|record| record.sender);
        assert_eq!(read, Some(SENDER));
    }

    #[test]
    fn a_status_that_is_none_is_none() {
        for lines in ["", "25", "\n", "x\n", " 256\n"] {
            assert_eq!(ExitRecord::parse(&summed(lines)), None, "{lines:?}");
        }
    }

    #[test]
    fn a_record_that_is_cut_short_or_has_a_bit_changed_is_none() {
        let whole = exit_record(15, Some(SENDER));
        for length in 0..whole.len() {
            assert_eq!(ExitRecord::parse(&whole[..length]), None, "{length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(ExitRecord::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn a_signal_that_ends_nothing_is_told_apart() {
        let ends = |signal| Sender { signal, ..SENDER }.can_end_a_process();
        assert!(ends(libc::SIGTERM) && ends(libc::SIGUSR1) && ends(34));
        assert!(!ends(libc::SIGWINCH) && !ends(libc::SIGCONT) && !ends(libc::SIGCHLD));
    }
}
