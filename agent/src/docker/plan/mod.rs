//! From a task to what an engine is asked for. Pure.
//!
//! Source: spec/mesos-agent.md section 24.

mod dns;
mod network;
mod parameters;
mod resources;
mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{Create, Healthcheck, HostConfig, LogConfig, Ulimit};
use isolators::ContainerId;
use proto::resources::Resources;
use proto::v1;

use self::network::{BadNetwork, network};
use self::parameters::{BadParameter, NAME, apply, request_gpus};
use self::resources::{oom_score_adj, resources};
use self::volumes::{BadVolume, Sandbox, volumes};
use super::{hidden, labels, name};
use crate::book::Kind;
use crate::checks;
use crate::logs::{self, BadLimit, Limits};
use crate::networks::dns::LABELS as NAMING;
use crate::networks::wish::{HOLDING, label_of};
use crate::secrets::Hidden;
use crate::task::environment::{AgentVariables, EnvironmentError, PATH, environment};
use crate::task::launch::Job;
use crate::task::request::{PlanError, shares};
pub use dns::{BadDns, DefaultDns};
pub use resources::Strictness;

/// Everything the launch of one task consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub id: ContainerId,
    pub create: Create,
    pub image: Image,
    pub fetch: fetcher::Request,
    /// Bytes that all that is fetched may take together.
    pub disk_limit: Option<u64>,
    /// To be made in the sandbox first, relative to it.
    pub directories: Vec<PathBuf>,
    /// To be files that the container is shown, before the engine hears of it.
    pub secrets: Vec<Hidden>,
    /// Who alone may read those; `None` where only the engine knows who its user is.
    pub owner: Option<(u32, u32)>,
    pub logs: Limits,
    /// Wishes of the task that are not met, each as a sentence.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As the task has it, but for what old apps write before it.
    pub name: String,
    /// Also where the engine has it.
    pub pulls: bool,
}

/// What the agent adds.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub variables: &'a AgentVariables,
    pub strictness: Strictness,
    /// Bytes of the host.
    pub memory: u64,
    /// Where a container finds its sandbox.
    pub sandbox: &'a Path,
    /// Where the container's secrets will be files.
    pub secrets: &'a Path,
    /// Whose containers these are, among all of the engine.
    pub owner: &'a str,
    pub logs: Limits,
    pub dns: &'a DefaultDns,
}

#[derive(Debug, thiserror::Error)]
pub enum BadTask {
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    #[error(transparent)]
    Network(#[from] BadNetwork),
    #[error(transparent)]
    Volume(#[from] BadVolume),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Shares(#[from] PlanError),
    #[error(transparent)]
    Logs(#[from] BadLimit),
    #[error("the task's resources are not valid")]
    Resources(#[from] proto::resources::BadResources),
    #[error("the command is for a shell and has no value: set one, or \"shell\": false")]
    NoCommand,
    #[error("{0} is not for containers of a Docker Engine: use {1}")]
    Unsupported(&'static str, &'static str),
}

pub fn plan(
    job: &Job,
    id: ContainerId,
    fetch: fetcher::Request,
    terms: &Terms<'_>,
) -> Result<Plan, BadTask> {
    let task = &job.task;
    let container = task.container.clone().unwrap_or_default();
    let docker = container.docker.clone().unwrap_or_default();
    refuse_unsupported(task, &container)?;
    let held = Resources::from_protos(&task.resources)?;
    let network = network(&container, &docker, &held.ports())?;
    let driver = driver(&docker);
    let sandbox = Sandbox {
        outside: &job.sandbox,
        inside: terms.sandbox,
        secrets: terms.secrets,
    };
    let volumes = volumes(&container, driver, sandbox)?;
    // Of a command the executor is the agent itself: its part is nobody's.
    let overhead = match job.kind {
        Kind::Command => &v1::ExecutorInfo::default(),
        Kind::Custom | Kind::Group => &job.executor,
    };
    let (cpus, memory) = shares(task, overhead)?;
    let (entrypoint, cmd) = command(task.command.as_ref())?;
    let logs = terms.logs.of(task)?;
    let gpus = held.gpus();
    let mut create = Create {
        image: image(&docker.image),
        entrypoint,
        cmd,
        env: env(job, &id, terms)?,
        hostname: network.hostname,
        exposed_ports: network.exposed,
        healthcheck: Some(Healthcheck::none()),
        host_config: HostConfig {
            network_mode: network.mode,
            port_bindings: network.bindings,
            privileged: docker.privileged(),
            binds: volumes.binds,
            mounts: volumes.mounts,
            device_requests: (gpus >= 1.0)
                .then(|| request_gpus(gpus as i64))
                .into_iter()
                .collect(),
            ulimits: ulimits(&container),
            oom_score_adj: oom_score_adj(memory, terms.memory),
            resources: resources(cpus, memory, terms.strictness),
            ..HostConfig::default()
        },
        ..Create::default()
    };
    let mode = &create.host_config.network_mode;
    let names = terms.dns.of(docker.network(), mode).cloned();
    let names = names.unwrap_or_default();
    apply(&mut create, &docker.parameters)?;
    let host = &mut create.host_config;
    for (ours, theirs) in [
        (names.nameservers, &mut host.dns),
        (names.search, &mut host.dns_search),
        (names.options, &mut host.dns_options),
    ] {
        if theirs.is_empty() {
            *theirs = ours;
        }
    }
    let own_name = create.labels.get(NAME).map(|wanted| {
        let ours = name(&id);
        format!("the engine calls the container {ours}, not {wanted}, which is its label {NAME}")
    });
    let own_name = own_name.into_iter().collect();
    // Whatever a task says of labels, it is found again by ours.
    create.labels.extend(labels(terms.owner, job, &id));
    create.labels.extend(hidden::label(task));
    keep_output(&mut create, logs);
    Ok(Plan {
        image: Image {
            name: create.image.clone(),
            pulls: docker.force_pull_image(),
        },
        id,
        fetch,
        disk_limit: job.disk(),
        directories: volumes.directories,
        owner: ids(&create.user),
        secrets: volumes.secrets,
        logs,
        create,
        notes: [logs::notes(task), checks::notes(task), own_name].concat(),
    })
}

/// A wish that would be ignored is refused: the task would run with more, or less, than it thinks.
fn refuse_unsupported(task: &v1::TaskInfo, container: &v1::ContainerInfo) -> Result<(), BadTask> {
    let is_persistent =
        |it: &v1::Resource| it.disk.as_ref().is_some_and(|it| it.persistence.is_some());
    let table = [
        (
            container.linux_info.is_some(),
            "linux_info",
            "docker.parameters, such as cap-add",
        ),
        (
            container.tty_info.is_some(),
            "tty_info",
            "a container of the type MESOS",
        ),
        (
            task.resources.iter().any(is_persistent),
            "a persistent volume",
            "a volume with a host_path",
        ),
    ];
    let of_label = |(name, instead): &(&'static str, &'static str)| {
        let is_said = label_of(task.labels.as_ref(), name).is_some();
        (is_said, *name, *instead)
    };
    let holding = HOLDING.map(|name| (name, "a container of the type MESOS"));
    let names = NAMING.map(|name| (name, "docker.parameters, such as dns"));
    let labels = holding.iter().chain(&names).map(of_label);
    match table.into_iter().chain(labels).find(|(wanted, ..)| *wanted) {
        Some((_, what, instead)) => Err(BadTask::Unsupported(what, instead)),
        None => Ok(()),
    }
}

#[expect(deprecated, reason = "old apps name their volume driver so")]
fn driver(docker: &v1::container_info::DockerInfo) -> Option<&str> {
    docker.volume_driver.as_deref()
}

/// As old apps write it.
fn image(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_prefix("docker://").unwrap_or(name);
    name.trim_start_matches('/').to_owned()
}

type Words = Option<Vec<String>>;

/// Instead of the image's entry point, and instead of its command.
fn command(info: Option<&v1::CommandInfo>) -> Result<(Words, Words), BadTask> {
    let Some(info) = info else {
        return Ok((None, None));
    };
    let value = info.value.clone().filter(|value| !value.is_empty());
    if info.shell() {
        let value = value.ok_or(BadTask::NoCommand)?;
        let shell = vec!["/bin/sh".to_owned()];
        return Ok((Some(shell), Some(vec!["-c".to_owned(), value])));
    }
    let words: Vec<_> = value.into_iter().chain(info.arguments.clone()).collect();
    Ok((None, Some(words).filter(|words| !words.is_empty())))
}

fn env(job: &Job, id: &ContainerId, terms: &Terms<'_>) -> Result<Vec<String>, BadTask> {
    let all = environment(
        terms.variables,
        &job.run,
        &job.sandbox,
        &job.framework,
        &job.executor,
        &job.task,
    )?;
    // Of those with one name the last counts.
    let mut env: BTreeMap<String, String> = all.into_iter().collect();
    let own = job.task.command.as_ref();
    let own = own.and_then(|command| command.environment.as_ref());
    let mut own = own.iter().flat_map(|it| &it.variables);
    let says_path = own.any(|variable| variable.name == "PATH")
        || terms.variables.operator.contains_key("PATH");
    // The image may have another.
    if !says_path && env.get("PATH").is_some_and(|path| path == PATH) {
        env.remove("PATH");
    }
    env.insert(
        "MESOS_SANDBOX".to_owned(),
        terms.sandbox.display().to_string(),
    );
    env.insert("MESOS_CONTAINER_NAME".to_owned(), name(id));
    let written = env
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    Ok(written.collect())
}

/// Of a user that is told by numbers.
fn ids(user: &str) -> Option<(u32, u32)> {
    let (uid, gid) = user.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

fn ulimits(container: &v1::ContainerInfo) -> Vec<Ulimit> {
    let limits = container.rlimit_info.iter().flat_map(|it| &it.rlimits);
    let number = |limit: Option<u64>| limit.map_or(-1, |n| n.try_into().unwrap_or(-1));
    let one = |limit: &v1::r_limit_info::RLimit| {
        let name = limit.r#type().as_str_name();
        Ulimit {
            name: name.trim_start_matches("RLMT_").to_ascii_lowercase(),
            soft: number(limit.soft),
            hard: number(limit.hard),
        }
    };
    limits.map(one).collect()
}

/// The engine keeps what a container writes until the agent has it in the sandbox, and while there is no agent:
/// as much as would be kept there.
fn keep_output(create: &mut Create, logs: Limits) {
    const SMALLEST: u64 = 1 << 20;
    let log = create
        .host_config
        .log_config
        .get_or_insert_with(LogConfig::default);
    if log.driver.is_empty() {
        log.driver = "json-file".to_owned();
    }
    let (stdout, stderr) = logs.bounds();
    let rotates = ["json-file", "local"].contains(&log.driver.as_str());
    if rotates && stdout > 0 && stderr > 0 && !log.config.contains_key("max-size") {
        let bytes = stdout.saturating_add(stderr).max(SMALLEST);
        log.config.insert("max-size".to_owned(), format!("{bytes}"));
        let files = || "2".to_owned();
        log.config
            .entry("max-file".to_owned())
            .or_insert_with(files);
    }
}

#[cfg(test)]
mod tests;
