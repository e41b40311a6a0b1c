//! Terminals for commands that join a container.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::sys;

/// Both ends of a pseudo-terminal. See pty(7).
#[derive(Debug)]
pub struct Terminal {
    /// What is typed goes in here, what is shown comes out.
    pub master: OwnedFd,
    /// For the command: its three standard streams.
    pub slave: OwnedFd,
}

impl Terminal {
    /// A terminal of the host: a command may use it wherever it runs.
    pub fn open() -> io::Result<Self> {
        let flags = OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags | OFlag::O_RDWR)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits())
            .open(ptsname_r(&master)?)?;
        let master = master.as_fd().try_clone_to_owned()?;
        Ok(Self {
            master,
            slave: slave.into(),
        })
    }
}

/// Makes one terminal as large as another; the programs on it hear of that (SIGWINCH).
///
/// Errors: `ENOTTY` when one is no terminal.
pub fn copy_window_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_window_size(to, &sys::window_size(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_the_size_of_another() {
        let (one, other) = (Terminal::open().unwrap(), Terminal::open().unwrap());
        let size = libc::winsize {
            ws_row: 50,
            ws_col: 132,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        sys::set_window_size(one.master.as_fd(), &size).unwrap();
        copy_window_size(one.slave.as_fd(), other.master.as_fd()).unwrap();
        let copied = sys::window_size(other.slave.as_fd()).unwrap();
        assert_eq!((copied.ws_row, copied.ws_col), (50, 132));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(copy_window_size(file.as_fd(), other.master.as_fd()).is_err());
    }
}
