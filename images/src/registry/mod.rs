//! Registries: what is asked of them, as whom, and where they may send us.
//!
//! Every byte that comes is held to a digest and a size that were known before, but for the manifest of a
//! tag, which is what the registry says it is. Redirects and addresses are held to the fetcher's policy.

mod ask;
mod blob;
mod challenge;
mod credentials;
mod helper;
mod realm;
mod remote;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fetcher::{Forbidden, Policy, RefusedRedirect, Resolver, redirects};
use reqwest::{Certificate, StatusCode};

use crate::digest::Digest;
use crate::manifest::{BadManifest, LARGEST};
use crate::reference::{DOCKER_HUB, Reference};

use ask::Place;
pub use blob::Partial;
pub use credentials::{BadCredentials, Credentials, Login};
pub use helper::HelperError;
pub use remote::RemoteError;

/// What Docker's registry is really called.
const HUB_HOST: &str = "registry-1.docker.io";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What an operator says of all registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Hosts, with their ports if they name one, that may be spoken with by plain HTTP; those of this host
    /// may be anyway.
    pub insecure: Vec<String>,
    /// A registry, and where what it has is asked for first.
    pub mirrors: Vec<(String, String)>,
    /// Longest wait for bytes.
    pub stall_timeout: Duration,
    /// Before the second attempt of a download; twice as long before each after it.
    pub pause: Duration,
    /// Authorities in PEM that are trusted beside the usual ones.
    pub ca_file: Option<PathBuf>,
    pub policy: Policy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            stall_timeout: Duration::from_secs(60),
            pause: Duration::from_millis(500),
            ca_file: None,
            policy: Policy::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot read the certificate authorities in {file}")]
    Authorities {
        file: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot prepare the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error(
        "cannot connect to registry {registry}: check its name, and that this host can reach it; one that \
         speaks plain HTTP must be listed in --docker_insecure_registries"
    )]
    Connect {
        registry: String,
        source: reqwest::Error,
    },
    #[error("registry {registry}: nothing came for {} s", .waited.as_secs_f32())]
    Stalled { registry: String, waited: Duration },
    #[error("registry {registry} broke off")]
    Broken {
        registry: String,
        source: reqwest::Error,
    },
    #[error("registry {registry}: a redirect is not followed")]
    Redirect {
        registry: String,
        source: RefusedRedirect,
    },
    #[error("registry {registry} may not be asked")]
    Forbidden { registry: String, source: Forbidden },
    #[error("registry {registry} has no such image: check name and tag")]
    NotFound { registry: String },
    #[error("registry {registry} lets nobody in who is {who}: {remedy}")]
    Denied {
        registry: String,
        who: &'static str,
        remedy: &'static str,
    },
    #[error("registry {registry} answered {status}")]
    Status {
        registry: String,
        status: StatusCode,
    },
    #[error(
        "registry {registry} sends us to {realm:?} to log in, which is refused: it must be an https URL, or \
         the registry's own host where that speaks plain HTTP"
    )]
    Realm { registry: String, realm: String },
    #[error("who logs in for registry {registry} gave no token")]
    NoToken { registry: String },
    #[error("the manifest is refused")]
    Manifest(#[from] BadManifest),
    #[error(
        "registry {registry} sent {found} as {wanted}: its content is not what it was asked for"
    )]
    WrongContent {
        registry: String,
        wanted: Digest,
        found: Digest,
    },
    #[error("registry {registry} sent another size of {digest} than the manifest's {size} bytes")]
    WrongSize {
        registry: String,
        digest: Digest,
        size: u64,
    },
    #[error("registry {registry} sent another part of {digest} than it was asked for")]
    WrongPart { registry: String, digest: Digest },
    #[error("cannot write {file}")]
    Write {
        file: PathBuf,
        source: std::io::Error,
    },
}

/// The client of all registries.
#[derive(Debug)]
pub struct Registries {
    client: reqwest::Client,
    settings: Settings,
}

/// One repository, for one who pulls from it.
pub struct Repository<'a> {
    registries: &'a Registries,
    name: String,
    /// Mirrors first.
    places: Vec<Place>,
}

impl Registries {
    /// A client that obeys the proxy variables of the environment.
    pub fn new(settings: Settings) -> Result<Registries, RegistryError> {
        let policy = Arc::new(settings.policy.clone());
        let authorities = authorities(&settings)?;
        let builder = authorities.into_iter();
        let builder = builder.fold(reqwest::Client::builder(), |builder, authority| {
            builder.add_root_certificate(authority)
        });
        let client = builder
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(settings.stall_timeout)
            // It forgets who we are on its way to another host.
            .redirect(redirects(Arc::clone(&policy)))
            .dns_resolver(Arc::new(Resolver(policy)))
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(RegistryError::Client)?;
        Ok(Registries { client, settings })
    }

    pub fn repository(&self, image: &Reference, credentials: &Credentials) -> Repository<'_> {
        let host = match image.registry() {
            DOCKER_HUB => HUB_HOST,
            host => host,
        };
        let mirrors = self.settings.mirrors.iter();
        let mirrors = mirrors.filter(|(of, _)| of == image.registry());
        let mirrors = mirrors.map(|(_, mirror)| self.place(mirror, None));
        let login = credentials.of(image.registry()).cloned();
        let own = self.place(host, login);
        Repository {
            registries: self,
            name: image.repository().to_owned(),
            places: mirrors.chain([own]).collect(),
        }
    }

    fn place(&self, host: &str, login: Option<Login>) -> Place {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let is_here = name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
        let listed = |it: &String| it == host || it == name;
        let insecure = name == "localhost" || is_here || self.settings.insecure.iter().any(listed);
        Place::new(host.to_owned(), insecure, login)
    }
}

impl Repository<'_> {
    /// The manifest of a tag or digest, and what the registry calls it.
    pub async fn manifest(
        &self,
        version: &str,
    ) -> Result<(Vec<u8>, Option<String>), RegistryError> {
        let mut failure = None;
        for place in &self.places {
            match self.manifest_at(place, version).await {
                Ok(found) => return Ok(found),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(RegistryError::NotFound {
            registry: self.name.clone(),
        }))
    }

    async fn manifest_at(
        &self,
        place: &Place,
        version: &str,
    ) -> Result<(Vec<u8>, Option<String>), RegistryError> {
        let path = format!("{}/manifests/{version}", self.name);
        let mut answer = self.ask(place, &path, None).await?;
        let announced = answer.content_length().unwrap_or(0);
        if announced > LARGEST as u64 {
            return Err(
                BadManifest::TooLarge(usize::try_from(announced).unwrap_or(usize::MAX)).into(),
            );
        }
        let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| Some(kind.to_str().ok()?.to_owned()));
        let mut text = Vec::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| self.failed(place, error))?
        {
            text.extend_from_slice(&piece);
            if text.len() > LARGEST {
                return Err(BadManifest::TooLarge(text.len()).into());
            }
        }
        if let Ok(wanted) = version.parse::<Digest>() {
            let mut content = wanted.verifier();
            content.update(&text);
            let found = content.digest();
            if found != wanted {
                return Err(RegistryError::WrongContent {
                    registry: place.host().to_owned(),
                    wanted,
                    found,
                });
            }
        }
        Ok((text, kind))
    }
}

fn authorities(settings: &Settings) -> Result<Vec<Certificate>, RegistryError> {
    let Some(file) = &settings.ca_file else {
        return Ok(Vec::new());
    };
    let failed = |source| RegistryError::Authorities {
        file: file.clone(),
        source,
    };
    let text = std::fs::read(file).map_err(|error| failed(error.into()))?;
    Certificate::from_pem_bundle(&text).map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests;
