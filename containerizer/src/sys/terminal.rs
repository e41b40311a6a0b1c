//! Terminals. tty_ioctl(4).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// tty_ioctl(4). Errors: `ENOTTY`.
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<libc::winsize> {
    let mut size = std::mem::MaybeUninit::uninit();
    // SAFETY: TIOCGWINSZ fills the struct, which outlives the call, when it succeeds.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: see above.
        _ => Ok(unsafe { size.assume_init() }),
    }
}

/// tty_ioctl(4). Errors: `ENOTTY`.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: &libc::winsize) -> io::Result<()> {
    // SAFETY: TIOCSWINSZ reads the struct, which outlives the call.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, size) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
