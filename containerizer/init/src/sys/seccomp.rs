//! seccomp(2).

use std::io;
use std::os::fd::RawFd;

use init::{Instruction, NEW_LISTENER};

use super::check;

/// seccomp(2): from now on `filter` decides about every system call of this process. Linux 3.17.
/// With SECCOMP_FILTER_FLAG_NEW_LISTENER (5.0) returns what tells of its questions, closed by an exec. A
/// bare number, for closing it is a system call that the filter decides about.
///
/// Errors: `EACCES` without no_new_privs and CAP_SYS_ADMIN, `EINVAL` for a program that the kernel's
/// checker refuses or a flag it does not know.
pub fn install_filter(filter: &[Instruction], flags: u32) -> io::Result<Option<RawFd>> {
    const SET_MODE_FILTER: libc::c_uint = 1;
    let len = libc::c_ushort::try_from(filter.len())
        .map_err(|_too_long| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Instruction` has the layout of sock_filter, `len` counts those in `filter`, which
    // outlives the call, and the kernel copies them without writing to them.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &program) };
    let listener = check(ret)? as RawFd;
    Ok((flags & NEW_LISTENER != 0).then_some(listener))
}
