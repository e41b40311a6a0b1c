//! What the user reads: plain lines, written whole.

use std::io::{self, Write};

/// A line to stdout. A reader that has gone away (`| head`) is not an error of ours.
pub fn out(line: &str) {
    write(&mut io::stdout().lock(), line);
}

/// A line to stderr.
pub fn err(line: &str) {
    write(&mut io::stderr().lock(), line);
}

fn write(to: &mut impl Write, line: &str) {
    let _reader_gone = to
        .write_all(format!("{line}\n").as_bytes())
        .and_then(|()| to.flush());
}

/// An error with its causes, as one line: `error: …: caused by …`.
pub fn failure(error: &anyhow::Error) {
    err(&format!("error: {}", chain(error)));
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
