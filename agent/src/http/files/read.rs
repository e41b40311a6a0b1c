//! `/files/read`: a piece of a file as text.

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use super::{Failure, PAGES, Tree};
use crate::logs::{Gone, Piece, read_at};

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// `None` asks for the size only.
    pub offset: Option<u64>,
    /// `None` for as much as one answer holds.
    pub length: Option<u64>,
    /// Of a log that was rotated, an offset before all that is kept means the oldest byte that is:
    /// the answer's offset says which.
    pub kept: bool,
}

/// Offsets in a task's log are those of all that it ever wrote, as far as that is kept: whoever
/// follows one goes on in the rotated files. An offset before that counts in the file as it is now.
pub fn read(tree: &Tree, path: &str, wanted: &Wanted) -> Result<Value, Failure> {
    let fail = |source| Failure::Io {
        path: path.to_owned(),
        source,
    };
    let (file, metadata) = tree.open_file(path)?;
    let log = tree.log(path);
    let Some(offset) = wanted.offset else {
        let bounds = log.map(|log| log.bounds()).transpose().map_err(fail)?;
        let end = bounds.flatten().map(|bounds| bounds.end);
        return Ok(json!({"offset": end.unwrap_or(metadata.size()), "data": ""}));
    };
    let length = wanted.length.unwrap_or(PAGES).min(PAGES);
    if let Some(log) = log {
        let gone = if wanted.kept {
            Gone::Oldest
        } else {
            Gone::InFile
        };
        if let Some(Piece { offset, bytes }) = log.read(offset, gone, length).map_err(fail)? {
            return Ok(json!({"offset": offset, "data": text(&bytes)}));
        }
    }
    // Nothing is there, and so far out the kernel would not even look.
    if offset >= metadata.size() {
        return Ok(json!({"offset": offset, "data": ""}));
    }
    let data = read_at(&file, offset, length).map_err(fail)?;
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
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::path::Path;

    use super::super::tests::{from, tree};
    use super::super::{Gate, browse, download};
    use super::*;

    #[test]
    fn a_read_without_an_offset_tells_the_size() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "12345").unwrap();
        let tree = tree(dir.path());
        assert_eq!(
            read(&tree, "/box/log", &Wanted::default()).unwrap(),
            json!({"offset": 5, "data": ""})
        );
        for past in [9, i64::MAX as u64, u64::MAX] {
            let read = read(&tree, "/box/log", &from(past)).unwrap();
            assert_eq!(read, json!({"offset": past, "data": ""}));
        }
        let nothing = Wanted {
            length: Some(0),
            ..from(0)
        };
        let none = read(&tree, "/box/log", &nothing).unwrap();
        assert_eq!(none["data"], "");
    }

    #[test]
    fn one_answer_holds_at_most_16_pages() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), vec![b'x'; 100_000]).unwrap();
        let much = Wanted {
            length: Some(90_000),
            ..from(10)
        };
        let read = read(&tree(dir.path()), "/box/log", &much).unwrap();
        assert_eq!(read["data"].as_str().unwrap().len(), 65_536);
    }

    /// Of 40 blocks 16 are in the newest rotated file, and 16 are gone; on a file system that takes
    /// out, and on one that only hollows.
    fn rotated(test: impl Fn(&Path, &[u8])) {
        let above = [std::env::temp_dir(), "/dev/shm".into()];
        for above in above.iter().filter(|above| above.is_dir()) {
            let dir = tempfile::tempdir_in(above).unwrap();
            let lines = (0..).map(|n| format!("{n:>15}\n"));
            let written: String = lines.take(40 * 256).collect();
            let limit = crate::logs::Limit {
                size: 16 * 4096,
                keep: 1,
            };
            for piece in written.as_bytes().chunks(16 * 4096 + 1) {
                let log = dir.path().join("stdout");
                let mut log = File::options().append(true).create(true).open(log).unwrap();
                log.write_all(piece).unwrap();
                crate::logs::attend(dir.path(), "stdout", limit).unwrap();
            }
            test(dir.path(), written.as_bytes());
        }
    }

    #[test]
    fn a_log_is_read_by_the_offsets_of_all_that_was_written() {
        rotated(|dir, written| {
            let ask = |wanted: Wanted| read(&tree(dir), "/box/stdout", &wanted).unwrap();
            let is_at = |answer: &Value, offset: usize| {
                let data = answer["data"].as_str().unwrap().as_bytes();
                !data.is_empty() && written[offset..].starts_with(data)
            };
            assert_eq!(ask(Wanted::default())["offset"], written.len());
            let (oldest, start) = (16 * 4096, 32 * 4096);
            for offset in [oldest, start - 10, start, start + 5] {
                let answer = ask(from(offset as u64));
                assert_eq!(answer["offset"], offset);
                assert!(is_at(&answer, offset), "{offset}");
            }
            let first = ask(from(10));
            assert_eq!(first["offset"], 10);
            assert!(is_at(&first, start + 10), "the file as it is");
            let kept = Wanted {
                kept: true,
                ..from(10)
            };
            assert_eq!(ask(kept)["offset"], oldest);
            assert!(is_at(&ask(kept), oldest));
        });
    }

    #[test]
    fn what_a_log_has_given_back_is_no_part_of_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        rotated(|dir, written| {
            let listed = browse(&tree(dir), "/box").unwrap().entries;
            let log = &listed.as_array().unwrap()[0];
            assert_eq!(log["path"], "/box/stdout");
            assert_eq!(log["size"], 8 * 4096);
            let downloaded = runtime.block_on(async {
                let sent = download(Gate::new(1), tree(dir), "/box/stdout".into()).await;
                let body = sent.unwrap().into_body();
                axum::body::to_bytes(body, 1 << 20).await.unwrap()
            });
            assert!(downloaded == written[32 * 4096..]);
        });
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
