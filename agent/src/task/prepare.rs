//! What a launch begins with: the plan, and a sandbox for its user. Blocks.

use std::borrow::Cow;

use isolators::{BadUser, ContainerId, User};

use super::docker;
use super::launch::{Host, Job, LaunchError};
use super::request::{Plan, plan};
use super::seccomp::seccomp;
use crate::sandbox::{self, Sandbox};

/// The sandbox, and the plan or why there is none.
pub type Prepared = (Sandbox, Result<Plan, LaunchError>);

pub fn prepare(host: &Host, job: &Job) -> Result<Prepared, LaunchError> {
    let user = user(host, job);
    // A sandbox is made even for a user that does not exist: its stderr is where one looks.
    let owner = user.as_ref().ok().map(|user| (user.uid, user.gid));
    let planned = user
        .map_err(LaunchError::from)
        .and_then(|user| planned_for(host, job, user));
    let sandbox = sandbox::create(&host.paths, &job.run, owner)?;
    host.quotas
        .admit(&job.sandbox, &sandbox.files(), job.disk());
    let planned = planned.and_then(|plan| {
        sandbox.create_directories(&plan.directories)?;
        Ok(plan)
    });
    Ok((sandbox.give_away()?, planned))
}

/// What the launch of `job` consists of. Blocks.
pub fn planned(host: &Host, job: &Job) -> Result<Plan, LaunchError> {
    planned_for(host, job, user(host, job)?)
}

fn planned_for(host: &Host, job: &Job, user: User) -> Result<Plan, LaunchError> {
    let id = ContainerId::try_from(job.run.container.clone())?;
    let translated = match docker::native(&job.task, host.networks.name(), host.bounding_set)? {
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
