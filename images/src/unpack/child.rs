//! The child: enters its cage, then unpacks what comes on stdin.

use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use fetcher::{Codec, Trade, cage, confine, decoder, exit_with_parent, leave_keyring, limit_files};

use super::layer::{self, LayerError};
use super::place::Place;
use super::{Said, Unpacked};
use crate::digest::{Digest, Verifier};
use crate::media::Compression;

const PIECE: usize = 256 << 10;
const REASON_CHARS: usize = 4096;

/// Its only argument.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Order {
    pub directory: PathBuf,
    pub compression: Compression,
    /// Bytes that its files may have together.
    pub most: u64,
    /// Of the digest that is asked for.
    pub algorithm: String,
}

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("the order to unpack is not valid")]
    Order(#[source] Option<serde_json::Error>),
    #[error("cannot prepare for unpacking")]
    Prepare(#[source] io::Error),
    #[error("cannot open {path:?}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot give up what unpacking does not need")]
    Cage(#[source] io::Error),
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// Body of the child: the blob is its stdin, and what it says of it is one line on stdout. Returns the exit
/// code.
pub fn child_main(arguments: impl Iterator<Item = OsString>) -> i32 {
    let (said, code) = match run(arguments) {
        Ok(unpacked) => (Said::Done(unpacked), 0),
        Err(error) => {
            let why = crate::chain(&error).chars().take(REASON_CHARS).collect();
            (Said::Failed(why), 1)
        }
    };
    match serde_json::to_writer(io::stdout().lock(), &said) {
        Ok(()) => code,
        Err(_nobody_listens) => 1,
    }
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<Unpacked, ChildError> {
    confine().map_err(ChildError::Prepare)?;
    let order = arguments.next().ok_or(ChildError::Order(None))?;
    let order: Order =
        serde_json::from_slice(order.as_bytes()).map_err(|error| ChildError::Order(Some(error)))?;
    let place = Place::open(&order.directory).map_err(|source| ChildError::Open {
        path: order.directory.clone(),
        source,
    })?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| ChildError::Prepare(errno.into()))?;
    leave_keyring().map_err(ChildError::Prepare)?;
    limit_files(order.most).map_err(ChildError::Prepare)?;
    // Modes are those of the layer.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    cage(place.as_fd(), Trade::Unpacking).map_err(ChildError::Cage)?;
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(exit_with_parent)
        .map_err(ChildError::Prepare)?;
    let packed = BufReader::with_capacity(PIECE, io::stdin());
    let plain: Box<dyn Read> = match order.compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => decoder(Codec::Gzip, packed),
        Compression::Zstd => decoder(Codec::Zstd, packed),
    };
    let mut verified = Verified {
        inner: plain,
        content: Verifier::new(&order.algorithm),
    };
    let found = layer::unpack(&mut verified, place, order.most)?;
    let opaque = found
        .opaque
        .iter()
        .map(|path| path.as_os_str().as_bytes().to_vec());
    Ok(Unpacked {
        diff_id: verified.digest(),
        bytes: found.bytes,
        entries: found.entries,
        opaque: opaque.collect(),
    })
}

struct Verified<R> {
    inner: R,
    content: Verifier,
}

impl<R> Verified<R> {
    fn digest(&self) -> Digest {
        self.content.digest()
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.content.update(&buffer[..length]);
        Ok(length)
    }
}
