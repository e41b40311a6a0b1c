//! What a container inherits of the process that makes it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use containerizer::Stdio;

use crate::error::{Error, call};

/// Copies of our own standard streams.
pub fn stdio() -> Result<Stdio, Error> {
    let copy = |stream: BorrowedFd<'_>| stream.try_clone_to_owned();
    let open = call::<io::Error>;
    Ok(Stdio {
        // Closed ones are /dev/null to the container.
        stdin: copy(io::stdin().as_fd()).ok(),
        stdout: copy(io::stdout().as_fd()).map_err(open("pass stdout on"))?,
        stderr: copy(io::stderr().as_fd()).map_err(open("pass stderr on"))?,
    })
}

/// The descriptors from 3 on that a caller wants the container to have. Errors: one is not open.
pub fn preserved(count: u32) -> Result<Vec<OwnedFd>, Error> {
    (3..3 + count)
        .map(|number| containerizer::inherited(number as i32))
        .collect::<io::Result<_>>()
        .map_err(call("pass on a descriptor that --preserve-fds names"))
}
