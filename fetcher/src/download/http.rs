//! Downloads by HTTP, which go on where they broke off.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use reqwest::{Certificate, RequestBuilder, Response, StatusCode};

use super::ask::Ask;
use super::resolver::Resolver;
use super::s3::S3;
use super::{Came, DownloadError, Sink};
use crate::cache::Validators;
use crate::log::Log;
use crate::policy::{Forbidden, Policy};
use crate::redirect::{self, RefusedRedirect};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// In a row without a byte that was not there before.
const ATTEMPTS: u32 = 4;
/// All of one download: a server may break off again and again.
const MOST_ATTEMPTS: u32 = 100;

/// How long a download bears with a server.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Each wait for bytes.
    pub stall: Duration,
    /// Before the second attempt; twice as long before each after it.
    pub pause: Duration,
}

pub struct Http {
    client: reqwest::Client,
    policy: Arc<Policy>,
    patience: Patience,
    pub store: S3,
    /// Whom a file system is told that it is.
    pub user: Option<String>,
}

impl Http {
    /// A client that obeys the proxy variables of the environment. A proxy resolves names by itself: what
    /// `policy` says of addresses then holds for those that stand in URLs.
    pub fn new(
        policy: Policy,
        patience: Patience,
        authorities: &[Certificate],
    ) -> Result<Self, reqwest::Error> {
        let policy = Arc::new(policy);
        let builder = authorities.iter().cloned();
        let builder = builder.fold(reqwest::Client::builder(), |builder, authority| {
            builder.add_root_certificate(authority)
        });
        let client = builder
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(patience.stall)
            .redirect(redirect::policy(Arc::clone(&policy)))
            .dns_resolver(Arc::new(Resolver(Arc::clone(&policy))))
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            policy,
            patience,
            store: S3::default(),
            user: None,
        })
    }

    pub async fn get(
        &self,
        ask: Ask<'_>,
        known: Option<&Validators>,
        log: &Log,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        self.policy.host(ask.url.host_str().unwrap_or_default())?;
        let (mut fruitless, mut furthest, mut validator) = (0, 0, None);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(&ask, known, &mut validator, into).await {
                Ok(came) => return Ok(came),
                Err(error) => error,
            };
            fruitless = if into.length() > furthest {
                1
            } else {
                fruitless + 1
            };
            furthest = furthest.max(into.length());
            if !error.passes() || fruitless == ATTEMPTS || attempt == MOST_ATTEMPTS {
                return Err(error);
            }
            let why = crate::chain(&error);
            log.line(&format!("Trying again after {furthest} bytes: {why}"));
            tokio::time::sleep(self.patience.pause * 2_u32.pow(fruitless - 1)).await;
        }
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
        let mut request = ask.sign(self.client.get(ask.url.clone()));
        if let Some((length, validator)) = &resume {
            request = request
                .header(RANGE, format!("bytes={length}-"))
                .header(IF_RANGE, validator.clone());
        } else if let Some(known) = known {
            request = asking_for_news(request, known);
        }
        let failed = |error| self.failed(error);
        let mut answer = request.send().await.map_err(failed)?;
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

    fn failed(&self, error: reqwest::Error) -> DownloadError {
        // The URI stands in front of every message already.
        let error = error.without_url();
        if let Some(refused) = cause::<RefusedRedirect>(&error) {
            return DownloadError::Redirect(refused.clone());
        }
        if let Some(forbidden) = cause::<Forbidden>(&error) {
            return DownloadError::Forbidden(forbidden.clone());
        }
        match () {
            // Before "timeout": a connection that takes too long is both.
            () if error.is_connect() => DownloadError::Connect(error),
            () if error.is_timeout() => DownloadError::Stalled(self.patience.stall),
            () if error.is_builder() => DownloadError::BadUrl(error.into()),
            () => DownloadError::Broken(error),
        }
    }
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
