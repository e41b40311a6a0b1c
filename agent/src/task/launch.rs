//! Makes the container of a task: sandbox, fetch, launch. The first failure ends it, with nothing
//! left on the host but the sandbox, whose stderr says why.

mod by_engine;
mod clock;
mod error;
mod fetch;
mod job;
mod told;
mod written;

use clock::Clock;
pub use error::LaunchError;
use fetch::fetched;
pub use job::Job;
use told::{say, tell};
pub use written::Written;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use containerizer::{Containerizer, Output, Place, Stopwatch};
use failpoint::{Point, reach};
use fetcher::Fetcher;
use isolators::{CapabilitySets, ContainerId};
use proto::error::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::desk::Desk;
use super::environment::AgentVariables;
use super::policy::Policy;
use super::prepare::{Planned, prepare};
use super::request::Plan;
use super::rootfs::{add_hosts, root, show};
use super::turns::Turns;
use super::user_namespace::UserNamespaces;
use crate::complaint::Complaint;
use crate::container::{Begun as LaunchBegun, Container};
use crate::docker::Docker;
use crate::docker::choice;
use crate::executor::authentication::Authentication;
use crate::logs::{Begun, Keeper, Limits};
use crate::networks::wish::Wish;
use crate::networks::{Connected, Networks, are_free};
use crate::paths::Paths;
use crate::provisioning::Images;
use crate::quota::Quotas;
use crate::sandbox::Sandbox;
use crate::secrets::{SecretFiles, Secrets};

/// How long the end of a task waits for a container that was given up while it started. Most go at
/// once; one whose process hangs in the kernel must not keep the task from ending.
const PUTTING_AWAY: Duration = Duration::from_secs(2);

/// What this host offers to every launch.
#[derive(Debug)]
pub struct Host {
    pub containerizer: Containerizer,
    pub docker: Docker,
    pub paths: Paths,
    pub variables: AgentVariables,
    pub fetcher: Arc<Fetcher>,
    pub frameworks_home: Option<PathBuf>,
    /// Programs may be links to files of the fetcher's cache.
    pub hard_links: bool,
    /// The directory that the names of tasks' profiles mean files in.
    pub seccomp_profiles: Option<PathBuf>,
    pub switch_user: bool,
    pub user_namespaces: UserNamespaces,
    /// Of tasks that name none, and the most that any may name.
    pub capabilities: CapabilitySets,
    pub policy: Policy,
    /// Of custom executors.
    pub authentication: Arc<Authentication>,
    /// Of tasks that say nothing else.
    pub log_limits: Limits,
    pub keeper: Keeper,
    pub quotas: Arc<Quotas>,
    pub networks: Networks,
    pub images: Arc<Images>,
    /// That the operator keeps.
    pub secrets: Secrets,
    /// That containers are shown.
    pub secret_files: SecretFiles,
    /// Capabilities that this process could give, as bits.
    pub bounding_set: u64,
    /// For all of a launch.
    pub start_timeout: Duration,
    pub turns: Arc<Turns>,
    /// Where they are written down.
    pub desk: Desk,
    /// That tasks cannot be.
    pub complaint: Arc<Complaint>,
}

impl Host {
    /// Gives back the network, the files and the secrets of a container that has ended. Of one that has none
    /// of its own there is nothing to do.
    pub async fn leave(&self, container: String) {
        let has_network = self.networks.infos(&container).is_some();
        let has_secrets = self.secret_files.has(&container);
        if !has_network && !has_secrets && !self.images.has(&container) {
            return;
        }
        let (networks, images) = (self.networks.clone(), Arc::clone(&self.images));
        let secrets = self.secret_files.clone();
        let released = tokio::task::spawn_blocking(move || {
            secrets.remove(&container);
            images.release(&container);
            if has_network {
                networks.release(&container);
            }
        });
        match timeout(PUTTING_AWAY, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "a container's addresses, ports and files stay taken");
            }
            // Of somebody else; what it holds is no other's meanwhile.
            Err(_elapsed) => tracing::info!("a network's plugin is slow, and nobody waits for it"),
        }
    }

    /// Leaves nothing of an agent that goes, unless containers stay.
    pub async fn remove_cgroups_root(&self) {
        let containerizer = self.containerizer.clone();
        let removed = tokio::task::spawn_blocking(move || containerizer.remove_cgroups_root());
        if let Err(error) = removed.await {
            tracing::warn!(%error, "cannot remove the subtree of cgroups");
        }
    }
}

/// Of what a launch tells: its stages, so that it never waits for its listener, and one word on the way.
const ROOM: usize = 3;

/// What a launch tells of itself.
#[derive(Debug)]
pub enum Stage {
    /// Something still comes into its sandbox; how far it has come, as a sentence. Left out where the listener is
    /// busy.
    Fetching(String),
    /// All that the task needs is in its sandbox; what came there, as a sentence.
    Fetched(Option<String>),
    /// The last word.
    Over(Outcome),
}

#[derive(Debug)]
pub enum Outcome {
    Launched(Container),
    /// The whole chain of reasons, as one line.
    Failed(String),
    Cancelled,
    /// Of a container that an earlier agent began, and that has ended before its command ran: why, if that is
    /// known. It is to be forgotten once that is written down.
    Unbegun(Container, Option<String>),
}

/// A launch that is under way, on its own. Dropping this leaves it alone once the container itself
/// has been begun, for the next agent to find, and ends it before that.
#[derive(Debug)]
pub struct Launching {
    stages: mpsc::Receiver<Stage>,
    /// Taken to call the launch off.
    cancel: Option<oneshot::Sender<()>>,
}

impl Launching {
    /// `watch` may have been started earlier, by what came before.
    /// `written`: that it is written down, which goes on meanwhile.
    pub fn begin(
        host: Arc<Host>,
        job: Arc<Job>,
        watch: Stopwatch,
        written: Option<Written>,
    ) -> Launching {
        let (cancel, cancelled) = oneshot::channel();
        let (tell, stages) = mpsc::channel(ROOM);
        tokio::spawn(async move {
            let reached = launch(host, (job, written), watch, cancelled, &tell).await;
            if let Err(mpsc::error::SendError(Stage::Over(Outcome::Launched(container)))) =
                tell.send(Stage::Over(reached)).await
            {
                tracing::debug!(container = %container.id(), "launched after the agent had gone");
            }
        });
        Launching {
            stages,
            cancel: Some(cancel),
        }
    }

    /// Goes on with what an earlier agent began.
    pub fn resume(container: Container) -> Launching {
        let (cancel, cancelled) = oneshot::channel();
        let (tell, stages) = mpsc::channel(1);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                begun = container.begun() => match begun {
                    LaunchBegun::Runs => Outcome::Launched(container),
                    LaunchBegun::Failed(why) => Outcome::Unbegun(container, Some(why)),
                    LaunchBegun::Cut => Outcome::Unbegun(container, None),
                },
                Ok(()) = cancelled => {
                    container.kill();
                    container.wait().await;
                    container.forget();
                    Outcome::Cancelled
                }
            };
            if tell.send(Stage::Over(outcome)).await.is_err() {
                tracing::debug!("a launch went on after the agent had gone");
            }
        });
        Launching {
            stages,
            cancel: Some(cancel),
        }
    }

    /// Ends the launch where it is, even inside the container.
    pub fn call_off(&mut self) {
        // Nobody takes it when the launch has ended, and its outcome is on the way.
        let _ = self.cancel.take().map(|cancel| cancel.send(()));
    }

    /// Waits for the next one; not to be asked again when it is over. Cancel safe.
    pub async fn stage(&mut self) -> Stage {
        let interrupted = || Outcome::Failed("the launch was interrupted".to_owned());
        let stage = self.stages.recv().await;
        stage.unwrap_or_else(|| Stage::Over(interrupted()))
    }
}

/// Launches `job`, until a word from `cancel`. Once `listener` has nobody at its other end, no
/// container is begun.
async fn launch(
    host: Arc<Host>,
    (job, written): (Arc<Job>, Option<Written>),
    watch: Stopwatch,
    cancel: oneshot::Receiver<()>,
    listener: &mpsc::Sender<Stage>,
) -> Outcome {
    let container = job.container().to_owned();
    let reached = tokio::select! {
        reached = in_turn(&host, (job, written), watch, listener) => reached,
        // What is under way is dropped, and ends by that. `cancel` itself dropped says nothing.
        Ok(()) = cancel => Outcome::Cancelled,
    };
    if !matches!(reached, Outcome::Launched(_)) {
        until_put_away(&host.containerizer, container.clone()).await;
        host.docker.put_away(&container).await;
        host.leave(container).await;
    }
    reached
}

async fn in_turn(
    host: &Arc<Host>,
    (job, written): (Arc<Job>, Option<Written>),
    mut watch: Stopwatch,
    listener: &mpsc::Sender<Stage>,
) -> Outcome {
    // That has its own time, and makes what this one lies in.
    let parent = match &job.member {
        Some(member) => match member.held.clone().wait().await {
            Ok(parent) => Some(parent),
            Err(why) => return Outcome::Failed(why),
        },
        None => None,
    };
    let clock = Clock::start(host.start_timeout);
    // One that fetches waits for servers elsewhere, and one that has plugins connect it for those: others
    // would for it.
    let command = job.task.command.as_ref();
    let fetches = command.is_some_and(|command| !command.uris.is_empty());
    let chosen = host.docker.choose(choice::Kind::of(&job.task)).await;
    let is_elsewhere = fetches || chosen == Some(choice::Containerizer::Docker);
    let turn = match is_elsewhere || host.networks.run_plugins(&job.task) {
        true => Ok(None),
        false => clock.bound("other launches", host.turns.take()).await,
    };
    let turn = match turn {
        Ok(turn) => turn,
        Err(error) => return Outcome::Failed(chain(&error)),
    };
    watch.lap("turn");
    // Boxed, so that who waits for a turn has no room for it.
    let attempt = Box::pin(attempt(
        host,
        (job, written, chosen, parent),
        clock,
        watch,
        listener,
    ));
    Turns::within(turn, attempt).await
}

async fn attempt(
    host: &Arc<Host>,
    (job, written, chosen, parent): (
        Arc<Job>,
        Option<Written>,
        Option<choice::Containerizer>,
        Option<Parent>,
    ),
    clock: Clock,
    mut watch: Stopwatch,
    listener: &mpsc::Sender<Stage>,
) -> Outcome {
    let (run, directory) = (job.run.clone(), job.sandbox.clone());
    let (key, disk) = (job.key(), job.disk());
    let (sandbox, planned) = {
        let host = Arc::clone(host);
        let prepared = tokio::task::spawn_blocking(move || prepare(&host, &job, chosen));
        match clock.bound("making the sandbox", prepared).await {
            Ok(Ok(Ok(prepared))) => prepared,
            // There is no stderr to write to.
            Ok(Ok(Err(error))) | Err(error) => return Outcome::Failed(chain(&error)),
            Ok(Err(error)) => return Outcome::Failed(chain(&LaunchError::from(error))),
        }
    };
    watch.lap("sandbox");
    reach(Point::SandboxReady);
    let log = match sandbox.stderr.try_clone() {
        Ok(log) => log,
        Err(error) => return Outcome::Failed(chain(&LaunchError::Log(error))),
    };
    let limits = planned.as_ref().map(Planned::logs).unwrap_or_default();
    if let Some(written) = written {
        let is_written = clock.bound("writing it down", written.wait());
        if let Err(error) = is_written.await.flatten() {
            // That of a group goes with its executor's, in which others are.
            if parent.is_none() {
                written::take_back(host.paths.clone(), run).await;
            }
            return Outcome::Failed(chain(&error));
        }
        watch.lap("checkpoint");
    }
    let contained = match planned {
        Err(error) => Err(error),
        Ok(Planned::Native(plan)) => {
            let plan = (*plan, parent.as_ref());
            contain(host, plan, sandbox, &clock, watch, listener).await
        }
        Ok(Planned::Docker(plan)) => {
            let place = (&*directory, sandbox);
            by_engine::contain(host, *plan, place, &clock, watch, listener).await
        }
    };
    match contained {
        Ok(Some(container)) => {
            reach(Point::Launched);
            host.keeper.watch(&directory, limits, Begun::Now);
            if parent.is_none() {
                host.quotas.watch(key, &directory, disk);
            }
            Outcome::Launched(container)
        }
        Ok(None) => Outcome::Cancelled,
        Err(error) => {
            reach(Point::LaunchFailed);
            let why = chain(&error);
            say(&log, &format!("Failed to launch container: {why}"));
            Outcome::Failed(why)
        }
    }
}

/// The container that a member of a group is nested in.
type Parent = containerizer::Container;

/// Waits, within bounds, until a container that was given up has left the host.
async fn until_put_away(containerizer: &Containerizer, id: String) {
    let Ok(id) = ContainerId::try_from(id) else {
        return;
    };
    let deadline = Instant::now() + PUTTING_AWAY;
    while containerizer.holds(&id) {
        if Instant::now() >= deadline {
            tracing::warn!(container = %id, "a container that was given up is still ending");
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// `None` when nobody wants the container any more.
async fn contain(
    host: &Host,
    (mut plan, parent): (Plan, Option<&Parent>),
    sandbox: Sandbox,
    clock: &Clock,
    mut watch: Stopwatch,
    listener: &mpsc::Sender<Stage>,
) -> Result<Option<Container>, LaunchError> {
    let Sandbox { stdout, stderr } = sandbox;
    tell(&plan.container.id, &plan.notes, &stderr);
    let fetch = (&plan.fetch, plan.disk_limit);
    let Some(mut said) = fetched(host, fetch, &stderr, clock, listener).await? else {
        return Ok(None);
    };
    watch.lap("fetch");
    let mut hosts = Vec::new();
    if let Some(wish) = plan.image.take() {
        hosts.clone_from(&wish.options.hosts);
        let rooting = root(host, &wish, &mut plan.container, &stderr);
        tokio::select! {
            rooted = clock.bound("pulling its image", rooting) => {
                let both = [said, rooted??].into_iter().flatten();
                said = both.reduce(|one, other| format!("{one}; {other}"));
            }
            () = listener.closed() => return Ok(None),
        }
        watch.lap("image");
    }
    if !plan.shows.is_empty() {
        let showing = show(host, plan.shows, &mut plan.container, &stderr);
        tokio::select! {
            shown = clock.bound("pulling images that it is shown", showing) => {
                let both = [said, shown??].into_iter().flatten();
                said = both.reduce(|one, other| format!("{one}; {other}"));
            }
            () = listener.closed() => return Ok(None),
        }
    }
    let (id, user) = (plan.container.id.as_str(), &plan.container.user);
    // At once: a launch that is called off meanwhile would leave them.
    (host.secret_files).write(id, &plan.secrets, Some((user.uid, user.gid)))?;
    reach(Point::Fetched);
    if listener.send(Stage::Fetched(said)).await.is_err() {
        return Ok(None);
    }
    let out = Output {
        stdout: stdout.into(),
        stderr: stderr.into(),
        bounds: plan.logs.bounds(),
    };
    let mut joined = None;
    let mut connected = match (plan.network, parent) {
        (Wish::Hosts(ports), _) => {
            are_free(&ports).await?;
            None
        }
        (Wish::Own(_), Some(parent)) => {
            let network = clock.bound("joining its group's network", parent.network());
            joined = Some(network.await?.map_err(LaunchError::Join)?);
            watch.lap("network");
            None
        }
        (Wish::Own(own), None) => {
            let networks = &host.networks;
            let id = plan.container.id.as_str();
            let connecting = networks.connecting(&host.containerizer, id, *own);
            let connected = clock.bound("connecting it with its network", connecting);
            let connected = connected.await???;
            watch.lap("network");
            Some(connected)
        }
    };
    if !hosts.is_empty() {
        let container = plan.container.clone();
        tokio::task::spawn_blocking(move || add_hosts(&container, &hosts)).await??;
    }
    let network = connected.as_mut().and_then(Connected::take).or(joined);
    let place = Place { network, parent };
    let launch = (host.containerizer).launch_in(place, &plan.container, out, watch);
    // From here on it may be there, also when nobody waits any more.
    connected.iter_mut().for_each(Connected::keep);
    let launched = clock.bound("starting its command in the container", launch);
    Ok(Some(launched.await??.into()))
}
