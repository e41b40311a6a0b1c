//! Terminals: ioctl_tty(2), termios(3).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::{check, owned};

pub const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// f_type of fstatfs(2).
pub fn file_system_type(fd: BorrowedFd<'_>) -> io::Result<i64> {
    let mut status = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: fstatfs fills the struct when it succeeds.
    unsafe {
        check(libc::fstatfs(fd.as_raw_fd(), status.as_mut_ptr()).into())?;
        Ok(status.assume_init().f_type as _)
    }
}

/// The terminal behind a newly opened multiplexer, made ready for use. ioctl_tty(2), Linux 4.13.
pub fn terminal_of(multiplexer: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const TIOCGPTPEER: u64 = 0x5441;
    let unlocked: libc::c_int = 0;
    let fd = multiplexer.as_raw_fd();
    // SAFETY: TIOCSPTLCK reads a number, TIOCGPTPEER takes flags.
    unsafe {
        check(libc::ioctl(fd, libc::TIOCSPTLCK as _, &raw const unlocked).into())?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        owned(libc::ioctl(fd, TIOCGPTPEER as _, flags).into())
    }
}

/// A newline stays one. termios(3), ONLCR.
pub fn end_lines_plainly(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr fills the struct when it succeeds, and tcsetattr reads it.
    unsafe {
        check(libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()).into())?;
        let mut settings = settings.assume_init();
        settings.c_oflag &= !libc::ONLCR;
        check(libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const settings).into())
            .map(drop)
    }
}

pub fn set_window_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads the struct, which outlives the call.
    check(
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) }.into(),
    )
    .map(drop)
}

/// Makes `uid` the owner of an open file; its group stays.
pub fn give_to(file: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    // SAFETY: fchown(2) takes numbers.
    check(unsafe { libc::fchown(file.as_raw_fd(), uid, u32::MAX) }.into()).map(drop)
}

/// Makes the terminal at standard input control this session, which has none yet. tty_ioctl(4).
pub fn control_by_stdin() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number; 0 takes the terminal from nobody.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }.into()).map(drop)
}
