//! The `init` program, once per agent in a sealed memfd: a container that overwrites the file it was
//! started from would change nothing (CVE-2019-5736).

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod};

use crate::places::Places;

static INIT: &[u8] = include_bytes!(env!("LONGSHORE_INIT"));

#[derive(Debug)]
pub struct Helper {
    file: OwnedFd,
    /// Nobody can take the permission to execute it away. Else a container that comes to open it (one
    /// that may trace process 1) could keep every later one from starting.
    executable_for_good: bool,
    /// Of those that are started from it.
    places: Places,
}

impl Helper {
    pub fn load() -> io::Result<Self> {
        let places = Places::reserve()?;
        let mut file = File::from(memfd(c"longshore-init", Contents::Program)?);
        file.write_all(INIT)?;
        let seals = SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_SEAL;
        let executable_for_good = match fcntl(&file, FcntlArg::F_ADD_SEALS(seals | F_SEAL_EXEC)) {
            Ok(_) => true,
            // Older kernels know no such seal.
            Err(_) => fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map(|_| false)?,
        };
        Ok(Self {
            file: file.into(),
            executable_for_good,
            places,
        })
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    /// To be executed.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        if !self.executable_for_good {
            // What cannot be mended shows itself when it is executed.
            let _ = fchmod(&self.file, Mode::S_IRWXU);
        }
        self.file.as_fd()
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

/// Of fcntl(2), Linux 6.3.
const F_SEAL_EXEC: SealFlag = SealFlag::from_bits_retain(0x20);

/// Of memfd_create(2).
const MFD_NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(0x8);
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);
