//! What a server is asked for, whatever the scheme.

use reqwest::{RequestBuilder, Url};

use super::s3::S3;

pub struct Ask<'a> {
    pub url: Url,
    /// Whose requests are signed.
    pub store: Option<&'a S3>,
}

impl Ask<'_> {
    /// Each time anew, for a signature has its time.
    pub fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        let Some(store) = self.store else {
            return request;
        };
        let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let headers = store.headers(&self.url, &now, &[]);
        let with = |request: RequestBuilder, (name, value)| request.header(name, value);
        headers.into_iter().fold(request, with)
    }
}
