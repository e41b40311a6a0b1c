//! Content of a registry into a file, from where an earlier attempt broke off.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;

use super::ask::Place;
use super::{RegistryError, Repository};
use crate::digest::{Digest, Verifier};
use crate::manifest::Descriptor;

/// In a row without a byte that was not there before.
const ATTEMPTS: u32 = 4;
/// That are copied before anybody is told.
const PIECES: usize = 32;
/// All of one download: a registry may break off again and again.
const MOST_ATTEMPTS: u32 = 100;

/// A file that is to become the content of a descriptor.
pub struct Partial {
    path: PathBuf,
    file: File,
    wanted: Descriptor,
    content: Verifier,
    length: u64,
}

impl Partial {
    /// Goes on with what is there of it. Blocks.
    pub fn open(path: &Path, wanted: &Descriptor) -> io::Result<Partial> {
        let options = &mut File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut content = wanted.digest.verifier();
        let mut length = 0;
        if file.metadata()?.len() <= wanted.size {
            let mut buffer = vec![0; 128 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    read => {
                        content.update(&buffer[..read]);
                        length += read as u64;
                    }
                }
            }
        }
        let mut partial = Partial {
            path: path.to_owned(),
            file,
            wanted: wanted.clone(),
            content,
            length,
        };
        if length == 0 {
            partial.restart()?;
        }
        Ok(partial)
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.content = self.wanted.digest.verifier();
        self.length = 0;
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.content.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Some of what `from` has, and whether that was its end. More than is wanted is not taken.
    pub(crate) fn copy_some(&mut self, from: &mut impl io::Read) -> io::Result<bool> {
        let mut piece = vec![0; 256 << 10];
        for _ in 0..PIECES {
            let length = from.read(&mut piece)?;
            if length == 0 || self.length > self.wanted.size {
                return Ok(true);
            }
            self.write(&piece[..length])?;
        }
        Ok(false)
    }

    pub(crate) fn found(&self) -> Digest {
        self.content.digest()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.length == self.wanted.size && self.content.digest() == self.wanted.digest
    }

    /// The file, to be read from its beginning.
    pub fn finish(mut self) -> io::Result<File> {
        self.file.rewind()?;
        Ok(self.file)
    }
}

impl RegistryError {
    /// Whether it may be different the next time.
    fn passes(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Stalled { .. }
            | Self::Broken { .. }
            | Self::WrongPart { .. } => true,
            Self::Status { status, .. } => {
                let slow = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                slow.contains(status) || status.is_server_error()
            }
            _ => false,
        }
    }
}

impl Repository<'_> {
    /// Fills `into`, unless it is whole already. `progress` is told how many bytes are there.
    pub async fn blob(
        &self,
        into: &mut Partial,
        progress: impl Fn(u64) + Sync,
    ) -> Result<(), RegistryError> {
        let mut failure = None;
        for place in &self.places {
            match self.blob_from(place, into, &progress).await {
                Ok(()) => return Ok(()),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn blob_from(
        &self,
        place: &Place,
        into: &mut Partial,
        progress: &(impl Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let (mut fruitless, mut furthest, mut attempt) = (0, into.length, 0);
        while !into.is_whole() {
            attempt += 1;
            let Err(error) = self.attempt(place, into, progress).await else {
                continue;
            };
            fruitless = if into.length > furthest {
                1
            } else {
                fruitless + 1
            };
            furthest = furthest.max(into.length);
            if !error.passes() || fruitless == ATTEMPTS || attempt == MOST_ATTEMPTS {
                return Err(error);
            }
            let pause = self.registries.settings.pause * 2_u32.pow(fruitless - 1);
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// To the end, which is right, or it is an error.
    async fn attempt(
        &self,
        place: &Place,
        into: &mut Partial,
        progress: &(impl Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let path = into.path.clone();
        let write = |source| RegistryError::Write {
            file: path.clone(),
            source,
        };
        let registry = || place.host().to_owned();
        if into.length >= into.wanted.size {
            // Whole, and wrong: left by somebody else.
            into.restart().map_err(write)?;
        }
        let wanted = into.wanted.clone();
        let digest = &wanted.digest;
        let name = format!("{}/blobs/{digest}", self.name);
        let wrong_part = || RegistryError::WrongPart {
            registry: registry(),
            digest: digest.clone(),
        };
        let mut answer = match self.ask(place, &name, Some(into.length)).await {
            Err(RegistryError::Status {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..
            }) => {
                into.restart().map_err(write)?;
                return Err(wrong_part());
            }
            answer => answer?,
        };
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let range = answer.headers().get(CONTENT_RANGE);
            let begins = range.and_then(|range| begins_at(range.to_str().ok()?));
            if begins != Some(into.length) {
                into.restart().map_err(write)?;
                return Err(wrong_part());
            }
        } else if into.length > 0 {
            into.restart().map_err(write)?;
        }
        let wrong_size = || RegistryError::WrongSize {
            registry: registry(),
            digest: digest.clone(),
            size: wanted.size,
        };
        let announced = answer.content_length();
        if announced.is_some_and(|more| into.length.saturating_add(more) > wanted.size) {
            return Err(wrong_size());
        }
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| self.failed(place, error))?
        {
            if into.length + piece.len() as u64 > wanted.size {
                into.restart().map_err(write)?;
                return Err(wrong_size());
            }
            into.write(&piece).map_err(write)?;
            progress(into.length);
        }
        if into.length < wanted.size {
            return Err(wrong_size());
        }
        let found = into.content.digest();
        if found != wanted.digest {
            into.restart().map_err(write)?;
            return Err(RegistryError::WrongContent {
                registry: registry(),
                wanted: wanted.digest,
                found,
            });
        }
        Ok(())
    }
}

/// The first byte of a part.
fn begins_at(range: &str) -> Option<u64> {
    range
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .parse()
        .ok()
}
