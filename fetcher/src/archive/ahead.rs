//! Decoding on a thread of its own: it goes on while what came of it is written, as in a pipe of two
//! programs.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::ArchiveError;

const PIECE: usize = 128 << 10;
/// That wait to be written.
const PIECES: usize = 4;
const STACK_BYTES: usize = 256 << 10;

/// Has `use_it` read what `decoder` gives.
pub fn ahead<'a, T>(
    decoder: impl FnOnce() -> Box<dyn Read + 'a> + Send,
    use_it: impl FnOnce(&mut Ahead) -> Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let (give, pieces) = sync_channel(PIECES);
    let (spent, again) = channel();
    thread::scope(|scope| {
        let named = thread::Builder::new().name("decode".to_owned());
        let decoding = move || decode(decoder(), &give, &again);
        let started = named.stack_size(STACK_BYTES).spawn_scoped(scope, decoding);
        started.map_err(ArchiveError::Thread)?;
        // Dropped when it is done, which ends the thread, too.
        use_it(&mut Ahead {
            pieces,
            spent,
            piece: Vec::new(),
            read: 0,
        })
    })
}

/// Until nobody wants any more of it.
fn decode(
    mut from: Box<dyn Read + '_>,
    give: &SyncSender<io::Result<Vec<u8>>>,
    again: &Receiver<Vec<u8>>,
) {
    loop {
        let mut piece = again.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let (length, end) = fill(&mut from, &mut piece);
        piece.truncate(length);
        // What came before an error is looked at first: it may end the reading with a better reason.
        if length > 0 && give.send(Ok(piece)).is_err() {
            return;
        }
        match end {
            None => {}
            Some(Ok(())) => return,
            Some(Err(error)) => {
                // Nobody may want to know.
                let _ = give.send(Err(error));
                return;
            }
        }
    }
}

/// As much as there is room for, for small pieces would cost more to hand over; and how it ended, if it did. A
/// decoder need not say a second time what is wrong.
fn fill(from: &mut dyn Read, piece: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut length = 0;
    while length < piece.len() {
        match from.read(&mut piece[length..]) {
            Ok(0) => return (length, Some(Ok(()))),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Some(Err(error))),
        }
    }
    (length, None)
}

/// What was decoded.
pub struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    spent: Sender<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() {
            let spent = std::mem::take(&mut self.piece);
            self.read = 0;
            // The thread has ended when it takes none.
            let _ = self.spent.send(spent);
            match self.pieces.recv() {
                Ok(piece) => self.piece = piece?,
                // After the last one.
                Err(_over) => return Ok(0),
            }
        }
        let left = &self.piece[self.read..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(from: impl Read + Send + 'static) -> Result<Vec<u8>, ArchiveError> {
        ahead(
            || Box::new(from),
            |decoded| {
                let mut all = Vec::new();
                let read = decoded.read_to_end(&mut all);
                read.map_err(ArchiveError::Damaged)?;
                Ok(all)
            },
        )
    }

    #[test]
    fn it_is_read_as_it_was_decoded() {
        for length in [0, 1, PIECE, PIECE + 1, 20 * PIECE + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            assert!(read_all(io::Cursor::new(bytes.clone())).unwrap() == bytes);
        }
    }

    /// Two bytes, then an error, once.
    struct Breaks(u8);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 2 {
                return Err(io::Error::other("broken"));
            }
            self.0 += 1;
            buffer[0] = self.0;
            Ok(1)
        }
    }

    #[test]
    fn what_breaks_off_is_an_error_behind_what_came() {
        assert!(read_all(Breaks(0)).is_err());
        let first = ahead(
            || Box::new(Breaks(0)),
            |decoded| {
                let mut two = [0; 2];
                decoded
                    .read_exact(&mut two)
                    .map_err(ArchiveError::Damaged)?;
                Ok(two)
            },
        );
        assert_eq!(first.unwrap(), [1, 2]);
    }

    #[test]
    fn who_stops_reading_ends_the_decoding() {
        let stopped = ahead(|| Box::new(io::repeat(1)), |_| Ok(()));
        assert!(stopped.is_ok());
    }
}
