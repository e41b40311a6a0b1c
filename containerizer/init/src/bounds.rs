//! The command's output, kept from filling the disk while no agent rotates it.
//!
//! What is older than all that an agent would keep is given back to the file system: offsets stay, and
//! the agent that comes knows by the hole how much that was. Whoever takes bytes out of the file holds
//! its lock, as this does: see [`init::LOG_LOCK`].

use std::os::fd::RawFd;

use crate::sys;

/// Seconds between two looks.
pub const PAUSE: i64 = 5;

/// What is given back comes in multiples of this: no file system has larger blocks.
const UNIT: u64 = 1 << 16;

/// The files of a command, and how much is kept of each; without those that are not bounded.
pub struct Bounds([(RawFd, u64); 2]);

impl Bounds {
    /// `None` when neither is bounded.
    pub fn new((stdout, stderr): (u64, u64)) -> Option<Self> {
        (stdout > 0 || stderr > 0).then_some(Self([(1, stdout), (2, stderr)]))
    }

    /// Those that this needs open.
    pub fn holds(&self, fd: RawFd) -> bool {
        self.0.iter().any(|(own, bound)| *own == fd && *bound > 0)
    }

    pub fn enforce(&self) {
        for (fd, bound) in self.0.iter().filter(|(_, bound)| *bound > 0) {
            // Whatever fails is tried again.
            if is_beyond(*fd, *bound) && sys::lock_log(*fd).is_ok() {
                give_back(*fd, *bound);
                sys::unlock_log(*fd);
            }
        }
    }
}

/// An agent has had time to see to it: it keeps a log well below this.
fn is_beyond(fd: RawFd, bound: u64) -> bool {
    sys::size(fd).is_ok_and(|size| size.on_disk > bound + bound / 4)
}

fn give_back(fd: RawFd, bound: u64) {
    // Again, for it was not locked.
    if let (true, Ok(size)) = (is_beyond(fd, bound), sys::size(fd)) {
        let end = size.bytes.saturating_sub(bound) / UNIT * UNIT;
        if end > 0 {
            let _ = sys::punch(fd, end);
        }
    }
}
