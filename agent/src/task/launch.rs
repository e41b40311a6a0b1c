//! Makes the container of a task: sandbox, fetch, launch. The first failure ends it, with nothing
//! left on the host but the sandbox, whose stderr says why.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use containerizer::{Container, Containerizer, Output};
use isolators::{BadContainerId, BadUser, ContainerId, User};
use proto::error::chain;
use proto::v1;
use tokio::sync::oneshot;

use super::environment::AgentVariables;
use super::request::{Plan, PlanError, plan};
use crate::paths::{Paths, Run};
use crate::sandbox::{self, Sandbox, SandboxError};

/// What this host offers to every launch.
#[derive(Debug)]
pub struct Host {
    pub containerizer: Containerizer,
    pub paths: Paths,
    pub variables: AgentVariables,
    pub fetch_helper: Vec<String>,
    pub frameworks_home: Option<PathBuf>,
    pub switch_user: bool,
}

/// One task that is to run.
#[derive(Debug, Clone)]
pub struct Job {
    pub run: Run,
    pub sandbox: PathBuf,
    pub framework: v1::FrameworkInfo,
    pub executor: v1::ExecutorInfo,
    pub task: v1::TaskInfo,
}

#[derive(Debug)]
pub enum Outcome {
    Launched(Container),
    /// The whole chain of reasons, as one line.
    Failed(String),
    Cancelled,
}

#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    User(#[from] BadUser),
    #[error(transparent)]
    Id(#[from] BadContainerId),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("cannot open the sandbox's stderr for the fetcher")]
    Log(#[source] io::Error),
    #[error("cannot fetch what the task needs")]
    Fetch(#[from] fetcher::FetchError),
    #[error(transparent)]
    Container(#[from] containerizer::LaunchError),
    #[error("the launch was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A launch that is under way, on its own: none may be dropped half way. Dropping this calls it off
/// as far as that is still possible.
#[derive(Debug)]
pub struct Launching {
    outcome: oneshot::Receiver<Outcome>,
    /// Gone once the launch is called off.
    cancel: Option<oneshot::Sender<()>>,
}

impl Launching {
    pub fn begin(host: Arc<Host>, job: Job) -> Launching {
        let (cancel, cancelled) = oneshot::channel();
        let (tell, outcome) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(Outcome::Launched(container)) = tell.send(launch(host, job, cancelled).await)
            {
                tracing::debug!(container = %container.id(), "launched after the agent had gone");
            }
        });
        Launching {
            outcome,
            cancel: Some(cancel),
        }
    }

    pub fn call_off(&mut self) {
        self.cancel = None;
    }

    /// Waits for it, once.
    pub async fn outcome(&mut self) -> Outcome {
        let outcome = (&mut self.outcome).await;
        outcome.unwrap_or_else(|_panicked| Outcome::Failed("the launch was interrupted".to_owned()))
    }
}

/// Launches `job`. `cancel` calls it off, by a message or by being dropped, as long as the
/// container itself has not been begun.
async fn launch(host: Arc<Host>, job: Job, cancel: oneshot::Receiver<()>) -> Outcome {
    let (sandbox, planned) = {
        let host = Arc::clone(&host);
        let prepared = tokio::task::spawn_blocking(move || prepare(&host, &job)).await;
        match prepared
            .map_err(LaunchError::from)
            .and_then(|prepared| prepared)
        {
            Ok(prepared) => prepared,
            // There is no stderr to write to.
            Err(error) => return Outcome::Failed(chain(&error)),
        }
    };
    let Sandbox { stdout, stderr, .. } = sandbox;
    let log = match stderr.try_clone() {
        Ok(log) => log,
        Err(error) => return Outcome::Failed(chain(&LaunchError::Log(error))),
    };
    match contain(&host, planned, stdout, stderr, cancel).await {
        Ok(Some(container)) => Outcome::Launched(container),
        Ok(None) => Outcome::Cancelled,
        Err(error) => {
            let why = chain(&error);
            if let Err(error) = writeln!(&log, "Failed to launch container: {why}") {
                tracing::warn!(%error, "cannot write to a sandbox's stderr");
            }
            Outcome::Failed(why)
        }
    }
}

/// The sandbox, and the plan or why there is none.
type Prepared = (Sandbox, Result<Plan, LaunchError>);

fn prepare(host: &Host, job: &Job) -> Result<Prepared, LaunchError> {
    let user = user(host, job);
    // A sandbox is made even for a user that does not exist: its stderr is where one looks.
    let owner = user.as_ref().ok().map(|user| (user.uid, user.gid));
    let sandbox = sandbox::create(&host.paths, &job.run, owner)?;
    let planned = user.map_err(LaunchError::from).and_then(|user| {
        let id = ContainerId::try_from(job.run.container.clone())?;
        let plan = plan(job, id, user, host)?;
        sandbox::create_directories(&sandbox.path, &plan.directories, owner)?;
        Ok(plan)
    });
    Ok((sandbox, planned))
}

fn user(host: &Host, job: &Job) -> Result<User, BadUser> {
    let asked = job
        .task
        .command
        .as_ref()
        .and_then(|command| command.user.as_deref());
    let asked = asked.unwrap_or(&job.framework.user);
    // A framework that names nobody means the agent's own user, as one would from a shell.
    if host.switch_user && !asked.is_empty() {
        return User::resolve(asked);
    }
    User::resolve(&nix::unistd::geteuid().to_string())
}

/// `None` when it was called off in time.
async fn contain(
    host: &Host,
    planned: Result<Plan, LaunchError>,
    stdout: File,
    stderr: File,
    mut cancel: oneshot::Receiver<()>,
) -> Result<Option<Container>, LaunchError> {
    let plan = planned?;
    if !plan.fetch.uris.is_empty() {
        let log = stderr.try_clone().map_err(LaunchError::Log)?;
        tokio::select! {
            fetched = fetcher::fetch(&host.fetch_helper, &plan.fetch, log) => fetched?,
            _ = &mut cancel => return Ok(None),
        }
    }
    if !matches!(cancel.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
        return Ok(None);
    }
    let out = Output {
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    Ok(Some(host.containerizer.launch(&plan.container, out).await?))
}
