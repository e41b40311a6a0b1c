//! Sockets of the caller that descriptors of a container are sent to.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::error::{Error, file};

pub fn connect(path: &Path) -> Result<OwnedFd, Error> {
    let stream = UnixStream::connect(path).map_err(file("connect to", path))?;
    Ok(stream.into())
}
