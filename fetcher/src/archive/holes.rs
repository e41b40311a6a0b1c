//! A file written with its zeros left out: a sparse archive of some hundred bytes must not turn into
//! gigabytes of real blocks.

use std::fs::File;
use std::io::{self, Seek, Write};

/// Longest piece that can become a hole at once.
pub const PIECE: usize = 64 << 10;
static ZEROS: [u8; PIECE] = [0; PIECE];

/// Whether it can be a hole; at most `PIECE` bytes.
pub fn are_zeros(piece: &[u8]) -> bool {
    ZEROS.get(..piece.len()) == Some(piece)
}

pub struct Holes {
    file: File,
    /// What is left out behind the last byte that was written.
    hole: i64,
    length: u64,
}

impl Holes {
    /// `file` is new and empty.
    pub fn new(file: File) -> Self {
        Self {
            file,
            hole: 0,
            length: 0,
        }
    }

    /// At most `PIECE` bytes.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.length += piece.len() as u64;
        if are_zeros(piece) {
            self.hole += piece.len() as i64;
            return Ok(());
        }
        if self.hole > 0 {
            self.file.seek_relative(self.hole)?;
            self.hole = 0;
        }
        self.file.write_all(piece)
    }

    /// A hole at the end exists only by the file's length.
    pub fn finish(self) -> io::Result<File> {
        if self.hole > 0 {
            self.file.set_len(self.length)?;
        }
        Ok(self.file)
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
