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
    let program = program(filter)?;
    // SAFETY: `filter` outlives the call, and the kernel copies it without writing to it.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &program) };
    let listener = check(ret)? as RawFd;
    Ok((flags & NEW_LISTENER != 0).then_some(listener))
}

/// `Instruction` has the layout of sock_filter.
fn program(filter: &[Instruction]) -> io::Result<libc::sock_fprog> {
    let len = libc::c_ushort::try_from(filter.len())
        .map_err(|_too_long| io::Error::from_raw_os_error(libc::E2BIG))?;
    Ok(libc::sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut().cast(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_finds_every_instruction() {
        let instruction = |n: u16| Instruction {
            code: n,
            jt: 1,
            jf: n as u8,
            k: u32::MAX - u32::from(n),
        };
        let filter: Vec<Instruction> = (0..300).map(instruction).collect();
        let program = program(&filter).expect("fits");
        // SAFETY: there are as many as `len` says, and `filter` lives.
        let read = unsafe { std::slice::from_raw_parts(program.filter, program.len.into()) };
        let known = |one: &libc::sock_filter| Instruction {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        };
        assert_eq!(read.iter().map(known).collect::<Vec<_>>(), filter);
    }

    #[test]
    fn what_the_kernel_cannot_count_is_refused() {
        let nothing = Instruction {
            code: 0,
            jt: 0,
            jf: 0,
            k: 0,
        };
        let refused = program(&vec![nothing; 1 << 16]).map(|_program| ());
        let error = refused.expect_err("too long").raw_os_error();
        assert_eq!(error, Some(libc::E2BIG));
    }
}
