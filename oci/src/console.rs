//! Sockets of the caller that descriptors of a container are sent to.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use containerizer::Identity;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::error::{Error, call, file};

pub fn connect(path: &Path) -> Result<OwnedFd, Error> {
    let stream = UnixStream::connect(path).map_err(file("connect to", path))?;
    Ok(stream.into())
}

/// A descriptor of a process, which cannot come to mean another one as its number can. Does nothing
/// where no socket is named.
pub fn send_pidfd(socket: Option<&Path>, process: Identity) -> Result<(), Error> {
    let Some(path) = socket else { return Ok(()) };
    let socket = connect(path)?;
    let opened = process.open().map_err(call("open the new process"))?;
    let gone = || file("send a pidfd to", path)(io::ErrorKind::NotFound.into());
    let pidfd = opened.ok_or_else(gone)?;
    send(&socket, &pidfd).map_err(|error| file("send a pidfd to", path)(error))
}

/// unix(7): a descriptor goes along with at least one byte, here with its name.
fn send(socket: &OwnedFd, descriptor: &OwnedFd) -> io::Result<()> {
    let descriptors = [descriptor.as_raw_fd()];
    let with = [ControlMessage::ScmRights(&descriptors)];
    let name = [IoSlice::new(b"pidfd")];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &name,
        &with,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}
