//! What a kernel can do.

use std::io;

/// The kernel's word on mount_setattr(2), told nothing that it could act on. `ENOSYS`: it has no such call, which
/// came with Linux 5.12; `EINVAL` where it has.
pub fn mount_setattr_of_nothing() -> io::Error {
    let attributes = std::ptr::null::<libc::mount_attr>();
    let path = std::ptr::null::<libc::c_char>();
    // SAFETY: of a size of 0 the kernel reads nothing, and no file is behind -1.
    unsafe { libc::syscall(libc::SYS_mount_setattr, -1, path, 0, attributes, 0) };
    io::Error::last_os_error()
}
