//! Copies of directories, for a new file system that is to hold what it hides.

use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;

use crate::sys;

/// Neither leads through a link.
const RESOLVE: u64 = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;

/// Copies what `from` holds to `to`, an empty directory: contents, permissions and owners.
pub fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", from.as_raw_fd()))? {
        copy(&entry?, from, to)?;
    }
    Ok(())
}

fn copy(entry: &DirEntry, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let name = entry.file_name();
    let Some(name) = name.to_str() else {
        return Err(io::Error::from_raw_os_error(libc::EILSEQ));
    };
    let about = entry.metadata()?;
    let mode = about.mode() & !libc::S_IFMT;
    if about.is_symlink() {
        sys::symlinkat(&sys::readlinkat(from, name)?, to, name)?;
        return sys::chownat(to, name, about.uid(), about.gid());
    }
    if about.is_dir() {
        sys::mkdirat(to, name, 0o700)?;
        let directory = libc::O_RDONLY | libc::O_DIRECTORY;
        let inner = sys::openat2(from, name, directory, RESOLVE)?;
        let copy = sys::openat2(to, name, libc::O_PATH | libc::O_DIRECTORY, RESOLVE)?;
        copy_up(inner.as_fd(), copy.as_fd())?;
    } else if about.is_file() {
        copy_file(name, from, to)?;
    } else {
        sys::mknodat(to, name, about.mode() & libc::S_IFMT | 0o600, about.rdev())?;
    }
    own(name, to, &about)?;
    // After the owner, whose change takes set-user-ID bits away.
    sys::chmodat(to, name, mode)
}

fn copy_file(name: &str, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let source = sys::openat2(from, name, libc::O_RDONLY, RESOLVE)?;
    let new = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let copy = sys::openat2(to, name, new, RESOLVE)?;
    io::copy(&mut File::from(source), &mut File::from(copy)).map(drop)
}

fn own(name: &str, to: BorrowedFd<'_>, about: &Metadata) -> io::Result<()> {
    sys::chownat(to, name, about.uid(), about.gid())
}
