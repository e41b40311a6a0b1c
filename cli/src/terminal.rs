//! What the user reads: plain lines, written whole.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a program that has failed waits for somebody to read why.
const PATIENCE: Duration = Duration::from_secs(2);

/// A line to stdout. A reader that has gone away (`| head`) is not an error of ours.
pub fn out(line: &str) {
    let _reader_gone = try_out(line);
}

/// The same, for those who want to know whether somebody reads it.
pub fn try_out(line: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), line)
}

/// A line to stderr.
pub fn err(line: &str) {
    let _reader_gone = write(&mut io::stderr().lock(), line);
}

fn write(to: &mut impl Write, line: &str) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())?;
    to.flush()
}

/// An error with its causes, as one line: `error: …: caused by …`. Meant for the end: a pipe that
/// nobody reads keeps the program only for a moment.
pub fn failure(error: &anyhow::Error) {
    let line = format!("error: {}", chain(error));
    let (written, wait) = mpsc::channel();
    thread::spawn(move || {
        err(&line);
        let _too_late = written.send(());
    });
    let _unread = wait.recv_timeout(PATIENCE);
}

/// What others wrote, such that it can do nothing to a terminal: characters that control one, or turn
/// the order of others round, are shown as escapes.
pub fn harmless(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\t' && (c.is_control() || turns(c)) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Causes that only repeat what was said are left out.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": caused by ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_others_wrote_does_nothing_to_a_terminal() {
        for (text, shown) in [
            ("a\tb ü €", "a\tb ü €"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("50 %\r51 %", "50 %\\r51 %"),
            ("\u{9b}2J\u{202e}x", "\\u{9b}2J\\u{202e}x"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn causes_follow_on_one_line_and_none_twice() {
        let error = anyhow!("no such file").context("cannot read a.json: no such file");
        assert_eq!(chain(&error), "cannot read a.json: no such file");
        let error = anyhow!("permission denied").context("cannot start the agent");
        assert_eq!(
            chain(&error),
            "cannot start the agent: caused by permission denied"
        );
    }
}
