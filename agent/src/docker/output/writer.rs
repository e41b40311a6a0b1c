//! Writes what is new to the sandbox's logs, and notes it. Blocks.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine::Source;

use super::mark::{Gate, Mark, Marks};
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::logs;

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("cannot {attempt} {log} in {}", .sandbox.display())]
    Log {
        attempt: &'static str,
        log: &'static str,
        sandbox: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Note(#[from] CheckpointError),
}

/// A line of one of the streams, with its time.
#[derive(Debug, Clone)]
pub struct Line {
    pub source: Source,
    pub time: u64,
    pub bytes: Bytes,
}

#[derive(Debug)]
pub struct Writer {
    stdout: Log,
    stderr: Log,
    note: PathBuf,
}

#[derive(Debug)]
struct Log {
    sandbox: PathBuf,
    name: &'static str,
    /// `None` where the task has put something else: then its output is nowhere, as it would be for itself.
    file: Option<File>,
    gate: Gate,
}

/// Notes where the sandbox's logs end before the container is there: what others wrote to them is none of its
/// output.
pub fn begin(note: &Path, sandbox: &Path) -> Result<(), OutputError> {
    let mark = |name| -> Result<Option<Mark>, OutputError> {
        let end = end(sandbox, name)?;
        Ok(Some(Mark {
            time: 0,
            count: 0,
            end,
        }))
    };
    let marks = Marks {
        stdout: mark("stdout")?,
        stderr: mark("stderr")?,
    };
    Ok(checkpoint::write(note, &marks, Durability::Process)?)
}

fn end(sandbox: &Path, name: &'static str) -> Result<u64, OutputError> {
    let end = logs::end(sandbox, name).map_err(|source| OutputError::Log {
        attempt: "look at",
        log: name,
        sandbox: sandbox.to_owned(),
        source,
    })?;
    Ok(end.unwrap_or_default())
}

impl Writer {
    /// Goes on where the note says.
    pub fn open(note: &Path, sandbox: &Path) -> Result<Writer, OutputError> {
        let marks = checkpoint::read::<Marks>(note)?.unwrap_or_default();
        Ok(Writer {
            stdout: Log::open(sandbox, "stdout", marks.stdout)?,
            stderr: Log::open(sandbox, "stderr", marks.stderr)?,
            note: note.to_owned(),
        })
    }

    pub fn marks(&self) -> Marks {
        Marks {
            stdout: Some(self.stdout.gate.mark()),
            stderr: Some(self.stderr.gate.mark()),
        }
    }

    /// On an error nobody knows what of it was written, but for who opens a writer anew.
    pub fn write(&mut self, lines: &[Line]) -> Result<(), OutputError> {
        for (source, log) in [
            (Source::Stdout, &mut self.stdout),
            (Source::Stderr, &mut self.stderr),
        ] {
            log.write(lines.iter().filter(|line| line.source == source))?;
        }
        Ok(checkpoint::write(
            &self.note,
            &self.marks(),
            Durability::Process,
        )?)
    }
}

impl Log {
    fn open(sandbox: &Path, name: &'static str, mark: Option<Mark>) -> Result<Log, OutputError> {
        let file = logs::appending(sandbox, name).map_err(|source| OutputError::Log {
            attempt: "open",
            log: name,
            sandbox: sandbox.to_owned(),
            source,
        })?;
        let end = end(sandbox, name)?;
        let mark = mark.unwrap_or(Mark {
            time: 0,
            count: 0,
            end,
        });
        Ok(Log {
            sandbox: sandbox.to_owned(),
            name,
            file,
            gate: Gate::new(mark, end),
        })
    }

    fn write<'a>(&mut self, lines: impl Iterator<Item = &'a Line>) -> Result<(), OutputError> {
        let mut fresh = Vec::new();
        for line in lines {
            fresh.extend_from_slice(self.gate.pass(line.time, &line.bytes));
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(&fresh).map_err(|source| OutputError::Log {
            attempt: "write to",
            log: self.name,
            sandbox: self.sandbox.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(source: Source, time: u64, text: &str) -> Line {
        Line {
            source,
            time,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    #[test]
    fn who_comes_next_goes_on_with_the_byte_that_is_missing() {
        let sandbox = tempfile::tempdir().unwrap();
        let of = |name: &str| sandbox.path().join(name);
        let note = of("note");
        fs::write(of("stdout"), "").unwrap();
        fs::write(of("stderr"), "Pulling\n").unwrap();
        begin(&note, sandbox.path()).unwrap();
        let lines = [
            line(Source::Stdout, 5, "one\n"),
            line(Source::Stderr, 6, "oh\n"),
            line(Source::Stdout, 6, "two\n"),
            line(Source::Stdout, 6, "three\n"),
        ];
        let mut writer = Writer::open(&note, sandbox.path()).unwrap();
        writer.write(&lines[..3]).unwrap();
        // He dies in the middle of a line.
        let mut stdout = fs::OpenOptions::new()
            .append(true)
            .open(of("stdout"))
            .unwrap();
        stdout.write_all(b"thr").unwrap();
        for _ in 0..2 {
            let mut writer = Writer::open(&note, sandbox.path()).unwrap();
            writer.write(&lines).unwrap();
        }
        let read = |name| fs::read_to_string(of(name)).unwrap();
        assert_eq!(read("stdout"), "one\ntwo\nthree\n");
        assert_eq!(read("stderr"), "Pulling\noh\n");
    }

    #[test]
    fn a_log_that_the_task_has_replaced_gets_nothing() {
        let sandbox = tempfile::tempdir().unwrap();
        let elsewhere = sandbox.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, sandbox.path().join("stdout")).unwrap();
        let mut writer = Writer::open(&sandbox.path().join("note"), sandbox.path()).unwrap();
        writer.write(&[line(Source::Stdout, 5, "one\n")]).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
    }
}
