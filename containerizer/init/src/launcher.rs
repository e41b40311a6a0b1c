//! The other end of the line: the launcher, or whoever starts a container that is ready.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use init::{Awaited, Report, Word, failure_record, fd};

use crate::failure::{Failure, because};
use crate::sys;

/// Its number changes once, when the command's own descriptors are to have the low ones.
static LINE: AtomicI32 = AtomicI32::new(fd::LINE);

/// [`fd::STATUS`] is what it was at the start.
static HAS_RECORD: AtomicBool = AtomicBool::new(true);

/// More than a state can have.
const LONGEST_ANSWER: usize = 1 << 20;

fn line() -> RawFd {
    LINE.load(Ordering::Relaxed)
}

pub fn say(word: &Word) -> io::Result<()> {
    sys::send(line(), &word.encode())
}

/// A word that a descriptor goes along with. It makes one system call, and no other.
pub fn hand(word: &[u8], descriptor: RawFd) -> io::Result<()> {
    sys::send_descriptor(line(), descriptor, word)
}

/// The same where nobody needs to hear it: the agent may have died, and the next one finds the container.
pub fn tell(word: &Word) -> io::Result<()> {
    match say(word) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET)) => Ok(()),
        said => said,
    }
}

/// What is at the number of the exit record from now on is another file.
pub fn give_up_record() {
    HAS_RECORD.store(false, Ordering::Relaxed);
}

/// As a last word; when nobody hears it, the launcher learns of our end all the same, and the next one reads
/// it.
pub fn report(failure: Failure) {
    let Failure {
        attempt,
        errno,
        stage,
    } = failure;
    let report = Report {
        attempt,
        errno,
        stage,
    };
    if HAS_RECORD.load(Ordering::Relaxed) {
        let _ = sys::write(fd::STATUS, failure_record(report.clone()).as_bytes());
    }
    let _ = say(&Word::Failed { report });
}

/// Says that something is to be done outside, and returns the answer when it has been.
pub fn wait_for(awaited: Awaited) -> Result<String, Failure> {
    say(&Word::Waiting { awaited })
        .and_then(|()| sys::receive(line(), LONGEST_ANSWER))
        .and_then(|answer| match answer.is_empty() {
            true => Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
            false => String::from_utf8(answer)
                .map_err(|_utf8| io::Error::from_raw_os_error(libc::EBADMSG)),
        })
        .map_err(because("hear from the launcher"))
}

/// From now on `connection` is the line.
pub fn turn_to(connection: &OwnedFd) -> io::Result<()> {
    sys::duplicate_to(connection.as_raw_fd(), line(), true)
}

/// Takes the line out of the way of descriptors below `floor`.
pub fn move_above(floor: RawFd) -> io::Result<()> {
    let moved = sys::duplicate_above(line(), floor)?;
    let old = LINE.swap(moved, Ordering::Relaxed);
    sys::close(old);
    Ok(())
}
