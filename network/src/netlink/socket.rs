//! A conversation with the kernel. It answers while it is asked, so nothing here ever waits for it.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, SndBufForce};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    setsockopt, socket,
};

use super::message::{HEADER, Message, flag};

/// The kernel makes an answer's parts no larger than half of it.
const BUFFER: usize = 64 * 1024;
/// Bytes that may be under way: a table with thousands of ports is told in one go.
const UNDERWAY: usize = 8 << 20;
/// A dump that met a change is begun again, this often.
const TRIES: usize = 8;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Of a header: the dump saw half of a change.
const INTERRUPTED: u16 = 0x10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Route,
    Netfilter,
}

#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

/// One message of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub kind: u16,
    pub sequence: u32,
    flags: u16,
    pub body: Vec<u8>,
}

/// The first of several messages that the kernel did not do as told.
#[derive(Debug)]
pub struct Refused {
    /// Its place among those that were sent.
    pub at: usize,
    pub error: io::Error,
}

impl Socket {
    /// In the network namespace of this thread, for good.
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let protocol = match protocol {
            Protocol::Route => SockProtocol::NetlinkRoute,
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let kind = SockType::Raw;
        let fd = socket(
            AddressFamily::Netlink,
            kind,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )?;
        Ok(Self::of(fd))
    }

    /// One that was opened elsewhere.
    pub fn of(fd: OwnedFd) -> Self {
        Self { fd, sequence: 0 }
    }

    /// Hears what is told to everyone.
    pub fn join(&self, group: u32) -> io::Result<()> {
        bind(self.fd.as_raw_fd(), &NetlinkAddr::new(0, 1 << (group - 1)))?;
        Ok(())
    }

    /// For messages that are large, and answers to many.
    pub fn with_room(self) -> io::Result<Self> {
        setsockopt(&self.fd, SndBufForce, &UNDERWAY)?;
        setsockopt(&self.fd, RcvBufForce, &UNDERWAY)?;
        Ok(self)
    }

    /// Sends all at once; the kernel does one after the other, also when one fails.
    pub fn tell(&mut self, messages: &[Message]) -> Result<(), Refused> {
        let first = self.sequence + 1;
        self.send(messages, flag::ACK).map_err(refused(0))?;
        let replies = self.receive(|_| false).map_err(refused(0))?;
        let errors = replies.iter().filter_map(Reply::error);
        let failed = errors.filter(|(_, error)| *error != 0);
        match failed.min_by_key(|(sequence, _)| *sequence) {
            None => Ok(()),
            Some((sequence, errno)) => Err(Refused {
                at: sequence.saturating_sub(first) as usize,
                error: io::Error::from_raw_os_error(errno),
            }),
        }
    }

    /// Asks for one thing.
    pub fn get(&mut self, message: &Message) -> io::Result<Reply> {
        self.send(std::slice::from_ref(message), 0)?;
        let replies = self.receive(|_| false)?;
        checked(&replies)?;
        let answer = replies.into_iter().find(|reply| reply.kind > DONE);
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Asks for all of a kind.
    pub fn dump(&mut self, message: &Message) -> io::Result<Vec<Reply>> {
        for _ in 0..TRIES {
            self.send(std::slice::from_ref(message), flag::DUMP)?;
            let mut replies = self.receive(|reply| reply.kind == DONE)?;
            checked(&replies)?;
            if (replies.iter()).all(|reply| reply.flags & INTERRUPTED == 0) {
                replies.retain(|reply| reply.kind > DONE);
                return Ok(replies);
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    fn send(&mut self, messages: &[Message], flags: u16) -> io::Result<()> {
        // What an earlier failure left unread would be taken for an answer.
        let _ = self.receive(|_| false);
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence += 1;
            let mut message = message.clone();
            message.flags |= flags;
            message.encode(self.sequence, &mut bytes);
        }
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.fd.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        Ok(())
    }

    /// Until `is_last`, or nothing is left.
    pub fn receive(&self, is_last: impl Fn(&Reply) -> bool) -> io::Result<Vec<Reply>> {
        let mut buffer = vec![0; BUFFER];
        let mut replies = Vec::new();
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return Ok(replies),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(length) => {
                    replies.extend(Reply::parse(buffer.get(..length).unwrap_or_default()));
                    if replies.last().is_some_and(&is_last) {
                        return Ok(replies);
                    }
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn refused(at: usize) -> impl Fn(io::Error) -> Refused {
    move |error| Refused { at, error }
}

fn checked(replies: &[Reply]) -> io::Result<()> {
    let errors = replies.iter().filter_map(Reply::error);
    match errors.map(|(_, errno)| errno).find(|errno| *errno != 0) {
        None => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

impl Reply {
    /// It ends where the bytes are no messages any more.
    pub fn parse(mut rest: &[u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let number = |at: usize| {
                let bytes = rest.get(at..at + 4)?;
                Some(u32::from_ne_bytes(bytes.try_into().ok()?))
            };
            let short = |at: usize| {
                let bytes = rest.get(at..at + 2)?;
                Some(u16::from_ne_bytes(bytes.try_into().ok()?))
            };
            let length = number(0)? as usize;
            let reply = Self {
                kind: short(4)?,
                flags: short(6)?,
                sequence: number(8)?,
                body: rest.get(HEADER..length)?.to_vec(),
            };
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some(reply)
        })
    }

    /// Which message the kernel speaks of, and what it says of it; 0 when it was done.
    fn error(&self) -> Option<(u32, i32)> {
        let says = match self.kind {
            ERROR | DONE => self.body.first_chunk::<4>()?,
            _ => return None,
        };
        Some((self.sequence, i32::from_ne_bytes(*says).saturating_neg()))
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}
