//! A file written with its zeros left out: a sparse archive of some hundred bytes must not turn into
//! gigabytes of real blocks.

use std::fs::File;
use std::io::{self, Seek, Write};

/// Longest piece that can become a hole at once.
pub const PIECE: usize = 64 << 10;
static ZEROS: [u8; PIECE] = [0; PIECE];

pub struct Holes(File);

impl Holes {
    /// `file` is new and empty.
    pub fn new(file: File) -> Self {
        Self(file)
    }

    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if ZEROS.get(..piece.len()) == Some(piece) {
            // At most 64 KiB, so it fits.
            return self.0.seek_relative(piece.len() as i64);
        }
        self.0.write_all(piece)
    }

    /// A hole at the end exists only by the file's length.
    pub fn finish(mut self) -> io::Result<File> {
        let end = self.0.stream_position()?;
        self.0.set_len(end)?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_read_back_as_zeros_and_take_no_blocks() {
        let mut holes = Holes::new(tempfile::tempfile().unwrap());
        let zeros = vec![0; PIECE];
        holes.write(b"a").unwrap();
        for _ in 0..64 {
            holes.write(&zeros).unwrap();
        }
        holes.write(b"b").unwrap();
        holes.write(&zeros).unwrap();
        let mut file = holes.finish().unwrap();
        let length = 2 + 65 * PIECE;
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), length as u64);
        assert!(metadata.blocks() * 512 < 64 * PIECE as u64 / 2);
        let mut back = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut back).unwrap();
        let mut expected = vec![0; length];
        (expected[0], expected[1 + 64 * PIECE]) = (b'a', b'b');
        assert!(back == expected);
    }
}
