//! Who this process is and what it may do: users, groups, capabilities, and prctl(2)'s flags about them.

use std::io;

use super::check;

/// Supplementary groups, group and user, in the order that keeps the right to do the next.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    set_groups(groups)?;
    // SAFETY: these take numbers only.
    unsafe {
        check(libc::setresgid(gid, gid, gid).into())?;
        check(libc::setresuid(uid, uid, uid).into())?;
    }
    Ok(())
}

/// Where a user namespace forbids it (user_namespaces(7), "setgroups"), having none is still possible.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: pointer and length describe `groups`.
    match check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) && groups.is_empty() => {
            // SAFETY: with size 0 it only counts.
            match unsafe { libc::getgroups(0, std::ptr::null_mut()) } {
                0 => Ok(()),
                _ => Err(e),
            }
        }
        done => done.map(drop),
    }
}

/// capset(2), version 3: two words per set.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let word = |shift: u32| Data {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: header and data have the layout of version 3 and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

pub fn prctl(option: i32, args: [u64; 4]) -> io::Result<()> {
    // SAFETY: every option used here takes plain numbers, none a pointer. prctl(2).
    let ret = unsafe { libc::prctl(option, args[0], args[1], args[2], args[3]) };
    check(ret.into()).map(drop)
}

pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, [u64::from(dumpable), 0, 0, 0])
}

/// A session keyring of its own: whoever shares one possesses the keys in it. keyctl(2).
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) })
        .map(drop)
}
