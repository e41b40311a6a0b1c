//! The `init` program, once per agent in a sealed memfd: a container that overwrites the file it was
//! started from would change nothing (CVE-2019-5736).

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

static INIT: &[u8] = include_bytes!(env!("LONGSHORE_INIT"));

#[derive(Debug)]
pub struct Helper(OwnedFd);

impl Helper {
    pub fn load() -> io::Result<Self> {
        let memfd = memfd_create(
            c"longshore-init",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        let mut file = File::from(memfd);
        file.write_all(INIT)?;
        let seals = SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self(file.into()))
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
