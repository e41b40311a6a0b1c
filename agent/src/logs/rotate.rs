//! Rotates one log, and carries on where an agent has died over that. Blocks.
//!
//! ```text
//!  copy ─► note Begun ─► hollow the first block ─► note Hollow ─► take out ─► name the copy ─► note
//! ```
//!
//! No bytes are lost or doubled wherever this ends. As long as the note says `Begun` and there is no
//! hole, nothing was taken: the copy is thrown away. `Hollow` is noted while the hole is there, and
//! a task only appends, so a file without one has lost what was to be taken out of it, and nothing
//! else.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use failpoint::{Point, reach};

use super::limits::Limit;
use super::place::{Access, Place, Taken, block, first_byte, hollow, lock, take_out};
use super::plan::{Cut, Fate, Seen, news, plan};
use super::record::{Pending, Progress, Record, Source};

/// How often a copy goes on because the task has written more meanwhile.
const ROUNDS: usize = 4;

/// What was done to a log, and how it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    pub rotations: u64,
    /// Bytes that are in rotated files now.
    pub rotated: u64,
    /// Bytes that were older than all that is kept.
    pub dropped: u64,
    /// Where the file's bytes begin.
    pub start: u64,
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    #[error("cannot {attempt} {log} in {}", .sandbox.display())]
    Io {
        attempt: &'static str,
        log: &'static str,
        sandbox: PathBuf,
        source: io::Error,
    },
    #[error(
        "{log} in {} changed at its beginning while it was copied: its task must only append",
        .sandbox.display()
    )]
    Disturbed { log: &'static str, sandbox: PathBuf },
}

/// Looks at a log and does what there is to do. A log that is not there, or not a file of its task
/// alone, is left alone.
pub fn attend(sandbox: &Path, log: &'static str, limit: Limit) -> Result<Done, RotateError> {
    let fail = |attempt| {
        let sandbox = sandbox.to_owned();
        move |source| RotateError::Io {
            attempt,
            log,
            sandbox,
            source,
        }
    };
    let place = Place::at(sandbox, log).map_err(fail("find"))?;
    let Some(file) = place.open_log(Access::Write).map_err(fail("open"))? else {
        return Ok(Done::default());
    };
    lock(&file);
    let record = place
        .record()
        .map_err(fail("read the rotation's state of"))?;
    let mut rotation = Rotation {
        block: block(&file).map_err(fail("look at"))?,
        record: record.unwrap_or_default(),
        keep: limit.keep,
        done: Done::default(),
        place,
        file,
    };
    rotation
        .mend()
        .map_err(fail("mend the interrupted rotation of"))?;
    let seen = rotation.seen().map_err(fail("look at"))?;
    for cut in plan(limit, seen) {
        match rotation.cut(cut).map_err(fail("rotate"))? {
            Copied::Whole => {}
            Copied::Disturbed => {
                let sandbox = sandbox.to_owned();
                return Err(RotateError::Disturbed { log, sandbox });
            }
        }
    }
    let Seen { start, size, .. } = rotation.seen().map_err(fail("look at"))?;
    Ok(Done {
        start,
        size,
        ..rotation.done
    })
}

struct Rotation {
    place: Place,
    file: File,
    block: u64,
    keep: u32,
    record: Record,
    done: Done,
}

enum Copied {
    Whole,
    /// Somebody else took bytes off the beginning.
    Disturbed,
}

impl Rotation {
    fn seen(&self) -> io::Result<Seen> {
        Ok(Seen {
            start: first_byte(&self.file)? / self.block * self.block,
            size: self.file.metadata()?.len(),
            block: self.block,
        })
    }

    /// Where the file's bytes began when nothing was under way.
    fn noted_start(&self) -> u64 {
        self.record.start.saturating_sub(self.record.shift)
    }

    /// Brings a log to rest that another hand has left in the middle of something.
    fn mend(&mut self) -> io::Result<()> {
        let Seen { start, size, .. } = self.seen()?;
        let is_hollow = start > self.noted_start();
        match self.record.pending {
            Some(pending) if pending.progress == Progress::Hollow => self.finish(pending),
            Some(pending) if is_hollow => self.hollowed(pending),
            Some(_nothing_taken) => {
                self.place.remove_copy()?;
                self.note(None)
            }
            None if is_hollow && start < size => {
                // `init` has bounded it while there was no agent.
                self.done.dropped += start - self.noted_start();
                let pending = Pending {
                    end: start,
                    source: Source::Dropped,
                    progress: Progress::Begun,
                };
                self.note(Some(pending))?;
                self.hollowed(pending)
            }
            None if start < self.noted_start() => {
                // Its task has emptied it. The stream goes on where it was.
                self.record.shift += self.noted_start() - start;
                self.note(None)
            }
            None => Ok(()),
        }
    }

    fn cut(&mut self, cut: Cut) -> io::Result<Copied> {
        let start = self.seen()?.start;
        let mut end = start + cut.bytes;
        let source = match cut.fate {
            Fate::Dropped => Source::Dropped,
            Fate::Kept | Fate::KeptWithNews => {
                // Before there is one more: the disk is bounded at every moment.
                self.place.remove_rotated(self.keep.saturating_sub(1))?;
                end = self.without_leftovers(|it| it.copy(start, end, cut.fate))?;
                Source::Copied
            }
        };
        let seen = self.seen()?;
        if seen.start != start || seen.size <= end {
            self.place.remove_copy()?;
            return Ok(Copied::Disturbed);
        }
        match source {
            Source::Copied => self.done.rotated += end - start,
            Source::Dropped => self.done.dropped += end - start,
        }
        let pending = Pending {
            end,
            source,
            progress: Progress::Begun,
        };
        self.without_leftovers(|it| it.note(Some(pending)))?;
        reach(Point::LogBegun);
        self.hollow_first_block(start)?;
        reach(Point::LogFirstBlockHollow);
        self.hollowed(pending)?;
        Ok(Copied::Whole)
    }

    /// A copy that a full disk has cut short must not keep the disk full. Nothing is taken from the log yet.
    fn without_leftovers<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        let done = step(self);
        if done.is_err() {
            self.place.remove_copy()?;
        }
        done
    }

    /// Up to where.
    fn copy(&mut self, start: u64, mut end: u64, fate: Fate) -> io::Result<u64> {
        let mut copy = self.place.create_copy(&self.file)?;
        reach(Point::LogCopyEmpty);
        self.file.seek(SeekFrom::Start(start))?;
        let mut copied = start;
        for _round in 0..ROUNDS {
            // Where files may share blocks this copies none.
            copied += io::copy(&mut (&self.file).take(end - copied), &mut copy)?;
            if copied < end {
                // Cut short by its task: what follows notices.
                break;
            }
            match (fate, news(end, self.file.metadata()?.len(), self.block)) {
                (Fate::KeptWithNews, Some(further)) => end = further,
                _ => break,
            }
        }
        reach(Point::LogCopied);
        // The last news that there was no time for.
        Ok(copied.min(end))
    }

    /// What has a hole at its beginning must be known by that, or all of this goes wrong: where a file
    /// system tells of no holes, nothing has been done.
    fn hollow_first_block(&mut self, start: u64) -> io::Result<()> {
        let mut first = vec![0; usize::try_from(self.block).unwrap_or(0)];
        self.file.read_exact_at(&mut first, start)?;
        let hollowed = hollow(&self.file, start, start + self.block);
        if hollowed.is_ok() && first_byte(&self.file)? > start {
            return Ok(());
        }
        if hollowed.is_ok() {
            self.file.write_all_at(&first, start)?;
        }
        self.place.remove_copy()?;
        self.note(None)?;
        hollowed.and(Err(io::ErrorKind::Unsupported.into()))
    }

    /// The file has a hole at its beginning, and there is a note of what that means.
    fn hollowed(&mut self, pending: Pending) -> io::Result<()> {
        let pending = Pending {
            progress: Progress::Hollow,
            ..pending
        };
        self.note(Some(pending))?;
        reach(Point::LogHollow);
        self.finish(pending)
    }

    fn finish(&mut self, pending: Pending) -> io::Result<()> {
        let taken = match first_byte(&self.file)? {
            0 => Taken::Out,
            _ => take_out(&self.file, pending.end)?,
        };
        reach(Point::LogTakenOut);
        let named = match pending.source {
            Source::Copied => self.place.name_copy(self.keep),
            Source::Dropped => self.place.remove_rotated(0),
        };
        if named.is_err() {
            // Something of the task's is in the way for good. What is noted next is true in any case.
            self.place.remove_copy()?;
        }
        reach(Point::LogNamed);
        self.record.start = self.record.shift + pending.end;
        if taken == Taken::Out {
            self.record.shift += pending.end;
        }
        self.note(None)?;
        self.done.rotations += 1;
        named
    }

    fn note(&mut self, pending: Option<Pending>) -> io::Result<()> {
        self.record.changes = self.record.changes.wrapping_add(1);
        self.record.pending = pending;
        self.place.write_record(&self.record)
    }
}
