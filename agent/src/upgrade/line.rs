//! The line between the agent and its successor: a pair of sockets, of which the successor has one as its
//! stdin. The descriptors come first.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::word::{Word, WordError, hear, say};

/// Socket, and the locks of the runtime and the work directory.
const DESCRIPTORS: usize = 3;

/// Comes with them, for something has to.
const GREETING: u8 = b'L';

/// They are there before the successor is.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn send(line: &UnixStream, descriptors: [BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
    let numbers = descriptors.map(|it| it.as_raw_fd());
    let control = [ControlMessage::ScmRights(&numbers)];
    let parts = [IoSlice::new(&[GREETING])];
    sendmsg::<()>(
        line.as_raw_fd(),
        &parts,
        &control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Blocks, but not for long.
pub fn receive(line: &UnixStream) -> io::Result<[OwnedFd; DESCRIPTORS]> {
    line.set_read_timeout(Some(PATIENCE))?;
    let mut greeting = [0];
    let mut parts = [IoSliceMut::new(&mut greeting)];
    let mut space = cmsg_space!([RawFd; DESCRIPTORS]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(line.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            for number in numbers {
                received.push(containerizer::received(number)?);
            }
        }
    }
    line.set_read_timeout(None)?;
    let other = |_| io::Error::other("other descriptors came than are handed over");
    received.try_into().map_err(other)
}

/// One end, when the descriptors have passed.
#[derive(Debug)]
pub struct Line {
    words: mpsc::Receiver<Result<Word, WordError>>,
    to: OwnedWriteHalf,
    reader: JoinHandle<()>,
}

impl Line {
    pub fn new(line: UnixStream) -> io::Result<Line> {
        line.set_nonblocking(true)?;
        let (mut from, to) = tokio::net::UnixStream::from_std(line)?.into_split();
        let (tell, words) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            loop {
                let heard = hear(&mut from).await;
                let is_last = heard.is_err();
                if tell.send(heard).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Line { words, to, reader })
    }

    /// Cancel safe.
    pub async fn hear(&mut self) -> Result<Word, WordError> {
        self.words.recv().await.unwrap_or(Err(WordError::Closed))
    }

    pub async fn say(&mut self, word: &Word) -> Result<(), WordError> {
        let said = tokio::time::timeout(PATIENCE, say(&mut self.to, word)).await;
        said.unwrap_or(Err(WordError::Deaf))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[tokio::test]
    async fn descriptors_and_words_come_through() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let files = [(); 3].map(|()| tempfile::tempfile().unwrap());
        send(&ours, [0, 1, 2].map(|n: usize| files[n].as_fd())).unwrap();
        let received = receive(&theirs).unwrap();
        for (file, came) in files.iter().zip(received) {
            let came = std::fs::File::from(came).metadata().unwrap();
            assert_eq!(came.ino(), file.metadata().unwrap().ino());
        }
        let (mut ours, mut theirs) = (Line::new(ours).unwrap(), Line::new(theirs).unwrap());
        ours.say(&Word::Go { registered: true }).await.unwrap();
        theirs.say(&Word::Ready).await.unwrap();
        assert_eq!(theirs.hear().await.unwrap(), Word::Go { registered: true });
        assert_eq!(ours.hear().await.unwrap(), Word::Ready);
        drop(theirs);
        assert!(matches!(ours.hear().await, Err(WordError::Closed)));
    }

    #[test]
    fn who_says_something_else_hands_over_nothing() {
        use std::io::Write as _;
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"hello").unwrap();
        assert!(receive(&theirs).is_err());
    }
}
