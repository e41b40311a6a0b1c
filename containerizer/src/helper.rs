//! The `init` program, once per agent in a sealed memfd: a container that overwrites the file it was
//! started from would change nothing (CVE-2019-5736).

use std::ffi::CStr;
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
        let mut file = File::from(memfd(c"longshore-init", Contents::Program)?);
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

#[derive(Debug, Clone, Copy)]
pub enum Contents {
    Program,
    Data,
}

/// Says whether the contents will be executed, which hosts with `vm.memfd_noexec` want to know
/// (Linux 6.3); older kernels refuse the flag.
pub fn memfd(name: &CStr, contents: Contents) -> io::Result<OwnedFd> {
    let plain = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let purpose = match contents {
        Contents::Program => MFD_EXEC,
        Contents::Data => MFD_NOEXEC_SEAL,
    };
    match memfd_create(name, plain | purpose) {
        Err(nix::Error::EINVAL) => Ok(memfd_create(name, plain)?),
        made => Ok(made?),
    }
}

/// Of memfd_create(2).
const MFD_NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(0x8);
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);
