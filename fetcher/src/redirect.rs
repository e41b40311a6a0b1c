//! Where a server may send the fetcher on to.

use std::sync::Arc;

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode, Url, redirect};

use crate::policy::{Forbidden, Policy};

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
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

pub fn policy(rules: Arc<Policy>) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        match judge(attempt.previous(), attempt.url(), &rules) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

/// Where `answer` sends on to, for who does not leave it to the client. `asked` are the URLs asked so far, of which
/// the last one answered.
pub fn next(
    asked: &[Url],
    answer: &Response,
    rules: &Policy,
) -> Result<Option<Url>, RefusedRedirect> {
    const REDIRECTS: [StatusCode; 5] = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    let location = answer.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let location = location.filter(|_| REDIRECTS.contains(&answer.status()));
    // One that makes no sense is an answer like another.
    let next = asked.last().zip(location);
    let Some(next) = next.and_then(|(url, location)| url.join(location).ok()) else {
        return Ok(None);
    };
    judge(asked, &next, rules).map(|()| Some(next))
}

/// `previous` are the URLs asked so far, the first one included.
fn judge(previous: &[Url], next: &Url, rules: &Policy) -> Result<(), RefusedRedirect> {
    let secure = previous.last().is_some_and(|url| url.scheme() == "https");
    match next.scheme() {
        "http" if secure => return Err(RefusedRedirect::Downgrade),
        "http" | "https" if previous.len() > MOST => return Err(RefusedRedirect::TooMany),
        "http" | "https" => {}
        other => return Err(RefusedRedirect::Scheme(other.to_owned())),
    }
    rules.scheme(next.scheme())?;
    Ok(rules.host(next.host_str().unwrap_or_default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leaves_https_or_http() {
        use RefusedRedirect::{Downgrade, Scheme};
        let metadata = Forbidden::Address([169, 254, 169, 254].into());
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
            // However it is written.
            ("http://h/a", "http://0xa9fea9fe/b", Err(metadata.into())),
        ] {
            let previous = [Url::parse(from).unwrap()];
            let found = judge(&previous, &Url::parse(to).unwrap(), &Policy::default());
            assert_eq!(found, verdict, "{from} -> {to}");
        }
    }

    #[test]
    fn the_eleventh_redirect_is_one_too_many() {
        let url = Url::parse("http://h/a").unwrap();
        let rules = Policy::default();
        assert_eq!(judge(&vec![url.clone(); 10], &url, &rules), Ok(()));
        let verdict = judge(&vec![url.clone(); 11], &url, &rules);
        assert_eq!(verdict, Err(RefusedRedirect::TooMany));
    }
}
