//! Beside a command: as process 1 of its container, which reaps everything, passes signals on and
//! records how the command ended; or outside, for a command that joined a container.

use std::os::fd::OwnedFd;

use init::{Sender, exit_record, fd};

use crate::bounds::{self, Bounds};
use crate::console::Kept;
use crate::failure::{Failure, because};
use crate::shown::Shown;
use crate::{Never, confine, sys};

/// Process 1 of the command's pid namespace, or in the host's. Never returns: ends with the command; of a
/// namespace of its own the kernel then kills what is left, in the host's the agent does.
pub fn until_end(
    command: i32,
    terminal: Option<Kept>,
    bounds: (u64, u64),
    unconfined: Option<OwnedFd>,
) -> Result<Never, Failure> {
    const FIRST: i32 = 1;
    let everybody = match sys::own_pid() {
        FIRST => -1,
        _ => {
            // What the command leaves behind would otherwise be left to the host.
            let subreaper = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, [1, 0, 0, 0]);
            subreaper.map_err(because("take in orphans of the command"))?;
            // Its session's first group. The whole namespace would be the whole host.
            -command
        }
    };
    let pass = |signal| match signal {
        libc::SIGTERM => sys::kill(everybody, libc::SIGTERM),
        signal => sys::kill(command, signal),
    };
    // What a terminal shows goes to one of them.
    let bounds = match (&terminal, bounds) {
        (None, both) => both,
        (Some(_), (stdout, _)) => (stdout, 0),
    };
    let bounds = Bounds::new(bounds);
    watch(command, terminal, bounds, unconfined, pass, end)
}

/// Outside the command's pid namespace. Never returns: ends with the command.
pub fn attend(command: i32, unconfined: Option<OwnedFd>) -> Result<Never, Failure> {
    let end = |status, _sender| exit_like(status);
    let pass = |signal| sys::kill(command, signal);
    watch(command, None, None, unconfined, pass, end)
}

/// Reaps whatever ends, and passes on every other signal, until the command's raw wait(2) status is
/// known. `end` hears it with the sender of the last signal that was passed on and can end a process. A
/// command that waits for the end of `unconfined` begins when we have nothing left to be taken over for.
fn watch(
    command: i32,
    terminal: Option<Kept>,
    bounds: Option<Bounds>,
    unconfined: Option<OwnedFd>,
    pass: impl Fn(i32),
    end: fn(i32, Option<Sender>) -> !,
) -> Result<Never, Failure> {
    // The launcher waits for the last copy of this to close: from now on only the command holds it,
    // and exec closes that one. And our copies of the output must not keep a pipe open.
    // What is bounded is no pipe.
    let is_used = |fd: &i32| bounds.as_ref().is_some_and(|bounds| bounds.holds(*fd));
    for unused in [fd::LINE, 0, 1, 2].iter().filter(|fd| !is_used(fd)) {
        sys::close(*unused);
    }
    let shown = terminal.as_ref().map(Shown::begin).transpose();
    let shown = shown.map_err(because("keep the command's terminal"))?;
    drop(terminal);
    confine::to_waiting(shown.is_some(), bounds.is_some())?;
    drop(unconfined);
    let mut sender = None;
    loop {
        shown.iter().for_each(|it| it.until_signal(bounds.as_ref()));
        // Without one, the wait took its time, or was interrupted by a stop and continue.
        let Some(received) = sys::wait_for_signal(bounds.as_ref().map(|_| bounds::PAUSE)) else {
            bounds.iter().for_each(Bounds::enforce);
            continue;
        };
        match received.signal {
            libc::SIGCHLD => {
                while let Some((pid, status)) = sys::reap() {
                    if pid == command {
                        shown.iter().for_each(Shown::rest);
                        end(status, sender);
                    }
                }
            }
            signal => {
                if received.can_end_a_process() {
                    sender = Some(received);
                }
                pass(signal);
            }
        }
    }
}

/// Raw wait(2) status.
fn end(status: i32, sender: Option<Sender>) -> ! {
    // The agent may be dead: this record is how the next one learns of the end. Should it not be
    // possible to write it, a live agent still learns it from our own exit.
    let _ = sys::write(fd::STATUS, exit_record(status, sender).as_bytes());
    exit_like(status)
}

/// As shells tell of a signal: 128 and its number.
fn exit_like(status: i32) -> ! {
    sys::exit(match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => 128 + signal,
    })
}
