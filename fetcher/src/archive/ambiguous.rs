//! What one reader of tar takes for one thing, and another for another: such an archive is refused, for it is not
//! what whoever has looked at it believes. `tests/fetch/agree.py` compares with GNU tar and Python.

use std::io::Read;

use tar::EntryType;

/// Where a name goes on, by POSIX alone.
const PREFIX: std::ops::Range<usize> = 345..500;
const KIND: usize = 156;

/// Of one entry whose extended headers are `pairs`.
pub fn entry(
    entry: &tar::Entry<'_, impl Read>,
    pairs: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), &'static str> {
    let header = entry.header();
    let (kind, bytes) = (header.entry_type(), header.as_bytes());
    let name = entry.path_bytes();
    // Otherwise than of old, when there was no kind.
    if bytes[KIND] == b'0' && name.ends_with(b"/") {
        return Err("its name is that of a directory, and it is said to be a file");
    }
    let has_content = entry.size() != 0 || header.entry_size().unwrap_or(0) != 0;
    if !kind.is_file() && !kind.is_contiguous() && !kind.is_gnu_sparse() && has_content {
        return Err("it has content, and is no file");
    }
    let is_posix = header.as_ustar().is_some();
    let prefix = bytes[PREFIX].iter().any(|byte| *byte != 0);
    if !is_posix && prefix && kind != EntryType::GNUSparse {
        return Err("its name goes on where only another format lets it");
    }
    let link = entry.link_name_bytes();
    for (key, value) in pairs {
        let same = match &key[..] {
            b"path" => *value == *name,
            b"linkpath" => link.as_ref().is_some_and(|link| *value == **link),
            b"size" => {
                let size = std::str::from_utf8(value)
                    .ok()
                    .and_then(|size| size.parse().ok());
                size == Some(entry.size())
            }
            _ => true,
        };
        if !same {
            return Err("two of its headers do not say the same");
        }
    }
    Ok(())
}

/// Of what is said of all entries that follow: nothing that some readers heed and others do not.
pub fn global(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), &'static str> {
    let is_of_one = |(key, _): &(Vec<u8>, Vec<u8>)| {
        [&b"path"[..], b"linkpath", b"size"].contains(&&key[..]) || key.starts_with(b"GNU.sparse.")
    };
    match pairs.iter().any(is_of_one) {
        true => Err("it says of all entries what can only be said of one"),
        false => Ok(()),
    }
}
