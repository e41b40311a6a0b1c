//! What a launch begins with: the plan, and a sandbox for its user. Blocks.

use std::borrow::Cow;
use std::convert::Infallible;
use std::path::PathBuf;

use isolators::{BadUser, ContainerId, Swap, User};

use super::docker as translation;
use super::environment::environment;
use super::launch::{Host, Job, LaunchError};
use super::request::{Plan, fetch, plan};
use super::seccomp::seccomp;
use super::store;
use crate::docker;
use crate::docker::choice::Containerizer;
use crate::docker::plan::{BadTask, Strictness, Terms};
use crate::host::system;
use crate::logs::Limits;
use crate::sandbox::{self, Sandbox};
use crate::secrets;

/// The sandbox, and the plan or why there is none.
pub type Prepared = (Sandbox, Result<Planned, LaunchError>);

/// By whom a task is run, and how.
#[derive(Debug)]
pub enum Planned {
    Native(Box<Plan>),
    Docker(Box<docker::plan::Plan>),
}

impl Planned {
    /// To be made in the sandbox first.
    fn directories(&self) -> &[PathBuf] {
        match self {
            Self::Native(plan) => &plan.directories,
            Self::Docker(plan) => &plan.directories,
        }
    }

    /// The same in the sandbox of a group's executor.
    fn shared_directories(&self) -> &[PathBuf] {
        match self {
            Self::Native(plan) => &plan.shared_directories,
            Self::Docker(_) => &[],
        }
    }

    pub fn logs(&self) -> Limits {
        match self {
            Self::Native(plan) => plan.logs,
            Self::Docker(plan) => plan.logs,
        }
    }
}

/// `by`: who is to run it; `None`: nobody can.
pub fn prepare(host: &Host, job: &Job, by: Option<Containerizer>) -> Result<Prepared, LaunchError> {
    let user = user(host, job);
    // A sandbox is made even for a user that does not exist: its stderr is where one looks.
    let owner = user.as_ref().ok().map(|user| (user.uid, user.gid));
    let planned = user.map_err(LaunchError::from).and_then(|user| {
        let job = revealed(job, |name| host.secrets.read(name))?;
        planned_by(host, &job, user, by)
    });
    let sandbox = match &job.member {
        Some(_) => sandbox::create_nested(&job.sandbox, owner)?,
        // Others' lie in it, and who could move them could have the agent write elsewhere.
        None if job.holds_a_group() => sandbox::create_outer(&host.paths, &job.run)?,
        None => sandbox::create(&host.paths, &job.run, owner)?,
    };
    if job.member.is_none() {
        host.quotas
            .admit(&job.sandbox, &sandbox.files(), job.disk());
    }
    let planned = planned.and_then(|plan| {
        sandbox.create_directories(plan.directories())?;
        let mut shared = plan.shared_directories().iter();
        shared.try_for_each(|directory| sandbox::create_shared(directory, owner))?;
        Ok(plan)
    });
    Ok((sandbox.give_away()?, planned))
}

/// What the launch of `job` consists of, but for secrets that the agent keeps. Blocks.
pub fn planned(host: &Host, job: &Job) -> Result<Plan, LaunchError> {
    planned_for(host, &without_secrets(job), user(host, job)?)
}

/// Whose task has its secrets where it named them.
fn revealed<E>(job: &Job, read: impl Fn(&str) -> Result<Vec<u8>, E>) -> Result<Cow<'_, Job>, E> {
    Ok(match secrets::revealed(&job.task, read)? {
        Cow::Borrowed(_) => Cow::Borrowed(job),
        Cow::Owned(task) => Cow::Owned(Job {
            task,
            ..job.clone()
        }),
    })
}

/// For who asks for something else of the plan: what an operator has taken away keeps nobody from that.
fn without_secrets(job: &Job) -> Cow<'_, Job> {
    let Ok(found) = revealed(job, |_name| Ok::<_, Infallible>(Vec::new()));
    found
}

fn planned_by(
    host: &Host,
    job: &Job,
    user: User,
    by: Option<Containerizer>,
) -> Result<Planned, LaunchError> {
    match by {
        Some(Containerizer::Mesos) => Ok(Planned::Native(Box::new(planned_for(host, job, user)?))),
        Some(Containerizer::Docker) => Ok(Planned::Docker(Box::new(planned_for_docker(
            host, job, &user,
        )?))),
        None => {
            let listed = host.docker.containerizers().to_string();
            Err(LaunchError::NoContainerizer(listed))
        }
    }
}

/// The same for an engine.
pub fn with_docker(host: &Host, job: &Job) -> Result<docker::plan::Plan, LaunchError> {
    planned_for_docker(host, &without_secrets(job), &user(host, job)?)
}

fn planned_for_docker(
    host: &Host,
    job: &Job,
    user: &User,
) -> Result<docker::plan::Plan, LaunchError> {
    let id = ContainerId::try_from(job.container().to_owned())?;
    let terms = Terms {
        variables: &host.variables,
        strictness: Strictness {
            caps_cpus: host.docker.caps_cpus(),
            swaps: host.policy.swap == Swap::Unlimited,
            pids: host.policy.pids,
        },
        memory: system().memory.map_or(0, |memory| memory.total),
        sandbox: &host.images.sandbox,
        owner: host.docker.owner(),
        secrets: &host.secret_files.of(id.as_str()),
        logs: host.log_limits,
        dns: host.docker.dns(),
    };
    let env = environment(
        &host.variables,
        &job.run,
        &job.sandbox,
        &job.framework,
        &job.executor,
        &job.task,
    );
    let env = env.map_err(BadTask::from)?;
    let fetch = fetch(job, user, host, false, store::of(&env));
    Ok(docker::plan::plan(job, id, fetch, &terms)?)
}

fn planned_for(host: &Host, job: &Job, user: User) -> Result<Plan, LaunchError> {
    let id = ContainerId::try_from(job.container().to_owned())?;
    let translated = match translation::native(&job.task, host.networks.name(), host.bounding_set)?
    {
        Cow::Borrowed(_) => None,
        Cow::Owned(task) => Some(Job {
            task,
            ..job.clone()
        }),
    };
    let job = translated.as_ref().unwrap_or(job);
    let seccomp = seccomp(&job.task, host.seccomp_profiles.as_deref())?;
    Ok(plan(job, id, user, seccomp, host)?)
}

fn user(host: &Host, job: &Job) -> Result<User, BadUser> {
    let asked = job
        .task
        .command
        .as_ref()
        .and_then(|command| command.user.as_deref());
    let asked = asked.unwrap_or(&job.framework.user);
    // A framework that names nobody means the agent's own user, as one would from a shell.
    let own = || User::resolve(&nix::unistd::geteuid().to_string());
    if host.switch_user && !asked.is_empty() {
        let found = User::resolve(asked);
        // It may be one of its image's.
        return match found {
            Err(_) if super::volumes::image(&job.task).is_some() => own(),
            found => found,
        };
    }
    own()
}
