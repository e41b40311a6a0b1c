//! `/files/download`: a file as it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;

use super::{Failure, Gate, PAGES, Tree};
use crate::logs::{Bounds, Gone, Stream, read_at};

pub async fn download(gate: Gate, tree: Tree, path: String) -> Result<Response, Failure> {
    let name = path.trim_end_matches('/').rsplit('/').next();
    let name = name.unwrap_or("").to_owned();
    let asked = path.clone();
    let (source, offset, end) = gate.run(move || open(&tree, asked)).await?;
    let size = end - offset;
    let download = Download {
        gate,
        path,
        source: Arc::new(source),
        offset,
        end,
    };
    let body = Body::from_stream(try_unfold(download, Download::chunk));
    let disposition = format!("attachment; filename={}", token(&name));
    let headers = [
        (CONTENT_TYPE, content_type(&name).to_owned()),
        (CONTENT_DISPOSITION, disposition),
        (CONTENT_LENGTH, size.to_string()),
    ];
    Ok((headers, body).into_response())
}

/// What is sent, from where to where. As long as it is now: a log may grow while it is sent.
fn open(tree: &Tree, path: String) -> Result<(Source, u64, u64), Failure> {
    let (file, metadata) = tree.open_file(&path)?;
    if let Some(log) = tree.log(&path) {
        let bounds = log.bounds();
        let bounds = bounds.map_err(|source| Failure::Io { path, source })?;
        if let Some(Bounds { start, end, .. }) = bounds {
            return Ok((Source::Log(log), start, end));
        }
    }
    Ok((Source::File(file), 0, metadata.size()))
}

#[derive(Debug)]
enum Source {
    File(File),
    /// It may be rotated while it is sent.
    Log(Stream),
}

impl Source {
    fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        match self {
            Source::File(file) => read_at(file, offset, length),
            Source::Log(log) => match log.read(offset, Gone::Oldest, length)? {
                Some(piece) if piece.offset == offset => Ok(piece.bytes),
                // Faster than it was sent, or it is no log any more.
                _ => Err(io::Error::other("it is not kept any more")),
            },
        }
    }
}

/// A file on its way to a client, who takes its chunks as slowly as it likes.
struct Download {
    gate: Gate,
    path: String,
    source: Arc<Source>,
    offset: u64,
    end: u64,
}

impl Download {
    async fn chunk(mut self) -> Result<Option<(Bytes, Download)>, Failure> {
        let (source, path) = (Arc::clone(&self.source), self.path.clone());
        let (offset, wanted) = (self.offset, PAGES.min(self.end - self.offset));
        let read = move || {
            let read = source.read(offset, wanted);
            read.map_err(|source| Failure::Io { path, source })
        };
        let chunk = match wanted {
            0 => return Ok(None),
            _ => self.gate.run(read).await?,
        };
        self.offset += chunk.len() as u64;
        Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), self)))
    }
}

/// A name as a header may carry it without quotes: the name is the task's, and nothing of it may end
/// the parameter or the header. Source: RFC 9110 section 5.6.2.
fn token(name: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    name.chars()
        .map(|c| if is_token(c) { c } else { '_' })
        .collect()
}

fn content_type(name: &str) -> &'static str {
    const TYPES: &[(&str, &str)] = &[
        ("txt", "text/plain"),
        ("log", "text/plain"),
        ("html", "text/html"),
        ("css", "text/css"),
        ("js", "text/javascript"),
        ("json", "application/json"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("gif", "image/gif"),
        ("svg", "image/svg+xml"),
        ("gz", "application/gzip"),
        ("tgz", "application/gzip"),
        ("tar", "application/x-tar"),
        ("zip", "application/zip"),
    ];
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = TYPES.iter().find(|(known, _)| *known == extension);
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        assert_eq!(token("app-1.log"), "app-1.log");
        assert_eq!(token("a;b=\"c\" d\r\nX: é"), "a_b__c__d__X___");
    }
}
