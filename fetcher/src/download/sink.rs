//! Where a download goes: a file, what the sandbox may still take, and what the content is.

use std::fs::File;
use std::io::{self, Seek, Write};

use super::DownloadError;
use crate::budget::Budget;
use crate::checksum::{Checksum, Hasher};
use crate::progress::Part;

pub struct Sink {
    file: File,
    budget: Budget,
    empty: Hasher,
    content: Hasher,
    length: u64,
    part: Part,
}

impl Sink {
    /// `file` is new and empty.
    pub fn new(file: File, budget: Budget, checksum: Option<&Checksum>, part: Part) -> Self {
        let empty = Hasher::new(checksum);
        Self {
            file,
            budget,
            content: empty.clone(),
            empty,
            length: 0,
            part,
        }
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// That `more` bytes will come: whether they would find room.
    pub fn announce(&mut self, more: u64) -> Result<(), DownloadError> {
        self.budget.check(more)?;
        self.part.announce(self.length.saturating_add(more));
        Ok(())
    }

    pub fn write(&mut self, piece: &[u8]) -> Result<(), DownloadError> {
        self.budget.take(piece.len() as u64)?;
        self.file.write_all(piece).map_err(DownloadError::Write)?;
        self.content.update(piece);
        self.length += piece.len() as u64;
        self.part.came(piece.len() as u64);
        Ok(())
    }

    /// As if nothing had come yet.
    pub fn restart(&mut self) -> Result<(), DownloadError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(DownloadError::Write)?;
        self.budget.give_back(self.length);
        self.part.lost(self.length);
        self.content = self.empty.clone();
        self.length = 0;
        Ok(())
    }

    /// The name that the content has in the cache.
    pub fn content(&self) -> String {
        self.content.file_name()
    }

    /// The file, to be read from its beginning, when its content is what it must be.
    pub fn finish(mut self, checksum: Option<&Checksum>) -> Result<File, DownloadError> {
        self.part.announce(self.length);
        if let Some(checksum) = checksum {
            checksum.check(&self.content)?;
        }
        let rewound: io::Result<()> = self.file.rewind();
        rewound.map_err(DownloadError::Write)?;
        Ok(self.file)
    }
}
