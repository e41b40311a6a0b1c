//! A container's terminal, shown on the caller's.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use containerizer::copy_window_size;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair,
};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

use crate::error::{Error, call};

/// The other end of a container's terminal, once it has been sent.
pub struct Terminal {
    master: OwnedFd,
    /// How the caller's own terminal was, when stdin is one.
    before: Option<Termios>,
}

/// Where it will come from, and the socket that it is to be sent over.
pub fn socket() -> Result<(OwnedFd, OwnedFd), Error> {
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    pair.map_err(call("make a pair of sockets"))
}

impl Terminal {
    /// Takes it from `socket`, and makes the caller's own terminal, if stdin is one, pass every key on.
    pub fn receive(socket: &OwnedFd) -> Result<Self, Error> {
        let master = receive(socket).map_err(call("receive the container's terminal"))?;
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            tcsetattr(&stdin, SetArg::TCSANOW, &raw).map_err(call("set up the terminal"))?;
        }
        let terminal = Self { master, before };
        terminal.resize();
        Ok(terminal)
    }

    /// As large as the caller's; where that is none it stays as it is.
    pub fn resize(&self) {
        let _ = copy_window_size(io::stdin().as_fd(), self.master.as_fd());
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// What the container has written, to stdout. `false` when there will be no more.
    pub fn show(&self) -> bool {
        pass(self.master.as_fd(), io::stdout().as_fd())
    }

    /// What was typed, to the container. `false` when there will be no more.
    pub fn type_in(&self) -> bool {
        pass(io::stdin().as_fd(), self.master.as_fd())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nobody is left to be told.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

fn receive(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut name = [0; 256];
    let mut parts = [IoSliceMut::new(&mut name)];
    let mut space = cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control
            && let Some(number) = descriptors.first()
        {
            return containerizer::received(*number);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// One buffer's worth. A terminal whose other end is closed for good answers with an error.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 16 * 1024];
    let length = match read(from, &mut buffer) {
        Ok(0) => return false,
        Err(Errno::EINTR | Errno::EAGAIN) => return true,
        Err(_closed) => return false,
        Ok(length) => length,
    };
    let mut left = buffer.get(..length).unwrap_or_default();
    while !left.is_empty() {
        match write(to, left) {
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(_closed) => return false,
        }
    }
    true
}
