//! A terminal of the container's own.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use init::Terminal;

use crate::root::Root;
use crate::sys;

/// The container's multiplexer. Not `/dev/ptmx`, which is a link that an image may have put there.
const MULTIPLEXER: &str = "/dev/pts/ptmx";
const CONSOLE: &str = "/dev/console";

/// A terminal whose other end stays here.
pub struct Kept {
    pub multiplexer: OwnedFd,
    /// Held, so that what is shown is not lost, nor the other end hung up, while no process has it.
    pub terminal: OwnedFd,
    /// What was the standard output.
    pub log: OwnedFd,
}

/// Makes a terminal, puts it on the standard streams and at /dev/console where that is asked for, and
/// sends its other end over `socket`, or keeps it.
///
/// What the image put at these paths is not trusted: the multiplexer must be one, of a devpts, and the
/// terminal is reached through it and not by its name (CVE-2025-52565).
pub fn make(root: &Root, socket: Option<i32>, wanted: &Terminal) -> io::Result<Option<Kept>> {
    let waits = match socket {
        Some(_) => 0,
        None => libc::O_NONBLOCK,
    };
    let flags = libc::O_RDWR | libc::O_NOCTTY | waits;
    let multiplexer = root.open_plainly(MULTIPLEXER, flags)?;
    let device = sys::metadata(multiplexer.as_fd())?.rdev();
    let of_devpts = sys::file_system_type(multiplexer.as_fd())? == sys::DEVPTS_SUPER_MAGIC;
    if device != libc::makedev(5, 2) || !of_devpts {
        return Err(io::Error::from_raw_os_error(libc::ENOTTY));
    }
    let terminal = sys::terminal_of(multiplexer.as_fd())?;
    if wanted.plain {
        sys::end_lines_plainly(terminal.as_fd())?;
    }
    if let Some((rows, columns)) = wanted.size {
        sys::set_window_size(terminal.as_fd(), rows, columns)?;
    }
    sys::give_to(terminal.as_fd(), wanted.uid)?;
    if wanted.shown {
        show(root, &terminal)?;
    }
    let log = match socket {
        Some(socket) => {
            sys::send_descriptor(socket, multiplexer.as_raw_fd(), MULTIPLEXER.as_bytes())?;
            None
        }
        None => Some(sys::inherited(libc::STDOUT_FILENO).try_clone_to_owned()?),
    };
    for stream in 0..3 {
        sys::duplicate_to(terminal.as_raw_fd(), stream, false)?;
    }
    Ok(log.map(|log| Kept {
        multiplexer,
        terminal,
        log,
    }))
}

fn show(root: &Root, terminal: &OwnedFd) -> io::Result<()> {
    root.make_file(CONSOLE, None)?;
    let at = root.open_plainly(CONSOLE, libc::O_PATH)?;
    let tree = sys::clone_tree(terminal.as_raw_fd(), "", false)?;
    sys::move_mount(tree.as_fd(), at.as_fd(), "")
}
