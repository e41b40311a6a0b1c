//! What a server is asked for, whatever the scheme.

use reqwest::{RequestBuilder, Url};

use super::s3::S3;

pub struct Ask<'a> {
    pub url: Url,
    pub of: Of<'a>,
}

#[derive(Clone, Copy)]
pub enum Of<'a> {
    /// Who is what the URI says.
    Server,
    /// Whose requests are signed.
    Store(&'a S3),
}

impl Ask<'_> {
    pub fn plain(url: Url) -> Self {
        let of = Of::Server;
        Self { url, of }
    }
}

/// `request` for `url`, signed for `store`. Each time anew, for a signature has its time.
pub fn signed(request: RequestBuilder, url: &Url, store: &S3) -> RequestBuilder {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
    let headers = store.headers(url, &now, &[]);
    let with = |request: RequestBuilder, (name, value)| request.header(name, value);
    headers.into_iter().fold(request, with)
}
