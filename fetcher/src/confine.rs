//! What the child gives up before it reads a byte from elsewhere.

mod cage;
mod calls;

use std::io;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::close;

pub use cage::{Trade, cage};

/// Address space of the child: any parser of a hostile file ends here. Of it the program, its few
/// threads and TLS take less than half.
pub const MEMORY_BYTES: u64 = 512 << 20;
/// For the log, which the limit on written files covers too.
const LOG_BYTES: u64 = 16 << 20;

/// To be called first, while the process has one thread and nothing open.
pub fn confine() -> io::Result<()> {
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    close_inherited()?;
    setrlimit(Resource::RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES)?;
    // A core would hold what the agent's environment and the task's URIs say.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

/// Behind the counting of bytes, for a way around it. The file that grows too far is an error of
/// `write`, not the end of the process.
pub fn limit_files(bytes: u64) -> io::Result<()> {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    blocked.thread_block()?;
    let most = bytes.saturating_add(LOG_BYTES);
    Ok(setrlimit(Resource::RLIMIT_FSIZE, most, most)?)
}

/// Whoever shares the agent's session keyring possesses the keys in it.
pub fn leave_keyring() -> io::Result<()> {
    match keyutils::Keyring::join_anonymous_session() {
        Ok(_own) => Ok(()),
        // A kernel without keys has none to share.
        Err(errno) if errno.0 == Errno::ENOSYS as i32 => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Closes all but stdin, stdout and stderr. The agent opens its own files close-on-exec; what it
/// was itself started with may not be.
fn close_inherited() -> io::Result<()> {
    let mut open: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|fd| fd.parse::<RawFd>().ok()),
        );
    }
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        match close(fd) {
            // The directory itself was among them.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use keyutils::{Keyring, SpecialKeyring};

    use super::*;

    #[test]
    fn a_key_of_the_session_is_out_of_reach_afterwards() {
        // Credentials belong to a thread, so that this one takes nothing from other tests.
        let session = || Keyring::attach_or_create(SpecialKeyring::Session);
        let Ok(before) = session() else {
            // A kernel without keys, or a container that may not use them.
            return;
        };
        leave_keyring().unwrap();
        assert_ne!(session().unwrap(), before);
    }
}
