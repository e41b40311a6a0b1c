//! Messages and descriptors over unix sockets. unix(7).

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::{check, owned};

/// One message, whole. Errors: `EPIPE` when nobody can hear it any more; no signal comes of that.
pub fn send(socket: RawFd, message: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and length describe `message`, which outlives the call.
    let ret = unsafe {
        libc::send(
            socket,
            message.as_ptr().cast(),
            message.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    check(ret as libc::c_long).map(drop)
}

/// The next message, of at most `longest` bytes; empty when the other end is closed.
pub fn receive(socket: RawFd, longest: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; longest];
    // SAFETY: the pointer and length describe `message`, which outlives the call.
    let ret = unsafe { libc::recv(socket, message.as_mut_ptr().cast(), longest, 0) };
    let length = check(ret as libc::c_long)?;
    message.truncate(length as usize);
    Ok(message)
}

/// Sends a copy of the descriptor `number` along with `name`, which must not be empty. unix(7), SCM_RIGHTS.
pub fn send_descriptor(socket: RawFd, number: RawFd, name: &[u8]) -> io::Result<()> {
    let mut part = libc::iovec {
        iov_base: name.as_ptr().cast_mut().cast(),
        iov_len: name.len(),
    };
    let mut control = Control::default();
    let mut message = with_descriptor(&mut control, number);
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    // SAFETY: the message's pointers are to locals that outlive the call, and the kernel only reads them.
    let ret = unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) };
    check(ret as libc::c_long).map(drop)
}

/// Room for one header and one descriptor. Of u64, for a control message must be aligned.
type Control = [u64; 4];

/// A message with nothing but a descriptor, which points into `control`.
fn with_descriptor(control: &mut Control, number: RawFd) -> libc::msghdr {
    // SAFETY: an all-zero message is empty; `control` holds what is written to it, at the places that
    // cmsg(3) names.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(number);
        message
    }
}

/// The next connection to a socket that listens.
pub fn accept(socket: RawFd) -> io::Result<OwnedFd> {
    let null = std::ptr::null_mut();
    // SAFETY: null pointers ask for no address.
    owned(unsafe { libc::accept4(socket, null, null.cast(), libc::SOCK_CLOEXEC) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_finds_one_descriptor_and_nothing_else() {
        let mut control = Control::default();
        let message = with_descriptor(&mut control, 4711);
        let length: usize = message.msg_controllen as _;
        assert!(length <= size_of::<Control>());
        // SAFETY: the message points to `control`, which lives, and the macros of cmsg(3) stay in it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            let kind = ((*header).cmsg_level, (*header).cmsg_type);
            assert_eq!(kind, (libc::SOL_SOCKET, libc::SCM_RIGHTS));
            let descriptor = libc::CMSG_DATA(header).cast::<RawFd>();
            assert_eq!(descriptor.read_unaligned(), 4711);
            let length: usize = (*header).cmsg_len as _;
            assert_eq!(
                header.addr() + length,
                descriptor.addr() + size_of::<RawFd>()
            );
            assert!(libc::CMSG_NXTHDR(&raw const message, header).is_null());
        }
    }
}
