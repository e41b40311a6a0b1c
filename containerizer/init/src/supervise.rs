//! Beside a command: as process 1 of its container, which reaps everything, passes signals on and
//! records how the command ended; or outside, for a command that joined a container.

use init::fd;

use crate::failure::Failure;
use crate::{Never, sys};

/// Never returns: ends with the command. The kernel then kills what is left of the pid namespace.
pub fn until_end(command: i32) -> Result<Never, Failure> {
    // The launcher waits for the last copy of this to close: from now on only the command holds it,
    // and exec closes that one. And our copies of the output must not keep a pipe open.
    for unused in [fd::REPORT, 0, 1, 2] {
        sys::close(unused);
    }
    loop {
        match sys::wait_for_signal() {
            libc::SIGCHLD => {
                while let Some((pid, status)) = sys::reap() {
                    if pid == command {
                        end(status);
                    }
                }
            }
            libc::SIGTERM => sys::kill(-1, libc::SIGTERM),
            signal if signal > 0 => sys::kill(command, signal),
            // Interrupted by a stop and continue.
            _ => {}
        }
    }
}

/// Never returns: ends with the command.
pub fn attend(command: i32) -> Result<Never, Failure> {
    for unused in [fd::REPORT, fd::STATUS, 0, 1, 2] {
        sys::close(unused);
    }
    loop {
        match sys::wait_for_signal() {
            libc::SIGCHLD => {
                while let Some((pid, status)) = sys::reap() {
                    if pid == command {
                        exit_like(status);
                    }
                }
            }
            signal if signal > 0 => sys::kill(command, signal),
            _ => {}
        }
    }
}

/// Raw wait(2) status.
fn end(status: i32) -> ! {
    // The agent may be dead: this record is how the next one learns of the end. Should it not be
    // possible to write it, a live agent still learns it from our own exit.
    let _ = sys::write(fd::STATUS, format!("{status}\n").as_bytes());
    exit_like(status)
}

/// As shells tell of a signal: 128 and its number.
fn exit_like(status: i32) -> ! {
    sys::exit(match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => 128 + signal,
    })
}
