//! `/files/download`: a file as it is.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use super::super::blocking;
use super::{Failure, PAGES, Tree};

pub async fn download(tree: Tree, path: String) -> Result<Response, Failure> {
    let name = path.trim_end_matches('/').rsplit('/').next();
    let name = name.unwrap_or("").to_owned();
    let (file, metadata) = blocking(move || tree.open_file(&path)).await?;
    // As long as it is now: a log may grow while it is sent.
    let size = metadata.size();
    let body = Body::from_stream(chunks(tokio::fs::File::from_std(file), size));
    let disposition = format!("attachment; filename={}", token(&name));
    let headers = [
        (CONTENT_TYPE, content_type(&name).to_owned()),
        (CONTENT_DISPOSITION, disposition),
        (CONTENT_LENGTH, size.to_string()),
    ];
    Ok((headers, body).into_response())
}

/// A name as a header may carry it without quotes: the name is the task's, and nothing of it may end
/// the parameter or the header. Source: RFC 9110 section 5.6.2.
fn token(name: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    name.chars()
        .map(|c| if is_token(c) { c } else { '_' })
        .collect()
}

fn chunks(
    file: tokio::fs::File,
    size: u64,
) -> impl futures_util::Stream<Item = io::Result<bytes::Bytes>> {
    use tokio::io::AsyncReadExt as _;
    futures_util::stream::try_unfold(file.take(size), |mut file| async move {
        let mut chunk = bytes::BytesMut::with_capacity(PAGES as usize);
        let n = file.read_buf(&mut chunk).await?;
        Ok((n > 0).then(|| (chunk.freeze(), file)))
    })
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
