//! A file that may be anything: what is read is bounded, and nothing waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;

/// Why there is nothing to be read where something lies.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it is {0}")]
    NoFile(&'static str),
    #[error("it is longer than it can be, {0} bytes")]
    Long(u64),
    #[error("its file system does not give it")]
    Io(#[source] io::Error),
}

impl From<Unreadable> for io::Error {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Io(error) => error,
            why => Self::new(io::ErrorKind::InvalidData, why),
        }
    }
}

/// All of a regular file, of at most `most` bytes; `None` when there is nothing of that name.
pub fn read(file: &Path, most: u64) -> Result<Option<Vec<u8>>, Unreadable> {
    let opened = match open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A socket cannot be opened, nor a link in this way.
        Err(error) => {
            return Err(match fs::symlink_metadata(file) {
                Ok(it) if !it.is_file() => Unreadable::NoFile(kind(it.file_type())),
                Ok(_) | Err(_) => Unreadable::Io(error),
            });
        }
    };
    let metadata = opened.metadata().map_err(Unreadable::Io)?;
    if !metadata.is_file() {
        return Err(Unreadable::NoFile(kind(metadata.file_type())));
    }
    let mut bytes = Vec::new();
    if metadata.len() <= most {
        bytes.reserve_exact(metadata.len() as usize);
        let mut bounded = opened.take(most + 1);
        bounded.read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    }
    match metadata.len().max(bytes.len() as u64) {
        length if length > most => Err(Unreadable::Long(length)),
        _ => Ok(Some(bytes)),
    }
}

/// A fifo would wait for its other end.
fn open(file: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(file)
}

fn kind(found: fs::FileType) -> &'static str {
    match found {
        _ if found.is_dir() => "a directory",
        _ if found.is_symlink() => "a link",
        _ if found.is_fifo() => "a fifo",
        _ if found.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all_and_nothing_else_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::write(place("file"), "12345").unwrap();
        assert_eq!(read(&place("file"), 5).unwrap(), Some(b"12345".to_vec()));
        assert_eq!(read(&place("nothing"), 5).unwrap(), None);
        fs::create_dir(place("directory")).unwrap();
        symlink(place("file"), place("link")).unwrap();
        nix::unistd::mkfifo(&place("fifo"), Mode::S_IRWXU).unwrap();
        let sparse = File::create(place("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        for (name, why) in [
            ("directory", "it is a directory"),
            ("link", "it is a link"),
            ("fifo", "it is a fifo"),
            ("sparse", "it is longer than it can be, 1099511627776 bytes"),
        ] {
            let error = read(&place(name), 5).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
        let error = read(&place("file"), 4).unwrap_err();
        assert!(matches!(error, Unreadable::Long(5)), "{error}");
        // Those of the kernel tell no length.
        let error = read(Path::new("/proc/self/maps"), 4).unwrap_err();
        assert!(matches!(error, Unreadable::Long(5)), "{error}");
    }
}
