//! System calls that std has no safe function for: one thin function each, owned descriptors out. A module
//! per subject of the kernel; callers name them all as `sys`.

mod credentials;
mod descriptors;
mod exec;
mod files;
mod fsopen;
mod log;
mod mount;
mod namespaces;
mod process;
mod resources;
mod seccomp;
mod signals;
mod sockets;
mod terminal;

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

pub use credentials::*;
pub use descriptors::*;
pub use exec::*;
pub use files::*;
pub use fsopen::*;
pub use log::*;
pub use mount::*;
pub use namespaces::*;
pub use process::*;
pub use resources::*;
pub use seccomp::*;
pub use signals::*;
pub use sockets::*;
pub use terminal::*;

fn check(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Wraps a descriptor that the kernel has just handed out.
fn owned(ret: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(ret)? as RawFd;
    // SAFETY: the call that returned `fd` created it for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A path or name for the kernel. The containerizer refuses NUL bytes before they come here.
pub fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_nul| io::Error::from_raw_os_error(libc::EINVAL))
}
