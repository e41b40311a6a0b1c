//! Our end of the line to `init`: see `init::line` for what is said.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use init::Word;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt,
};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// A report is one phrase and a few numbers.
const LONGEST_WORD: usize = 64 * 1024;

/// Dropping it ends the conversation; `init` goes on unless it waits for an answer.
#[derive(Debug)]
pub struct Line(OwnedFd);

impl Line {
    /// With the other end, which is for `init`.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self(ours), theirs))
    }

    /// A connection to the gate of a container that is ready.
    pub fn connected(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Waits for the next word; `None` when there will be none: the other end is closed.
    pub fn hear(&self) -> io::Result<Option<Word>> {
        receive(&self.0, MsgFlags::empty())
    }

    /// Answers a `Word::Waiting`.
    pub fn answer(&self, state: &str) -> io::Result<()> {
        answer(&self.0, state)
    }

    pub fn into_async(self) -> io::Result<AsyncLine> {
        let descriptor = sys::readable(self.0).map_err(|(_given_back, error)| error)?;
        Ok(AsyncLine(descriptor))
    }
}

/// The same without blocking a thread.
#[derive(Debug)]
pub struct AsyncLine(AsyncFd<OwnedFd>);

impl AsyncLine {
    /// Cancel safe.
    pub async fn hear(&self) -> io::Result<Option<Word>> {
        loop {
            let mut ready = self.0.readable().await?;
            let heard = ready.try_io(|fd| receive(fd.get_ref(), MsgFlags::MSG_DONTWAIT));
            if let Ok(heard) = heard {
                return heard;
            }
        }
    }
}

fn receive(socket: &OwnedFd, flags: MsgFlags) -> io::Result<Option<Word>> {
    let mut bytes = vec![0; LONGEST_WORD];
    let length = loop {
        match recv(socket.as_raw_fd(), &mut bytes, flags) {
            Err(nix::Error::EINTR) => {}
            // It died with words of ours unread.
            Err(nix::Error::ECONNRESET) => break 0,
            received => break received?,
        }
    };
    let bytes = bytes.get(..length).unwrap_or_default();
    if bytes.is_empty() {
        return Ok(None);
    }
    let word = Word::decode(bytes);
    word.map(Some)
        .map_err(|_bad| io::Error::from(io::ErrorKind::InvalidData))
}

fn answer(socket: &OwnedFd, state: &str) -> io::Result<()> {
    // Of a state with large annotations.
    if state.len() > LONGEST_WORD {
        setsockopt(socket, sockopt::SndBuf, &(state.len() * 2))?;
    }
    // Never empty, for that would look like our end.
    let answer = if state.is_empty() { "{}" } else { state };
    let sent = send(
        socket.as_raw_fd(),
        answer.as_bytes(),
        MsgFlags::MSG_NOSIGNAL,
    );
    sent.map(drop).map_err(io::Error::from)
}
