//! Small files of an image, found as its container would find them, but without following a link.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};

/// Larger ones are nothing that one has to understand.
const LARGEST: u64 = 4 << 20;

/// What is in a file, which is nothing where it is missing, a link, or no text. `layers`: the topmost first.
/// `path` is relative, of plain names.
pub fn text(layers: &[PathBuf], path: &Path) -> io::Result<String> {
    for layer in layers {
        match in_layer(layer, path)? {
            Found::Text(text) => return Ok(text),
            Found::Hidden => break,
            Found::Nothing => {}
        }
    }
    Ok(String::new())
}

enum Found {
    Text(String),
    /// Also from layers below.
    Hidden,
    Nothing,
}

fn in_layer(layer: &Path, path: &Path) -> io::Result<Found> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let layer = openat(AT_FDCWD, layer, flags, Mode::empty())?;
    let mut opaque = is_opaque(&layer);
    let mut here = PathBuf::new();
    for part in path {
        here.push(part);
        let found = match fstatat(&layer, &here, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT,
            Err(Errno::ENOENT) if !opaque => return Ok(Found::Nothing),
            Err(Errno::ENOENT) => return Ok(Found::Hidden),
            Err(errno) => return Err(errno.into()),
        };
        if found == SFlag::S_IFDIR {
            opaque |= open(&layer, &here, OFlag::O_DIRECTORY).is_ok_and(|it| is_opaque(&it));
        } else if here != path || found != SFlag::S_IFREG {
            return Ok(Found::Hidden);
        }
    }
    let file = open(&layer, path, OFlag::empty())?;
    let is_file =
        SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let mut bytes = Vec::new();
    if is_file {
        File::from(file).take(LARGEST).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8(bytes).map_or(Found::Hidden, Found::Text))
}

/// What one layer has at a path.
pub enum Place {
    Nothing,
    /// `alone`: what layers below have there does not count.
    Directory {
        opened: OwnedFd,
        alone: bool,
    },
    /// Something else, or it is said to be gone.
    Hidden,
    /// Behind a link, or one itself.
    Link,
}

/// `path` is relative, of plain names.
pub fn place(layer: &Path, path: &Path) -> io::Result<Place> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let layer = openat(AT_FDCWD, layer, flags, Mode::empty())?;
    let mut alone = is_opaque(&layer);
    let mut here = PathBuf::new();
    let mut opened = None;
    for part in path {
        here.push(part);
        let found = match fstatat(&layer, &here, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT,
            Err(Errno::ENOENT) if !alone => return Ok(Place::Nothing),
            Err(Errno::ENOENT) => return Ok(Place::Hidden),
            Err(errno) => return Err(errno.into()),
        };
        match found {
            SFlag::S_IFDIR => {}
            SFlag::S_IFLNK => return Ok(Place::Link),
            _ => return Ok(Place::Hidden),
        }
        let directory = open(&layer, &here, OFlag::O_DIRECTORY)?;
        alone |= is_opaque(&directory);
        opened = Some(directory);
    }
    Ok(match opened {
        Some(opened) => Place::Directory { opened, alone },
        None => Place::Nothing,
    })
}

fn open(layer: &OwnedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(layer, path, how)
}

pub fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0_u8; 1];
    let found = rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut value);
    found == Ok(1) && value[0] == b'y'
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A layer with these files, and these that are something else.
    fn layer(files: &[(&str, &str)], links: &[&str]) -> tempfile::TempDir {
        let layer = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            let path = layer.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
            fs::write(path, content).expect("writes");
        }
        for name in links {
            let path = layer.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("makes");
            std::os::unix::fs::symlink("/etc", path).expect("links");
        }
        layer
    }

    fn found(layers: &[&tempfile::TempDir]) -> String {
        let layers: Vec<_> = layers.iter().map(|layer| layer.path().to_owned()).collect();
        text(&layers, Path::new("etc/passwd")).expect("reads")
    }

    #[test]
    fn the_topmost_file_counts_and_no_link_is_followed() {
        let below = layer(&[("etc/passwd", "below")], &[]);
        let above = layer(&[("etc/passwd", "above")], &[]);
        let other = layer(&[("etc/group", "x")], &[]);
        assert_eq!(found(&[&other, &above, &below]), "above");
        assert_eq!(found(&[&other, &below]), "below");
        assert_eq!(found(&[&other]), "");
        let file_is_link = layer(&[], &["etc/passwd"]);
        let directory_is_link = layer(&[], &["etc"]);
        let directory_is_file = layer(&[("etc", "x")], &[]);
        for hides in [&file_is_link, &directory_is_link, &directory_is_file] {
            assert_eq!(found(&[hides, &below]), "");
        }
        let no_text = layer(&[], &[]);
        fs::create_dir(no_text.path().join("etc")).expect("makes");
        fs::write(no_text.path().join("etc/passwd"), [0xff, 0xfe]).expect("writes");
        assert_eq!(found(&[&no_text, &below]), "");
    }
}
