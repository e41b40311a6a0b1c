//! Our end of the line to `init`: see `init::line` for what is said.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use crate::sys;
use init::Word;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, RecvMsg, SockFlag, SockType, UnixCredentials,
    recv, recvmsg, send, setsockopt, socketpair, sockopt,
};

/// A report is one phrase and a few numbers.
const LONGEST_WORD: usize = 64 * 1024;

/// A word, and who said it: the kernel signs what is sent with the number that the sender has in our
/// pid namespace, which the sender itself, in another one, cannot know. unix(7), SO_PASSCRED.
#[derive(Debug)]
pub struct Said {
    pub word: Word,
    pub speaker: Option<u32>,
    /// What came along.
    pub descriptor: Option<OwnedFd>,
}

impl Said {
    pub fn with_descriptor(self) -> (Word, Option<OwnedFd>) {
        (self.word, self.descriptor)
    }
}

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
        setsockopt(&ours, sockopt::PassCred, &true)?;
        Ok((Self(ours), theirs))
    }

    /// A connection to the gate of a container that is ready.
    pub fn connected(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Waits for the next word; `None` when there will be none: the other end is closed.
    pub fn hear(&self) -> io::Result<Option<Said>> {
        receive(&self.0, MsgFlags::empty())
    }

    /// Answers a `Word::Waiting`.
    pub fn answer(&self, state: &str) -> io::Result<()> {
        answer(&self.0, state)
    }

    /// All that is said until the other end is closed; it must not wait for an answer. Blocks no thread,
    /// and no word wakes one: that would take the processor from the speaker, or its time to have another
    /// processor woken.
    pub async fn hear_out(self) -> io::Result<Vec<Said>> {
        // What waits for this one waits for nothing else. Tokio itself also asks for data.
        let end = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        end.add(&self.0, EpollEvent::new(EpollFlags::EPOLLRDHUP, 0))?;
        let end = sys::readable(end.0).map_err(|(_given_back, error)| error)?;
        end.readable().await?.retain_ready();
        std::iter::from_fn(|| receive(&self.0, MsgFlags::MSG_DONTWAIT).transpose()).collect()
    }
}

fn receive(socket: &OwnedFd, flags: MsgFlags) -> io::Result<Option<Said>> {
    let length = length_of_next(socket, flags)?;
    if length == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    let mut control = nix::cmsg_space!(UnixCredentials, RawFd);
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let (length, speaker, descriptor) = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags);
        match received {
            Err(nix::Error::EINTR) => {}
            // It died with words of ours unread.
            Err(nix::Error::ECONNRESET) => break (0, None, None),
            received => {
                let message = received?;
                break (message.bytes, speaker(&message)?, descriptor(&message)?);
            }
        }
    };
    let bytes = bytes.get(..length).unwrap_or_default();
    if bytes.is_empty() {
        return Ok(None);
    }
    let word = Word::decode(bytes);
    let said = word.map(|word| Said {
        word,
        speaker,
        descriptor,
    });
    said.map(Some)
        .map_err(|_bad| io::Error::from(io::ErrorKind::InvalidData))
}

/// 0 at the end. A buffer for the longest would take longer to clear than all else takes here.
fn length_of_next(socket: &OwnedFd, flags: MsgFlags) -> io::Result<usize> {
    let flags = flags | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let length = loop {
        match recv(socket.as_raw_fd(), &mut [], flags) {
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::ECONNRESET) => return Ok(0),
            length => break length?,
        }
    };
    match length {
        0..=LONGEST_WORD => Ok(length),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn speaker(message: &RecvMsg<'_, '_, ()>) -> io::Result<Option<u32>> {
    let pid = message.cmsgs()?.find_map(|said| match said {
        ControlMessageOwned::ScmCredentials(of) => u32::try_from(of.pid()).ok(),
        _ => None,
    });
    Ok(pid.filter(|pid| *pid != 0))
}

fn descriptor(message: &RecvMsg<'_, '_, ()>) -> io::Result<Option<OwnedFd>> {
    let number = message.cmsgs()?.find_map(|said| match said {
        ControlMessageOwned::ScmRights(numbers) => numbers.first().copied(),
        _ => None,
    });
    number.map(sys::received).transpose()
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{IoSlice, Read as _, Write as _};

    use nix::sys::socket::{ControlMessage, sendmsg};

    use super::*;

    fn say(end: &OwnedFd, word: &Word) {
        send(end.as_raw_fd(), &word.encode(), MsgFlags::empty()).expect("says");
    }

    #[tokio::test]
    async fn what_is_heard_is_signed_with_the_speakers_number() {
        let (line, end) = Line::pair().expect("a pair");
        let words = [Word::Ready {}, Word::AboutToExec { at: 1 }];
        let heard = tokio::spawn(line.hear_out());
        for word in &words {
            say(&end, word);
            tokio::task::yield_now().await;
            assert!(!heard.is_finished());
        }
        drop(end);
        let heard = heard.await.expect("hears").expect("hears");
        let this = Some(std::process::id());
        assert!(heard.iter().all(|said| said.speaker == this), "{heard:?}");
        let heard: Vec<_> = heard.into_iter().map(|said| said.word).collect();
        assert_eq!(heard, words);
    }

    #[test]
    fn a_descriptor_comes_with_its_word() {
        let (line, end) = Line::pair().expect("a pair");
        let (read, write) = io::pipe().expect("a pipe");
        let word = Word::Listener {}.encode();
        let rights = [write.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        let parts = [IoSlice::new(&word)];
        let to = end.as_raw_fd();
        sendmsg::<()>(to, &parts, &control, MsgFlags::empty(), None).expect("says");
        drop(write);
        let said = line.hear().expect("hears").expect("a word");
        assert_eq!(said.word, Word::Listener {});
        let mut ours = File::from(said.descriptor.expect("comes along"));
        ours.write_all(b"x").expect("writes");
        drop(ours);
        let mut all = Vec::new();
        File::from(OwnedFd::from(read))
            .read_to_end(&mut all)
            .expect("reads");
        assert_eq!(all, b"x");
    }

    #[test]
    fn an_answer_is_one_message_however_long() {
        let (line, end) = Line::pair().expect("a pair");
        let state = "x".repeat(500_000);
        line.answer(&state).expect("answers");
        let mut read = vec![0; 1 << 20];
        let mut parts = [IoSliceMut::new(&mut read)];
        let message = recvmsg::<()>(end.as_raw_fd(), &mut parts, None, MsgFlags::empty());
        assert_eq!(message.expect("reads").bytes, state.len());
    }
}
