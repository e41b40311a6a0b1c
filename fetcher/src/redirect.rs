//! Where a server may send the fetcher on to.

use std::error::Error;

use reqwest::Url;
use reqwest::redirect::Policy;

/// Redirects of one download.
const MOST: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRedirect {
    #[error("the server redirects in a circle or more than {MOST} times")]
    TooMany,
    #[error(
        "it leads from https to http, where the file could be changed on its way: serve it by \
         https to the end, or name the http URI itself"
    )]
    Downgrade,
    #[error("it leads to the scheme {0}: only http and https are followed")]
    Scheme(String),
}

pub fn policy() -> Policy {
    Policy::custom(|attempt| match judge(attempt.previous(), attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(refused) => attempt.error(refused),
    })
}

/// The refusal inside an error of the client, if that is what it is.
pub fn refused(error: &reqwest::Error) -> Option<RefusedRedirect> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<RefusedRedirect>() {
            return Some(refused.clone());
        }
        cause = inner.source();
    }
    None
}

/// `previous` are the URLs asked so far, the first one included.
fn judge(previous: &[Url], next: &Url) -> Result<(), RefusedRedirect> {
    let secure = previous.last().is_some_and(|url| url.scheme() == "https");
    match next.scheme() {
        "http" if secure => Err(RefusedRedirect::Downgrade),
        "http" | "https" if previous.len() > MOST => Err(RefusedRedirect::TooMany),
        "http" | "https" => Ok(()),
        other => Err(RefusedRedirect::Scheme(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leaves_https_or_http() {
        use RefusedRedirect::{Downgrade, Scheme};
        for (from, to, verdict) in [
            ("http://h/a", "http://h/b", Ok(())),
            ("http://h/a", "https://h/b", Ok(())),
            ("https://h/a", "https://other/b", Ok(())),
            ("https://h/a", "http://h/b", Err(Downgrade)),
            (
                "http://h/a",
                "file:///etc/passwd",
                Err(Scheme("file".into())),
            ),
            ("https://h/a", "ftp://h/b", Err(Scheme("ftp".into()))),
        ] {
            let previous = [Url::parse(from).unwrap()];
            let found = judge(&previous, &Url::parse(to).unwrap());
            assert_eq!(found, verdict, "{from} -> {to}");
        }
    }

    #[test]
    fn the_eleventh_redirect_is_one_too_many() {
        let url = Url::parse("http://h/a").unwrap();
        assert_eq!(judge(&vec![url.clone(); 10], &url), Ok(()));
        let verdict = judge(&vec![url.clone(); 11], &url);
        assert_eq!(verdict, Err(RefusedRedirect::TooMany));
    }
}
