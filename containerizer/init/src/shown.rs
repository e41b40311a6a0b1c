//! What is shown on the terminal of a command that is watched over: it goes to the command's log, also
//! while no agent is alive.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use init::fd;

use crate::bounds::Bounds;
use crate::console::Kept;
use crate::sys;

pub struct Shown {
    /// Readable while a signal waits to be taken.
    signals: OwnedFd,
    /// The other end cannot be read any more.
    over: Cell<bool>,
    /// Bytes since the bounds of the log were looked at.
    unchecked: Cell<usize>,
}

/// The numbers of streams that nobody here needs any more.
const LOG: i32 = 1;
const TERMINAL: i32 = 2;

/// Bytes after which the bounds of the log are looked at: few beside what a log keeps, and many for a look.
const UNCHECKED: usize = 1 << 16;

/// More than a terminal holds.
const LAST_WORDS: usize = 64;

impl Shown {
    /// Where others find it: see [`fd::TERMINAL`].
    pub fn begin(kept: &Kept) -> io::Result<Self> {
        sys::duplicate_to(kept.multiplexer.as_raw_fd(), fd::TERMINAL, true)?;
        sys::duplicate_to(kept.log.as_raw_fd(), LOG, true)?;
        sys::duplicate_to(kept.terminal.as_raw_fd(), TERMINAL, true)?;
        Ok(Self {
            signals: sys::signal_descriptor()?,
            over: Cell::new(false),
            unchecked: Cell::new(0),
        })
    }

    /// Writes on what is shown, until a signal has come.
    pub fn until_signal(&self, bounds: Option<&Bounds>) {
        while !self.over.get() {
            match sys::wait_for_one_of(fd::TERMINAL, self.signals.as_raw_fd()) {
                Ok((shown, false)) => {
                    if shown {
                        self.write_on();
                    }
                    if self.unchecked.get() >= UNCHECKED {
                        self.unchecked.set(0);
                        bounds.into_iter().for_each(Bounds::enforce);
                    }
                }
                // Who cannot wait for both waits for signals.
                Ok((_, true)) | Err(_) => return,
            }
        }
    }

    /// What the command wrote last. Not for ever: its children may go on.
    pub fn rest(&self) {
        for _ in 0..LAST_WORDS {
            if !self.write_on() {
                return;
            }
        }
    }

    /// Whether there was something.
    fn write_on(&self) -> bool {
        let mut buffer = [0; 4096];
        match sys::read(fd::TERMINAL, &mut buffer) {
            Ok(0) => self.over.set(true),
            Ok(length) => {
                write(buffer.get(..length).unwrap_or_default());
                self.unchecked.set(self.unchecked.get() + length);
                return true;
            }
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            Err(_) => self.over.set(true),
        }
        false
    }
}

/// What cannot be written is lost: the command must not wait for a disk that is full.
fn write(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match sys::write(LOG, bytes) {
            Ok(length) if length > 0 => bytes = bytes.get(length..).unwrap_or_default(),
            Ok(_) | Err(_) => return,
        }
    }
}
