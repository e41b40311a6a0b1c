//! One question to a registry, with the proof of who asks that it wants.

use std::error::Error;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};

use super::challenge::Challenge;
use super::credentials::Login;
use super::{RegistryError, Repository};
use crate::media::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

/// A registry, or a mirror of it.
pub struct Place {
    host: String,
    /// Plain HTTP will do.
    pub insecure: bool,
    pub login: Option<Login>,
    /// Found to be so, the first time that it was asked.
    plain: RwLock<Option<bool>>,
    /// What it was shown last.
    proof: RwLock<Option<HeaderValue>>,
}

impl Place {
    pub fn new(host: String, insecure: bool, login: Option<Login>) -> Place {
        Place {
            host,
            insecure,
            login,
            plain: RwLock::default(),
            proof: RwLock::default(),
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it was found to speak no TLS.
    pub fn is_plain(&self) -> bool {
        get(&self.plain).unwrap_or(false)
    }
}

fn get<T: Clone>(lock: &RwLock<Option<T>>) -> Option<T> {
    lock.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn set<T>(lock: &RwLock<Option<T>>, value: T) {
    *lock.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

impl Repository<'_> {
    /// GET of a path below `/v2/`, from the byte `from` on. An answer that is none is an error.
    pub(super) async fn ask(
        &self,
        place: &Place,
        path: &str,
        from: Option<u64>,
    ) -> Result<Response, RegistryError> {
        let mut answer = self.send(place, path, from).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.is_own(place, answer.url()) {
            let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
            let mut challenges = challenges.filter_map(|it| Challenge::parse(it.to_str().ok()?));
            if let Some(challenge) = challenges.next()
                && let Some(proof) = self.proof(place, challenge).await?
            {
                set(&place.proof, proof);
                answer = self.send(place, path, from).await?;
            }
        }
        let registry = || place.host.clone();
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound {
                registry: registry(),
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied {
                registry: registry(),
                who: match place.login {
                    Some(_) => "logged in as its credentials say",
                    None => "not logged in",
                },
                remedy: match place.login {
                    Some(_) => "check them, and that they may pull the image",
                    None => {
                        "check the image's name, and give credentials if it is not public (--docker_config)"
                    }
                },
            }),
            status => Err(RegistryError::Status {
                registry: registry(),
                status,
            }),
        }
    }

    /// A redirect's target may ask for nothing.
    fn is_own(&self, place: &Place, url: &Url) -> bool {
        let own = self.url(place, "", place.is_plain());
        own.is_some_and(|own| own.origin() == url.origin())
    }

    fn url(&self, place: &Place, path: &str, plain: bool) -> Option<Url> {
        let scheme = if plain { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{}/v2/{path}", place.host)).ok()
    }

    async fn send(
        &self,
        place: &Place,
        path: &str,
        from: Option<u64>,
    ) -> Result<Response, RegistryError> {
        if !place.insecure || get(&place.plain) == Some(false) {
            return self.send_by(place, path, from, false).await;
        }
        if get(&place.plain) == Some(true) {
            return self.send_by(place, path, from, true).await;
        }
        let (answer, plain) = match self.send_by(place, path, from, false).await {
            // One that speaks TLS, as somebody else, is not asked otherwise.
            Err(RegistryError::Connect { source, .. }) if !is_of_certificate(&source) => {
                (self.send_by(place, path, from, true).await?, true)
            }
            answer => (answer?, false),
        };
        set(&place.plain, plain);
        Ok(answer)
    }

    async fn send_by(
        &self,
        place: &Place,
        path: &str,
        from: Option<u64>,
        plain: bool,
    ) -> Result<Response, RegistryError> {
        let registry = || place.host.clone();
        let url = self.url(place, path, plain);
        let url = url.ok_or_else(|| RegistryError::NotFound {
            registry: registry(),
        })?;
        let host = self
            .registries
            .settings
            .policy
            .host(url.host_str().unwrap_or_default());
        host.map_err(|source| RegistryError::Forbidden {
            registry: registry(),
            source,
        })?;
        let mut request = self.registries.client.get(url);
        for kind in [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST] {
            request = request.header(ACCEPT, kind);
        }
        if let Some(from) = from.filter(|from| *from > 0) {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(proof) = get(&place.proof) {
            request = request.header(AUTHORIZATION, proof);
        }
        request
            .send()
            .await
            .map_err(|error| self.failed(place, error))
    }

    pub(super) fn failed(&self, place: &Place, error: reqwest::Error) -> RegistryError {
        let registry = place.host.clone();
        let error = error.without_url();
        if let Some(source) = cause(&error).cloned() {
            return RegistryError::Redirect { registry, source };
        }
        if let Some(source) = cause(&error).cloned() {
            return RegistryError::Forbidden { registry, source };
        }
        match () {
            // Before "timeout": a connection that takes too long is both.
            () if error.is_connect() => RegistryError::Connect {
                registry,
                source: error,
            },
            () if error.is_timeout() => RegistryError::Stalled {
                registry,
                waited: self.registries.settings.stall_timeout,
            },
            () => RegistryError::Broken {
                registry,
                source: error,
            },
        }
    }
}

/// TLS is spoken there, but not by whom it should be.
fn is_of_certificate(error: &reqwest::Error) -> bool {
    fetcher::chain(error).contains("certificate")
}

/// The `E` inside an error of the client, if that is what it is.
pub(super) fn cause<E: Error + 'static>(error: &dyn Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}
