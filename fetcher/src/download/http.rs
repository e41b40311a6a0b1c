//! Downloads by HTTP.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use reqwest::{Certificate, RequestBuilder, Response, StatusCode, Url};

use super::ask::{Ask, Of, signed};
use super::ftp::{Ftp, Tls, tls};
use super::resolver::Resolver;
use super::s3::S3;
use super::{Came, DownloadError, Held, Patience, Sink};
use crate::cache::Validators;
use crate::log::Log;
use crate::netrc::Netrc;
use crate::policy::{Forbidden, Policy};
use crate::redirect::{self, RefusedRedirect};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
pub struct Http {
    client: reqwest::Client,
    /// Of schemes that are spoken by HTTP with servers that nobody named.
    pub(super) follower: reqwest::Client,
    /// Likewise, and goes nowhere else by itself.
    signer: reqwest::Client,
    /// For where those lead to.
    followed: Arc<Policy>,
    pub(super) policy: Arc<Policy>,
    pub(super) patience: Patience,
    pub store: S3,
    /// Whom a file system is told that it is.
    pub user: Option<String>,
    pub name_services: BTreeMap<String, Vec<String>>,
    pub netrc: Netrc,
    pub ftp: Ftp,
    /// What is no server's.
    pub held: Held,
}

impl Http {
    /// A client that obeys the proxy variables of the environment. A proxy resolves names by itself: what
    /// `policy` says of addresses then holds for those that stand in URLs.
    pub fn new(
        policy: Policy,
        patience: Patience,
        authorities: &[Certificate],
        tls: Tls,
    ) -> Result<Self, reqwest::Error> {
        let followed = Arc::new(policy.within(&["http", "https"]));
        let policy = Arc::new(policy);
        let made = |rules: &Arc<Policy>, redirects| {
            client(Arc::clone(rules), redirects, patience, authorities)
        };
        Ok(Self {
            client: made(&policy, redirect::policy(Arc::clone(&policy)))?,
            follower: made(&followed, redirect::policy(Arc::clone(&followed)))?,
            signer: made(&followed, reqwest::redirect::Policy::none())?,
            followed,
            policy: Arc::clone(&policy),
            patience,
            store: S3::default(),
            user: None,
            name_services: BTreeMap::new(),
            netrc: Netrc::default(),
            held: Held::default(),
            ftp: Ftp {
                policy,
                patience,
                tls,
                netrc: Netrc::default(),
            },
        })
    }

    pub async fn get(
        &self,
        ask: &Ask<'_>,
        known: Option<&Validators>,
        log: &Log,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        self.policy.host(ask.url.host_str().unwrap_or_default())?;
        let mut validator = None;
        let attempt = async |into: &mut Sink| self.attempt(ask, known, &mut validator, into).await;
        self.patience.persist(log, into, attempt).await
    }

    async fn attempt(
        &self,
        ask: &Ask<'_>,
        known: Option<&Validators>,
        validator: &mut Option<HeaderValue>,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        let resume = match (into.length(), &*validator) {
            (0, _) => None,
            (length, Some(validator)) => Some((length, validator.clone())),
            // Nothing tells whether it is still the same file.
            (_, None) => {
                into.restart()?;
                None
            }
        };
        let conditions = |request: RequestBuilder| match (&resume, known) {
            (Some((length, validator)), _) => request
                .header(RANGE, format!("bytes={length}-"))
                .header(IF_RANGE, validator.clone()),
            (None, Some(known)) => asking_for_news(request, known),
            (None, None) => request,
        };
        let failed = |error| self.failed(error);
        let mut answer = match ask.of {
            Of::Server => {
                let mut request = conditions(self.client.get(ask.url.clone()));
                let host = ask.url.host_str().unwrap_or_default();
                if let ("", Some((user, password))) = (ask.url.username(), self.netrc.login(host)) {
                    request = request.basic_auth(user, Some(password));
                }
                request.send().await.map_err(failed)?
            }
            Of::Store(store) => self.ask_store(store, &ask.url, conditions).await?,
        };
        match (answer.status(), &resume) {
            (StatusCode::OK, _) => into.restart()?,
            (StatusCode::NOT_MODIFIED, None) if known.is_some() => return Ok(Came::NotModified),
            (StatusCode::PARTIAL_CONTENT, Some((length, _))) => {
                if begins_at(answer.headers()) != Some(*length) {
                    into.restart()?;
                    return Err(DownloadError::WrongPart);
                }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                into.restart()?;
                return Err(DownloadError::WrongPart);
            }
            (status, _) => return Err(DownloadError::Status(status)),
        }
        *validator = strong_validator(&answer);
        // Mostly announced; counted all the same.
        if let Some(length) = answer.content_length() {
            into.announce(length)?;
        }
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            into.write(&piece)?;
        }
        Ok(Came::Content(validators(answer.headers())))
    }

    /// What a store answers, or whom it sends on to. A signature is for one host, and nobody else is told who asks:
    /// the client would take away what it knows to be secret, which a session's token is not.
    async fn ask_store(
        &self,
        store: &S3,
        url: &Url,
        conditions: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, DownloadError> {
        let mut asked = vec![url.clone()];
        let mut url = url.clone();
        loop {
            let mut request = conditions(self.signer.get(url.clone()));
            // Nor is the store itself where another sends back to it.
            if asked.iter().all(|other| other.origin() == url.origin()) {
                request = signed(request, &url, store);
            }
            let answer = request.send().await.map_err(|error| self.failed(error))?;
            let next = redirect::next(&asked, &answer, &self.followed);
            match next.map_err(DownloadError::Redirect)? {
                Some(next) => url = next,
                None => return Ok(answer),
            }
            asked.push(url.clone());
        }
    }

    pub(super) fn failed(&self, error: reqwest::Error) -> DownloadError {
        // The URI stands in front of every message already.
        let error = error.without_url();
        if let Some(refused) = cause::<RefusedRedirect>(&error) {
            return DownloadError::Redirect(refused.clone());
        }
        if let Some(forbidden) = cause::<Forbidden>(&error) {
            return DownloadError::Forbidden(forbidden.clone());
        }
        match () {
            () if is_about_certificate(&error) => DownloadError::Certificate(error.into()),
            // Before "timeout": a connection that takes too long is both.
            () if error.is_connect() => DownloadError::Connect(error),
            () if error.is_timeout() => DownloadError::Stalled(self.patience.stall),
            () if error.is_builder() => DownloadError::BadUrl(error.into()),
            () => DownloadError::Broken(error),
        }
    }
}

fn client(
    policy: Arc<Policy>,
    redirects: reqwest::redirect::Policy,
    patience: Patience,
    authorities: &[Certificate],
) -> Result<reqwest::Client, reqwest::Error> {
    let builder = authorities.iter().cloned();
    let builder = builder.fold(reqwest::Client::builder(), |builder, authority| {
        builder.add_root_certificate(authority)
    });
    builder
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(patience.stall)
        .redirect(redirects)
        // A URI that leads elsewhere may hold what is only for its own server.
        .referer(false)
        .dns_resolver(Arc::new(Resolver(policy)))
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Nothing that will be different the next time.
fn is_about_certificate(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>();
        if io.is_some_and(tls::is_about_certificate) {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn asking_for_news(request: RequestBuilder, known: &Validators) -> RequestBuilder {
    let headers = [
        (IF_NONE_MATCH, &known.etag),
        (IF_MODIFIED_SINCE, &known.last_modified),
    ];
    let set = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    set.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

fn validators(headers: &HeaderMap) -> Validators {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    Validators {
        etag: text(ETAG),
        last_modified: text(LAST_MODIFIED),
    }
}

/// What tells a later request that the file is the same, byte by byte. Source: RFC 9110, section 13.1.5.
fn strong_validator(answer: &Response) -> Option<HeaderValue> {
    let headers = answer.headers();
    let etag = headers.get(ETAG);
    let strong = etag.filter(|etag| !etag.as_bytes().starts_with(b"W/"));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// The first byte of a part.
fn begins_at(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .parse()
        .ok()
}

/// The `E` inside an error of the client, if that is what it is.
fn cause<E: Error + 'static>(error: &dyn Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}
