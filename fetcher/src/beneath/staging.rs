//! Files that are on their way: in a directory of the sandbox that nothing fetched can name, so that
//! whatever is unpacked meanwhile, a file that was verified is the one that is put in its place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use super::{Batch, Beneath, InnerPath, STAGING, WriteError, create_error};

/// Removed when dropped, with all that is in it.
#[derive(Debug)]
pub struct Staging {
    root: OwnedFd,
    directory: OwnedFd,
    files: Mutex<Vec<String>>,
}

impl Staging {
    pub fn make(sandbox: &Beneath) -> Result<Self, WriteError> {
        let failed = |errno| create_error(Path::new(STAGING), errno);
        let root = sandbox.directory(Path::new("")).map_err(failed)?;
        match mkdirat(&root, STAGING, Mode::S_IRWXU) {
            // What another fetch left that was killed.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let directory = sandbox.directory(Path::new(STAGING)).map_err(failed)?;
        Ok(Self {
            root,
            directory,
            files: Mutex::default(),
        })
    }

    /// Makes the directory, for a user that this process will become: what is put into it will be found there.
    pub fn give(sandbox: &Beneath, uid: u32, gid: u32) -> io::Result<OwnedFd> {
        let root = sandbox.directory(Path::new(""))?;
        match mkdirat(&root, STAGING, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(&root, STAGING, flags, Mode::empty())?;
        // By the descriptor: it is a directory, whoever renames things meanwhile.
        fchown(
            &directory,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
        )?;
        Ok(directory)
    }

    /// What was linked there by `kept_name` goes away with the rest.
    pub fn adopt(&self, index: usize) {
        if let Ok(mut files) = self.files.lock() {
            files.push(Self::kept_name(index));
        }
    }

    /// The name of a link to a file of the cache.
    pub fn kept_name(index: usize) -> String {
        format!("{index}.kept")
    }

    /// Puts a link where it belongs.
    pub fn place_kept(
        &self,
        index: usize,
        batch: &mut Batch<'_>,
        to: &InnerPath,
    ) -> Result<(), WriteError> {
        batch.place(self.directory.as_fd(), &Self::kept_name(index), to)
    }

    /// A new file, to be written and read.
    pub fn file(&self, index: usize) -> Result<File, WriteError> {
        let name = index.to_string();
        let failed = |errno| create_error(&PathBuf::from(STAGING).join(&name), errno);
        match unlinkat(&self.directory, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(&self.directory, name.as_str(), flags, mode).map_err(failed)?;
        if let Ok(mut files) = self.files.lock() {
            files.push(name);
        }
        Ok(file.into())
    }

    /// Puts a file where it belongs.
    pub fn place(
        &self,
        index: usize,
        batch: &mut Batch<'_>,
        to: &InnerPath,
    ) -> Result<(), WriteError> {
        batch.place(self.directory.as_fd(), &index.to_string(), to)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let files = self.files.get_mut();
        // What cannot be removed here goes with the sandbox.
        for name in files.into_iter().flat_map(|files| files.drain(..)) {
            let _placed = unlinkat(&self.directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        let _gone_or_not = unlinkat(&self.root, STAGING, UnlinkatFlags::RemoveDir);
    }
}
