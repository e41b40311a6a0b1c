//! Where a download goes: a file, what the sandbox may still take, and what the content is.

use std::fs::File;
use std::io::{self, Seek, Write};

use super::DownloadError;
use crate::budget::Budget;
use crate::checksum::{Checksum, Hasher};
use crate::growth::Growing;
use crate::progress::Part;

pub struct Sink {
    file: File,
    budget: Budget,
    /// Of what has to be known by its content.
    hashers: Option<Hashers>,
    growing: Option<Growing>,
    length: u64,
    part: Part,
}

struct Hashers {
    checksum: Option<Checksum>,
    empty: Hasher,
    content: Hasher,
}

impl Sink {
    /// `file` is new and empty.
    pub fn new(file: File, budget: Budget, part: Part) -> Self {
        Self {
            file,
            budget,
            hashers: None,
            growing: None,
            length: 0,
            part,
        }
    }

    /// Its content must be that of `checksum`, if there is one; and it will be asked for.
    pub fn known_by(mut self, checksum: Option<&Checksum>) -> Self {
        let empty = Hasher::new(checksum);
        self.hashers = Some(Hashers {
            checksum: checksum.cloned(),
            content: empty.clone(),
            empty,
        });
        self
    }

    /// Somebody reads it already.
    pub fn read_meanwhile(mut self, growing: Growing) -> Self {
        self.growing = Some(growing);
        self
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
        if let Some(hashers) = &mut self.hashers {
            hashers.content.update(piece);
        }
        self.length += piece.len() as u64;
        if let Some(growing) = &mut self.growing {
            growing.grew(self.length);
        }
        self.part.came(piece.len() as u64);
        Ok(())
    }

    /// As if nothing had come yet.
    pub fn restart(&mut self) -> Result<(), DownloadError> {
        if self.length == 0 {
            return Ok(());
        }
        if let Some(growing) = &mut self.growing {
            growing.begin_anew();
        }
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(DownloadError::Write)?;
        self.budget.give_back(self.length);
        self.part.lost(self.length);
        if let Some(hashers) = &mut self.hashers {
            hashers.content = hashers.empty.clone();
        }
        self.length = 0;
        Ok(())
    }

    /// The name that the content has in the cache.
    pub fn content(&self) -> Option<String> {
        Some(self.hashers.as_ref()?.content.file_name())
    }

    /// The file, to be read from its beginning, when its content is what it must be.
    pub fn finish(mut self) -> Result<File, DownloadError> {
        self.part.announce(self.length);
        if let Some(Hashers {
            checksum: Some(checksum),
            content,
            ..
        }) = &self.hashers
        {
            checksum.check(content)?;
        }
        let rewound: io::Result<()> = self.file.rewind();
        rewound.map_err(DownloadError::Write)?;
        if let Some(growing) = self.growing {
            growing.finish(self.length);
        }
        Ok(self.file)
    }
}
