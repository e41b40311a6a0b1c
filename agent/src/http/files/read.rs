//! `/files/read`: a piece of a file as text.

use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde_json::{Value, json};

use super::{Failure, PAGES, Tree};

/// `offset` `None` asks for the size only; `length` `None` for as much as one answer holds.
pub fn read(
    tree: &Tree,
    path: &str,
    offset: Option<u64>,
    length: Option<u64>,
) -> Result<Value, Failure> {
    let (file, metadata) = tree.open_file(path)?;
    let Some(offset) = offset else {
        return Ok(json!({"offset": metadata.size(), "data": ""}));
    };
    // Nothing is there, and so far out the kernel would not even look.
    if offset >= metadata.size() {
        return Ok(json!({"offset": offset, "data": ""}));
    }
    let wanted = length.unwrap_or(PAGES).min(PAGES);
    let fail = |source| Failure::Io {
        path: path.to_owned(),
        source,
    };
    let mut data = vec![0; usize::try_from(wanted).unwrap_or(0)];
    let mut filled = 0;
    while filled < data.len() {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    data.truncate(filled);
    Ok(json!({"offset": offset, "data": text(&data)}))
}

/// Bytes as text. Clients go on at `offset` plus the bytes they got, so a character that is cut in
/// two at the end is left for the next read; bytes that are no text at all are shown as `?`, one
/// each, which keeps the count.
fn text(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        let reaches_end = text.len() + invalid.len() == data.len();
        let is_cut = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        if reaches_end && is_cut && !text.is_empty() {
            break;
        }
        text.extend(invalid.iter().map(|_| '?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::tree;
    use super::*;

    #[test]
    fn a_read_without_an_offset_tells_the_size() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "12345").unwrap();
        let tree = tree(dir.path());
        assert_eq!(
            read(&tree, "/box/log", None, None).unwrap(),
            json!({"offset": 5, "data": ""})
        );
        for past in [9, i64::MAX as u64, u64::MAX] {
            let read = read(&tree, "/box/log", Some(past), None).unwrap();
            assert_eq!(read, json!({"offset": past, "data": ""}));
        }
        let none = read(&tree, "/box/log", Some(0), Some(0)).unwrap();
        assert_eq!(none["data"], "");
    }

    #[test]
    fn one_answer_holds_at_most_16_pages() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), vec![b'x'; 100_000]).unwrap();
        let read = read(&tree(dir.path()), "/box/log", Some(10), Some(90_000)).unwrap();
        assert_eq!(read["data"].as_str().unwrap().len(), 65_536);
    }

    #[test]
    fn text_that_is_cut_or_is_none_keeps_its_length() {
        let euro = "a€".as_bytes();
        assert_eq!(text(euro), "a€");
        assert_eq!(text(&euro[..3]), "a", "the rest comes with the next read");
        assert_eq!(
            text(&euro[1..2]),
            "?",
            "nothing else is there: do not stand still"
        );
        assert_eq!(text(b"a\xff\xfeb"), "a??b");
    }
}
