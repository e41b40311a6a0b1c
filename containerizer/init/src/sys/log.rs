//! A file that the command appends to, by its number.

use std::io;
use std::os::fd::RawFd;

use super::check;

pub struct Size {
    pub bytes: u64,
    pub on_disk: u64,
}

/// fstat(2): of the kernel, for what C libraries make of it differs.
pub fn size(fd: RawFd) -> io::Result<Size> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: on 64 bits a C library's struct stat is the kernel's, and it outlives the call.
    check(unsafe { libc::syscall(libc::SYS_fstat, fd, stat.as_mut_ptr()) })?;
    // SAFETY: the kernel has filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(Size {
        bytes: stat.st_size.unsigned_abs(),
        on_disk: stat.st_blocks.unsigned_abs() * 512,
    })
}

/// fallocate(2): everything before `end` becomes a hole.
pub fn punch(fd: RawFd, end: u64) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: fallocate touches no memory.
    check(unsafe { libc::fallocate(fd, mode, 0, end as libc::off_t) }.into()).map(drop)
}

/// Does not wait: EAGAIN when somebody else has it.
pub fn lock_log(fd: RawFd) -> io::Result<()> {
    lock(fd, libc::F_WRLCK)
}

pub fn unlock_log(fd: RawFd) {
    // Nothing else can be done about it, and there is next to nothing that can fail.
    let _ = lock(fd, libc::F_UNLCK);
}

/// fcntl(2), F_OFD_SETLK.
fn lock(fd: RawFd, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero flock is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = (init::LOG_LOCK, 1);
    // SAFETY: the lock outlives the call.
    check(unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &lock) }.into()).map(drop)
}
