//! A tree that was unpacked, as one file for the cache: a plain tar, in which the contents of files begin where
//! blocks of file systems do, so that they can be shared with the files that are made of them.
//!
//! What it holds went through every check already, and goes through them again when it is handed out.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar::{EntryType, Header};

use super::holes;

/// Of tar.
const BLOCK: u64 = 512;
/// Of file systems.
pub const ALIGNED: u64 = 4096;
/// Of a name in a header.
const NAME: usize = 100;

#[derive(Debug)]
pub struct Pack {
    file: File,
    at: u64,
    content: Content,
}

/// Of the file that is being written.
#[derive(Debug, Default)]
struct Content {
    /// As long as it may be too short to be shared.
    small: Vec<u8>,
    /// Where it begins, once it is not.
    begins: Option<u64>,
    length: u64,
}

/// What a header says beside the name.
struct Said<'a> {
    kind: EntryType,
    link: Option<&'a Path>,
    mode: u32,
    modified: u64,
    size: u64,
}

impl Pack {
    /// `file` is new and empty.
    pub fn new(file: File) -> Self {
        Self {
            file,
            at: 0,
            content: Content::default(),
        }
    }

    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        self.entry(EntryType::Directory, path, None)
    }

    pub fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.entry(EntryType::Symlink, path, Some(target))
    }

    pub fn hard_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.entry(EntryType::Link, path, Some(target))
    }

    /// Content of the next file.
    pub fn write(&mut self, path: &Path, piece: &[u8]) -> io::Result<()> {
        let Content {
            small,
            begins,
            length,
        } = &mut self.content;
        let begins = match *begins {
            Some(begins) => begins,
            None => {
                small.extend(piece);
                *length += piece.len() as u64;
                if *length >= ALIGNED {
                    let at = aligned(self.at, &records(path, None));
                    *begins = Some(at);
                    self.file.write_all_at(small, at)?;
                    small.clear();
                }
                return Ok(());
            }
        };
        // Holes stay holes.
        if !holes::are_zeros(piece) {
            self.file.write_all_at(piece, begins + *length)?;
        }
        *length += piece.len() as u64;
        Ok(())
    }

    pub fn end_file(&mut self, path: &Path, mode: u32, modified: u64) -> io::Result<()> {
        let Content {
            small,
            begins,
            length,
        } = std::mem::take(&mut self.content);
        let said = Said {
            kind: EntryType::Regular,
            link: None,
            mode,
            modified,
            size: length,
        };
        let records = records(path, None);
        let at = begins.unwrap_or_else(|| behind(self.at, &records));
        self.file.write_all_at(&small, at)?;
        self.file
            .write_all_at(&head(path, &said, records, at - self.at)?, self.at)?;
        self.at = (at + length).next_multiple_of(BLOCK);
        Ok(())
    }

    /// The whole length.
    pub fn finish(self) -> io::Result<u64> {
        let length = self.at + 2 * BLOCK;
        self.file.set_len(length)?;
        Ok(length)
    }

    fn entry(&mut self, kind: EntryType, path: &Path, link: Option<&Path>) -> io::Result<()> {
        let said = Said {
            kind,
            link,
            mode: 0o755,
            modified: 0,
            size: 0,
        };
        let records = records(path, link);
        let at = behind(self.at, &records);
        self.file
            .write_all_at(&head(path, &said, records, at - self.at)?, self.at)?;
        self.at = at;
        Ok(())
    }
}

/// What does not fit a header.
fn records(path: &Path, link: Option<&Path>) -> Vec<u8> {
    let long = [("path", Some(path)), ("linkpath", link)];
    long.into_iter()
        .filter_map(|(key, path)| Some((key, path?.as_os_str().as_bytes())))
        .filter(|(_, bytes)| bytes.len() > NAME)
        .flat_map(|(key, bytes)| record(key, bytes))
        .collect()
}

/// A line that begins with its own length. Source: POSIX, pax, "pax Extended Header".
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A record of `length` bytes.
fn filler(length: u64) -> Vec<u8> {
    let around = length.to_string().len() + " comment=\n".len();
    let text = vec![b' '; (length as usize).saturating_sub(around)];
    [format!("{length} comment=").as_bytes(), &text, b"\n"].concat()
}

/// Where content may begin behind its headers.
fn behind(at: u64, records: &[u8]) -> u64 {
    match records.len() as u64 {
        0 => at + BLOCK,
        length => at + 2 * BLOCK + length.next_multiple_of(BLOCK),
    }
}

/// Likewise, at a block of a file system.
fn aligned(at: u64, records: &[u8]) -> u64 {
    let length = (records.len() as u64).max(1).next_multiple_of(BLOCK);
    let least = at + 2 * BLOCK + length;
    match (at + BLOCK).is_multiple_of(ALIGNED) && records.is_empty() {
        true => at + BLOCK,
        false => least.next_multiple_of(ALIGNED),
    }
}

/// Headers of `length` bytes.
fn head(path: &Path, said: &Said<'_>, mut records: Vec<u8>, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if length > BLOCK {
        let room = length - 2 * BLOCK;
        let left = room - records.len() as u64;
        if left >= BLOCK {
            records.extend(filler(left));
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        records.resize(room as usize, 0);
        bytes.extend(records);
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(said.kind);
    header.set_size(said.size);
    header.set_mode(said.mode);
    header.set_mtime(said.modified);
    // By bytes: the crate would have an opinion on what they say.
    let short = |path: &Path, field: &mut [u8]| {
        let name = path.as_os_str().as_bytes();
        let length = name.len().min(field.len());
        field[..length].copy_from_slice(&name[..length]);
    };
    if let Some(ustar) = header.as_ustar_mut() {
        short(path, &mut ustar.name);
        if let Some(link) = said.link {
            short(link, &mut ustar.linkname);
        }
    }
    header.set_cksum();
    bytes.extend(header.as_bytes());
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(io::Error::other("an entry of a kept tree has no room")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_packed_is_what_a_reader_of_tar_finds_and_large_contents_begin_at_blocks() {
        let file = tempfile::tempfile().unwrap();
        let mut pack = Pack::new(file.try_clone().unwrap());
        let deep = format!("{}/x", ["d"; 90].join("/"));
        let names = ["a", &deep, &"n".repeat(100), &"m".repeat(101)];
        let sizes = [0, 1, 511, 512, 4095, 4096, 4097, 70_000];
        let mut files = Vec::new();
        for name in names {
            for size in sizes {
                let path = format!("{size}/{name}");
                let content = vec![b'0' + (size % 10) as u8; size];
                for piece in content.chunks(3000) {
                    pack.write(Path::new(&path), piece).unwrap();
                }
                pack.end_file(Path::new(&path), 0o755, 7).unwrap();
                files.push((path, content));
            }
            pack.directory(Path::new(name)).unwrap();
            pack.symlink(Path::new("l"), Path::new(name)).unwrap();
            pack.hard_link(Path::new("h"), Path::new(name)).unwrap();
        }
        let length = pack.finish().unwrap();
        assert_eq!(file.metadata().unwrap().len(), length);
        let packed = crate::growth::Packed::whole(file).unwrap();
        let mut archive = tar::Archive::new(packed);
        let (mut found, mut links) = (Vec::new(), 0);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            if entry.header().entry_type() != EntryType::Regular {
                links += u32::from(entry.link_name_bytes().is_some());
                continue;
            }
            let at = entry.raw_file_position();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let is_small = (content.len() as u64) < ALIGNED;
            assert!(is_small || at.is_multiple_of(ALIGNED), "{path} at {at}");
            assert_eq!(entry.header().mtime().unwrap(), 7);
            found.push((path, content));
        }
        assert!(found == files);
        assert_eq!(links, 8);
    }
}
