//! Makes an engine's container of a plan: its image is pulled, it is created, and started.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Create, Engine, EngineError};
use images::{BadReference, Credentials, HelperError, Login, Reference, Version};
use isolators::ContainerId;
use tokio::sync::oneshot;

use super::plan::{Image, Plan};
use super::shared::Shared;
use super::{Container, Docker, name, output, remover, watch};
use crate::checkpoint::CheckpointError;

/// How long a task that runs is told to be starting because its engine does not say more of it.
const SEEING: Duration = Duration::from_secs(5);

/// How long the end of a task waits for a container that was given up.
const PUTTING_AWAY: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Reference(#[from] BadReference),
    #[error("cannot learn who its registry is to be told that we are")]
    Helper(#[from] HelperError),
    #[error("cannot write the container down")]
    Record(#[from] CheckpointError),
    #[error("cannot look at the sandbox's logs")]
    Output(#[from] output::OutputError),
    #[error("the work on the container was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Docker {
    /// The image is at the engine when this returns. `log`: the sandbox's stderr.
    pub async fn provide(
        &self,
        image: &Image,
        credentials: &Credentials,
        log: &File,
    ) -> Result<(), DockerError> {
        let shared = &self.shared;
        let wanted = &*image.name;
        if !image.pulls {
            let ask = |engine: Engine| async move { engine.image(wanted).await };
            if shared.ask(ask).await?.is_some() {
                return Ok(());
            }
        }
        let reference: Reference = image.name.parse()?;
        let known = credentials.for_registry(reference.registry()).await?;
        let login = known.of(reference.registry());
        let login = login.map(|login| credentials_of(login, reference.registry()));
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let version = match reference.version() {
            Version::Tag(tag) => tag.clone(),
            Version::Digest(digest) => digest.to_string(),
        };
        say(
            log,
            &format!("Pulling image {reference} with the Docker Engine"),
        );
        let (repository, version, login) = (&*repository, &*version, login.as_ref());
        let pull = |engine: Engine| async move {
            engine
                .pull(repository, version, login)
                .await?
                .finish()
                .await
        };
        Ok(shared.ask(pull).await?)
    }

    /// Returns once it runs. Who does not wait for that says `put_away`.
    pub async fn launch(&self, plan: Plan, sandbox: &Path) -> Result<Container, DockerError> {
        let (tell, made) = oneshot::channel();
        let (shared, sandbox) = (Arc::clone(&self.shared), sandbox.to_owned());
        let Plan { id, create, .. } = plan;
        tokio::spawn(async move {
            let hand = shared.hand();
            let made = make(&shared, &id, &create, &sandbox).await;
            let is_made = made.is_ok();
            // An engine does what it was asked for, also when nobody waits for the answer.
            if tell.send(made).is_err() || !is_made {
                put_away(&shared, &id).await;
            }
            drop(hand);
        });
        let made = made.await;
        let container = made.unwrap_or_else(|_ended| {
            Err(DockerError::Engine(EngineError::BadStream {
                what: "a launch".to_owned(),
                why: "it was interrupted",
            }))
        })?;
        container.until_seen(SEEING).await;
        Ok(container)
    }
}

impl Docker {
    /// Of a launch that was given up, wherever it was: the engine may have it, or come to have it.
    pub async fn put_away(&self, container: &str) {
        let Ok(id) = ContainerId::try_from(container.to_owned()) else {
            return;
        };
        if !self.shared.records.has(&id) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let putting = tokio::spawn(async move {
            let _hand = shared.hand();
            put_away(&shared, &id).await;
        });
        if tokio::time::timeout(PUTTING_AWAY, putting).await.is_err() {
            tracing::warn!(
                container,
                "a container that was given up is still with its engine"
            );
        }
    }
}

async fn make(
    shared: &Arc<Shared>,
    id: &ContainerId,
    create: &Create,
    sandbox: &Path,
) -> Result<Container, DockerError> {
    let noted = {
        let (shared, id, sandbox) = (Arc::clone(shared), id.clone(), sandbox.to_owned());
        move || -> Result<(), DockerError> {
            shared.records.write(&id, &sandbox)?;
            Ok(output::begin(&shared.records.output(&id), &sandbox)?)
        }
    };
    tokio::task::spawn_blocking(noted).await??;
    let name = &*name(id);
    let made = |engine: Engine| async move { engine.create(name, create).await };
    let (_, warnings) = shared.ask(made).await?;
    for warning in warnings {
        tracing::info!(container = %id, warning, "a Docker Engine warns");
    }
    let started = |engine: Engine| async move { engine.start(name).await };
    shared.ask(started).await?;
    let since = watch::Since::Now;
    Ok(watch::begin(shared, id.clone(), sandbox.to_owned(), since))
}

async fn put_away(shared: &Arc<Shared>, id: &ContainerId) {
    let name = name(id);
    tokio::select! {
        () = remover::remove(shared, &name) => {
            let (shared, id) = (Arc::clone(shared), id.clone());
            let removed = tokio::task::spawn_blocking(move || shared.records.remove(&id));
            if let Err(error) = removed.await {
                tracing::debug!(%error, "the record of an engine's container stays");
            }
        }
        // Who comes next finds the record.
        () = shared.is_left() => {}
    }
}

fn credentials_of(login: &Login, registry: &str) -> engine::Credentials {
    // As engines call it.
    let server = match registry {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    };
    let none = engine::Credentials {
        server: server.to_owned(),
        ..engine::Credentials::default()
    };
    match login {
        Login::Password { user, password } => engine::Credentials {
            username: user.clone(),
            password: password.clone(),
            ..none
        },
        Login::Identity(token) => engine::Credentials {
            identity_token: token.clone(),
            ..none
        },
        Login::Token(token) => engine::Credentials {
            registry_token: token.clone(),
            ..none
        },
    }
}

fn say(mut log: &File, line: &str) {
    if let Err(error) = writeln!(log, "{line}") {
        tracing::debug!(%error, "cannot write to a sandbox's stderr");
    }
}
