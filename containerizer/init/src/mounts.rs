//! Mounting through descriptors: a target is resolved once and then cannot change under our feet.

use std::fs::{DirEntry, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use init::mount_attributes::{ATIME, RDONLY};
use init::{Attributes, Mount};

use crate::copy_up::copy_up;
use crate::failure::{Failure, because};
use crate::sys;

/// A detached mount of a new file system, made for `target`, which may have been made for it.
pub fn create(mount: &Mount, target: BorrowedFd<'_>, is_new: bool) -> Result<OwnedFd, Failure> {
    if let Some(made) = mount.made {
        let tree = sys::take(made as i32);
        // Those of access times are one number: the kernel wants the old one taken away.
        return sys::mount_setattr(tree.as_fd(), mount.attributes, ATIME, 0, false)
            .map(|()| tree)
            .map_err(because(format!("set attributes of {}", mount.target)));
    }
    let mut mount = mount.clone();
    let has_mode = mount.options.iter().any(|(key, _)| key == "mode");
    if mount.fstype == "tmpfs" && !has_mode && !is_new {
        let mode = mode(target).map_err(because(format!("look at {}", mount.target)))?;
        let mode = ("mode".to_owned(), Some(format!("{mode:o}")));
        mount.options.push(mode);
    }
    let tree = configure(&mount, &[])?;
    if mount.copy_up {
        let readable = sys::openat2(target, ".", libc::O_RDONLY | libc::O_DIRECTORY, 0);
        readable
            .and_then(|directory| copy_up(directory.as_fd(), tree.as_fd()))
            .map_err(because(format!(
                "copy what is at {} into its tmpfs",
                mount.target
            )))?;
    }
    Ok(tree)
}

fn mode(directory: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(sys::metadata(directory)?.mode() & !libc::S_IFMT)
}

/// A detached mount of a new file system. `lower`: of an overlay, its layers, the topmost first, beside those that
/// its options name; Linux 6.15.
pub fn configure(mount: &Mount, lower: &[OwnedFd]) -> Result<OwnedFd, Failure> {
    let attempt = |what: &str| format!("{what} {} for {}", mount.fstype, mount.target);
    let fs = sys::fsopen(&mount.fstype).map_err(because(attempt("use file system")))?;
    if !mount.source.is_empty() {
        sys::fsconfig_set(fs.as_fd(), "source", Some(&mount.source))
            .map_err(because(attempt("set the source of")))?;
    }
    for layer in lower {
        sys::fsconfig_set_fd(fs.as_fd(), "lowerdir+", layer.as_fd())
            .map_err(because(attempt("give a layer to")))?;
    }
    for (key, value) in &mount.options {
        sys::fsconfig_set(fs.as_fd(), key, value.as_deref()).map_err(|error| {
            let option = value.as_ref().map_or(key.clone(), |v| format!("{key}={v}"));
            let said = kernel_message(&fs);
            because(attempt(&format!("give option {option}{said} to")))(error)
        })?;
    }
    sys::fsconfig_create(fs.as_fd())
        .map_err(|error| because(attempt(&format!("create{}", kernel_message(&fs))))(error))?;
    sys::fsmount(fs.as_fd(), mount.attributes).map_err(because(attempt("mount")))
}

/// What the file system itself says about the last failure, in parentheses, or nothing.
fn kernel_message(fs: &OwnedFd) -> String {
    let mut buffer = [0; 256];
    match fs
        .try_clone()
        .map(File::from)
        .and_then(|mut f| f.read(&mut buffer))
    {
        Ok(n) if n > 2 => format!(" ({})", String::from_utf8_lossy(&buffer[2..n]).trim_end()),
        _ => String::new(),
    }
}

/// `at` must be the root of a mount, or of a tree that is not mounted yet.
pub fn set_attributes(at: BorrowedFd<'_>, top: &Attributes, all: &Attributes) -> io::Result<()> {
    for (attributes, recursive) in [(top, false), (all, true)] {
        if *attributes != Attributes::default() {
            sys::mount_setattr(at, attributes.set, attributes.clear, 0, recursive)?;
        }
    }
    Ok(())
}

/// `at` must be the root of a mount.
pub fn set_read_only(at: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    sys::mount_setattr(at, RDONLY, 0, 0, recursive)
}

/// Also where `target` is no mount: it is bound to itself then.
pub fn read_only(target: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    match set_read_only(target, recursive) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
        done => return done,
    }
    let tree = sys::clone_tree(target.as_raw_fd(), "", recursive)?;
    set_read_only(tree.as_fd(), recursive)?;
    sys::move_mount(tree.as_fd(), target, "")
}

/// Where a mirrored directory's old self hangs while its entries are bound.
const OLD: &str = ".longshore-mirror";

/// Puts on `target` a tmpfs that shows what `directory` holds: subdirectories and files as bind
/// mounts, symbolic links as links. Takes a fixed number of descriptors, however much there is.
/// Returns the tmpfs.
pub fn mirror(directory: OwnedFd, target: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let directory = File::from(directory);
    // Taken before the tmpfs exists, which may lie below it.
    let old = sys::clone_tree(directory.as_raw_fd(), "", true)?;
    let tmpfs = like(&directory)?;
    sys::move_mount(tmpfs.as_fd(), target, "")?;
    sys::mkdirat(tmpfs.as_fd(), OLD, 0o700)?;
    sys::move_mount(old.as_fd(), tmpfs.as_fd(), OLD)?;
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}/{OLD}", tmpfs.as_raw_fd()))? {
        let entry = entry?;
        // A name that is not UTF-8 cannot be asked for in a spec either: it stays hidden.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        match show(&entry, &name, &old, &tmpfs) {
            // It went away between listing and binding.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            shown => shown?,
        }
    }
    sys::detach(&format!("/proc/self/fd/{}/{OLD}", tmpfs.as_raw_fd()))?;
    sys::rmdirat(tmpfs.as_fd(), OLD)?;
    Ok(tmpfs)
}

/// An empty tmpfs with the permissions and owner of `directory`.
fn like(directory: &File) -> io::Result<OwnedFd> {
    let meta = directory.metadata()?;
    let fs = sys::fsopen("tmpfs")?;
    let options = [
        ("mode", format!("{:o}", meta.mode() & 0o7777)),
        ("uid", meta.uid().to_string()),
        ("gid", meta.gid().to_string()),
    ];
    for (key, value) in options {
        sys::fsconfig_set(fs.as_fd(), key, Some(&value))?;
    }
    sys::fsconfig_create(fs.as_fd())?;
    sys::fsmount(fs.as_fd(), 0)
}

fn show(entry: &DirEntry, name: &str, old: &OwnedFd, tmpfs: &OwnedFd) -> io::Result<()> {
    let kind = entry.file_type()?;
    if kind.is_symlink() {
        let to = std::fs::read_link(entry.path())?;
        return sys::symlinkat(&to.to_string_lossy(), tmpfs.as_fd(), name);
    }
    let tree = sys::clone_tree(old.as_raw_fd(), name, true)?;
    if kind.is_dir() {
        sys::mkdirat(tmpfs.as_fd(), name, 0o755)?;
    } else {
        sys::mknodat(tmpfs.as_fd(), name, libc::S_IFREG | 0o644, 0)?;
    }
    sys::move_mount(tree.as_fd(), tmpfs.as_fd(), name)
}
