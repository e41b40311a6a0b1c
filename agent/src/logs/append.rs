//! Logs that somebody else than a task writes for it: what an engine's container says.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::place::{Access, Place};
use super::stream::Stream;

/// To be written at its end, wherever that is: its beginning may be taken out at any time. `None` when there is
/// none that is the task's own plain file. Blocks.
pub fn appending(sandbox: &Path, log: &'static str) -> io::Result<Option<File>> {
    let file = Place::at(sandbox, log)?.open_log(Access::Write)?;
    if let Some(file) = &file {
        fcntl(file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    }
    Ok(file)
}

/// How many bytes were ever written to it. `None` as above. Blocks.
pub fn end(sandbox: &Path, log: &'static str) -> io::Result<Option<u64>> {
    let bounds = Stream::at(sandbox, log)?.bounds()?;
    Ok(bounds.map(|bounds| bounds.end))
}
