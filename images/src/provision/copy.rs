//! A root file system that is copied together out of layers, where the kernel cannot stack them.
//!
//! Layers are ours and nobody changes them, but what is in them is content from elsewhere: everything goes
//! through descriptors, and no link is followed.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

use super::look::is_opaque;
use crate::unpack::{Attribute, attribute};

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const NO_LINK: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW;
const ATTRIBUTE_BYTES: usize = 64 << 10;
/// Files with several names that are held open; others are copied for each name.
const MOST_HELD: usize = 256;

/// What becomes of files, which nobody changes in their layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    Copied,
    /// Where both are of one file system.
    Linked,
}

/// `layers`: the lowest first. `into` is there.
pub fn copy(layers: &[PathBuf], into: &Path, how: Files) -> io::Result<()> {
    let root = openat(AT_FDCWD, into, DIRECTORY, Mode::empty())?;
    for layer in layers {
        let layer = openat(AT_FDCWD, layer, DIRECTORY, Mode::empty())?;
        Layer::new(how).merge(&layer, &root)?;
    }
    Ok(())
}

/// What of one layer was copied and has more names.
pub struct Layer {
    how: Files,
    files: HashMap<u64, File>,
}

impl Layer {
    pub fn new(how: Files) -> Layer {
        let files = HashMap::new();
        Layer { how, files }
    }

    /// `name` of `to` becomes what `below` is, with what was there and is not hidden.
    pub fn directory_itself(
        &mut self,
        below: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
    ) -> io::Result<()> {
        let found = nix::sys::stat::fstat(below)?;
        if is_opaque(below) {
            remove(to, name)?;
        }
        self.onto(below, to, name, &found)
    }

    fn merge(&mut self, from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
        for name in names(from)? {
            let found = fstatat(from, &*name, NO_LINK)?;
            match kind(&found) {
                SFlag::S_IFDIR => self.directory(from, to, &name, &found)?,
                SFlag::S_IFREG => self.file(from, to, &name, &found)?,
                SFlag::S_IFCHR if found.st_rdev == 0 => remove(to, &name)?,
                SFlag::S_IFLNK => {
                    remove(to, &name)?;
                    symlinkat(&*readlinkat(from, &*name)?, to, &*name)?;
                    give(to, &name, &found)?;
                }
                SFlag::S_IFIFO => {
                    remove(to, &name)?;
                    mknodat(to, &*name, SFlag::S_IFIFO, Mode::S_IRUSR | Mode::S_IWUSR, 0)?;
                    give(to, &name, &found)?;
                }
                // Layers have nothing else.
                _ => {}
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        found: &FileStat,
    ) -> io::Result<()> {
        let below = openat(from, name, DIRECTORY, Mode::empty())?;
        let there = fstatat(to, name, NO_LINK).map(|it| kind(&it));
        if there.is_ok_and(|kind| kind != SFlag::S_IFDIR) || is_opaque(&below) {
            remove(to, name)?;
        }
        self.onto(&below, to, name, found)
    }

    fn onto(
        &mut self,
        below: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        found: &FileStat,
    ) -> io::Result<()> {
        match mkdirat(to, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let opened = openat(to, name, DIRECTORY, Mode::empty())?;
        self.merge(below, &opened)?;
        give(to, name, found)?;
        attributes(below, &opened)
    }

    fn file(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        found: &FileStat,
    ) -> io::Result<()> {
        remove(to, name)?;
        if self.how == Files::Linked {
            match linkat(from, name, to, name, AtFlags::empty()) {
                // Another file system, or one with as many names as there can be.
                Err(Errno::EXDEV | Errno::EMLINK | Errno::EPERM) => {}
                linked => return Ok(linked?),
            }
        }
        if let Some(known) = self.files.get(&found.st_ino) {
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(known);
            let path = format!("/proc/self/fd/{descriptor}");
            linkat(AT_FDCWD, &*path, to, name, AtFlags::AT_SYMLINK_FOLLOW)?;
            return Ok(());
        }
        let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut source = File::from(openat(from, name, read, Mode::empty())?);
        let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mut copy = File::from(openat(to, name, write, Mode::S_IRUSR | Mode::S_IWUSR)?);
        // By the kernel, where it can.
        io::copy(&mut source, &mut copy)?;
        give(to, name, found)?;
        attributes(&source, &copy)?;
        if found.st_nlink > 1 && self.files.len() < MOST_HELD {
            self.files.insert(found.st_ino, copy);
        }
        Ok(())
    }
}

fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}

/// Owner, mode and time of what was found.
fn give(to: &OwnedFd, name: &CStr, found: &FileStat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    fchownat(to, name, Some(uid), Some(gid), NO_LINK)?;
    if kind(found) != SFlag::S_IFLNK {
        let mode = Mode::from_bits_truncate(found.st_mode & 0o7777);
        fchmodat(to, name, mode, FchmodatFlags::FollowSymlink)?;
    }
    let time = TimeSpec::new(found.st_mtime, found.st_mtime_nsec);
    Ok(utimensat(
        to,
        name,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )?)
}

fn attributes(from: &impl std::os::fd::AsFd, to: &impl std::os::fd::AsFd) -> io::Result<()> {
    let mut list = vec![0_u8; ATTRIBUTE_BYTES];
    let length = match flistxattr(from.as_fd(), &mut list[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    for name in list[..length].split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        if let Attribute::Kept(_) = attribute(name) {
            let mut value = vec![0_u8; ATTRIBUTE_BYTES];
            let length = fgetxattr(from.as_fd(), name, &mut value[..])?;
            fsetxattr(to.as_fd(), name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::openat(directory, ".", DIRECTORY, Mode::empty())?.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// With all below it; none is there is fine.
pub fn remove(directory: &OwnedFd, name: &CStr) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let below = openat(directory, name, DIRECTORY, Mode::empty())?;
    for name in names(&below)? {
        remove(&below, &name)?;
    }
    Ok(unlinkat(directory, name, UnlinkatFlags::RemoveDir)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn layer() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn put(layer: &tempfile::TempDir, path: &str, content: &str) {
        let path = layer.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
        fs::write(path, content).expect("writes");
    }

    fn whiteout(layer: &tempfile::TempDir, path: &str) {
        let path = layer.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
        mknodat(AT_FDCWD, &path, SFlag::S_IFCHR, Mode::empty(), 0).expect("makes");
    }

    /// All paths, with the content of files and the targets of links.
    fn shown(directory: &Path, prefix: &str) -> Vec<String> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory).expect("reads") {
            let entry = entry.expect("reads");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().expect("reads");
            if kind.is_dir() {
                all.extend(shown(&entry.path(), &format!("{name}/")));
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).expect("reads");
                all.push(format!("{name} -> {}", target.display()));
            } else {
                let content = fs::read_to_string(entry.path()).expect("reads");
                all.push(format!("{name}={content}"));
            }
        }
        all.sort();
        all
    }

    #[test]
    fn layers_are_copied_as_the_kernel_would_stack_them() {
        let (below, above, root) = (layer(), layer(), layer());
        for (path, content) in [
            ("a/x", "1"),
            ("a/y", "1"),
            ("b/x", "1"),
            ("c", "1"),
            ("d/x/y", "1"),
        ] {
            put(&below, path, content);
        }
        symlink("/etc/passwd", below.path().join("link")).expect("links");
        put(&above, "a/x", "2");
        whiteout(&above, "a/y");
        whiteout(&above, "b");
        put(&above, "c/x", "2");
        put(&above, "d/x", "2");
        put(&above, "link", "2");
        fs::hard_link(above.path().join("link"), above.path().join("twin")).expect("links");
        symlink("../..", above.path().join("up")).expect("links");
        let layers = [below.path().to_owned(), above.path().to_owned()];
        copy(&layers, root.path(), Files::Copied).expect("copies");
        assert_eq!(
            shown(root.path(), ""),
            ["a/x=2", "c/x=2", "d/x=2", "link=2", "twin=2", "up -> ../.."]
        );
        let inode = |name: &str| {
            fs::metadata(root.path().join(name))
                .expect("is there")
                .ino()
        };
        assert_eq!(inode("link"), inode("twin"));
        let linked = layer();
        copy(&layers, linked.path(), Files::Linked).expect("links");
        assert_eq!(shown(linked.path(), ""), shown(root.path(), ""));
        let file = |layer: &tempfile::TempDir| fs::metadata(layer.path().join("a/x"));
        let inodes = [&linked, &above].map(|it| file(it).expect("is there").ino());
        assert_eq!(inodes[0], inodes[1]);
    }
}
