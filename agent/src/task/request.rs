//! From a task to what the containerizer and the fetcher are asked for. Pure.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use isolators::network::Network;
use isolators::{
    Capability, CapabilitySets, Command, ContainerId, Limit, Priority, Request, Seccomp, Share,
    User,
};
use proto::resources::Resources;
use proto::v1;

use super::capabilities::{BadCapabilities, capabilities};
use super::environment::{CONTAINER_IP, EnvironmentError, environment};
use super::image::{self, BadImage};
use super::launch::{Host, Job};
use super::namespaces::BadSharing;
use super::notes::notes;
use super::rlimits::{BadRlimit, rlimits};
use super::store;
use super::terminal::{BadTerminal, terminal};
use super::user_namespace::BadLabel;
use super::volumes::{Places, VolumeError, mounts};
use crate::logs::{self, BadLimit, Limits};
use crate::networks::wish::{BadNetwork, Wish, wish};
use crate::paths::Run;
use crate::secrets::Hidden;

/// Everything the launch of one task consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub container: Request,
    pub network: Wish,
    pub image: Option<image::Wish>,
    /// Images whose files it is shown.
    pub shows: Vec<image::Shows>,
    pub fetch: fetcher::Request,
    /// Bytes that all that is fetched may take together.
    pub disk_limit: Option<u64>,
    /// To be made in the sandbox first, relative to it.
    pub directories: Vec<PathBuf>,
    /// The same in the sandbox of a group's executor.
    pub shared_directories: Vec<PathBuf>,
    /// To be files that volumes show, before it is launched.
    pub secrets: Vec<Hidden>,
    pub logs: Limits,
    /// Wishes of the task that are not met, each as a sentence.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Image(#[from] BadImage),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Network(#[from] BadNetwork),
    #[error("the task's rlimit_info is not valid")]
    Rlimit(#[from] BadRlimit),
    #[error("the task's linux_info is not valid")]
    Capabilities(#[from] BadCapabilities),
    #[error(transparent)]
    UserNamespace(#[from] BadLabel),
    #[error("the task's linux_info is not valid")]
    Sharing(#[from] BadSharing),
    #[error(transparent)]
    Logs(#[from] BadLimit),
    #[error(transparent)]
    Terminal(#[from] BadTerminal),
    #[error("the task's resources are not valid")]
    Resources(#[from] proto::resources::BadResources),
    #[error(
        "limit {name:?} is {value}: a limit must be \"cpus\" or \"mem\", and at least the request of {request}"
    )]
    Limit {
        name: String,
        value: f64,
        request: f64,
    },
}

pub fn plan(
    job: &Job,
    id: ContainerId,
    user: User,
    seccomp: Seccomp,
    host: &Host,
) -> Result<Plan, PlanError> {
    let task = &job.task;
    let parent = job.member.as_ref().map(|_| host.paths.sandbox(&job.run));
    let places = Places {
        sandbox: &job.sandbox,
        parent: parent.as_deref(),
        secrets: &host.secret_files.of(id.as_str()),
    };
    let mounts = mounts(task, places)?;
    let mut env = environment(
        &host.variables,
        &job.run,
        &job.sandbox,
        &job.framework,
        &job.executor,
        task,
    )?;
    if job.member.is_some() {
        // First, for a later one of the same name wins.
        env.insert(0, (CONTAINER_IP.to_owned(), address(host, &job.run)));
    }
    let linux = task.container.as_ref().and_then(|c| c.linux_info.as_ref());
    let capabilities = capabilities(linux, &host.capabilities)?;
    let info = task.command.clone().unwrap_or_default();
    let none = v1::ExecutorInfo::default();
    // What a group's executor needs itself is its own container's.
    let executor = job.member.as_ref().map_or(&job.executor, |_| &none);
    let (mut cpus, mut memory) = shares(task, executor)?;
    if job.member.is_some() && linux.is_none_or(v1::LinuxInfo::share_cgroups) {
        // What holds it is the executor's container, in whose cgroup its own is.
        cpus.limit = Limit::Parents;
        memory.limit = Limit::Parents;
    }
    let links = host.hard_links && are_harmless(&user, &capabilities);
    let fetch = fetch(job, &user, host, links, store::of(&env));
    let limits = task.container.as_ref().and_then(|c| c.rlimit_info.as_ref());
    let tty = task.container.as_ref().and_then(|c| c.tty_info.as_ref());
    let policy = &host.policy;
    let networks = &host.networks;
    // An executor may hold ports that its container's lead from, whichever tasks it has.
    let held = [&task.resources[..], &job.executor.resources[..]].concat();
    let held = Resources::from_protos(&held)?;
    let shared = job.member.as_ref().and_then(|it| it.network.as_deref());
    let network = match shared {
        Some(own) => Wish::Own(Box::new(own.clone())),
        None => wish(task, &held, networks.name(), id.as_str())?,
    };
    let named = match &job.member {
        Some(_) => &job.executor.container,
        None => &task.container,
    };
    let hostname = named.as_ref().and_then(|c| c.hostname.clone());
    let (files, hostname) = match &network {
        Wish::Hosts(_) => (Network::Hosts, hostname),
        Wish::Own(own) => {
            // Of a group it is its executor's.
            let files = networks.files(&job.run.container, own);
            (Network::Own { files }, Some(own.hostname.clone()))
        }
    };
    let image = image::wish(task, &host.images.home, host.switch_user)?;
    let shows = mounts.images.into_iter();
    let shows = shows.map(|volume| image::shows(volume, &host.images.home));
    let shows = shows.collect::<Result<_, _>>()?;
    let container = Request {
        id,
        command: command(info),
        env,
        user,
        sandbox: job.sandbox.clone(),
        hostname,
        cpus,
        memory,
        swap: policy.swap,
        // Each task of a group may have as many.
        pids: policy.pids.filter(|_| !job.holds_a_group()),
        devices: policy.devices.clone(),
        ipc: policy.sharing.ipc(linux)?,
        pid_namespace: policy.sharing.pids(linux)?,
        volumes: mounts.volumes,
        network: files,
        terminal: terminal(tty)?,
        rlimits: rlimits(limits)?,
        capabilities,
        seccomp,
        user_namespace: host.user_namespaces.of(task)?,
        // Made once its image is there, which may say more.
        root: None,
        sysctls: BTreeMap::new(),
        stop_signal: None,
        cpuset: Default::default(),
        priority: image
            .as_ref()
            .map_or_else(Priority::default, |image| image.options.priority),
    };
    Ok(Plan {
        container,
        network,
        image,
        shows,
        fetch,
        // One that asks for no disk gets the fetcher's own limit.
        disk_limit: job.disk(),
        directories: mounts.sandbox_directories,
        shared_directories: mounts.shared_directories,
        secrets: mounts.secrets,
        logs: host.log_limits.of(task)?,
        notes: [notes(task), logs::notes(task)].concat(),
    })
}

/// Where others reach the tasks of a group: at their network, or at the host's.
fn address(host: &Host, run: &Run) -> String {
    let infos = host.networks.infos(&run.container).unwrap_or_default();
    let mut own = infos.iter().flat_map(|it| &it.ip_addresses);
    let endpoint = &host.variables.endpoint;
    let hosts = || endpoint.rsplit_once(':').map_or(&**endpoint, |(ip, _)| ip);
    own.find_map(|it| it.ip_address.clone())
        .unwrap_or_else(|| hosts().to_owned())
}

/// `links`: programs may be links to what the cache has. `store`: as whom stores are asked.
pub fn fetch(
    job: &Job,
    user: &User,
    host: &Host,
    links: bool,
    store: Option<fetcher::S3>,
) -> fetcher::Request {
    let uris = job.task.command.iter().flat_map(|command| &command.uris);
    fetcher::Request {
        uris: uris.map(uri).collect(),
        sandbox: job.sandbox.clone(),
        user: Some((user.uid, user.gid, user.groups.clone())),
        frameworks_home: host.frameworks_home.clone(),
        links,
        store,
    }
}

/// Whether the task cannot change a file of root's that nobody may write.
fn are_harmless(user: &User, capabilities: &CapabilitySets) -> bool {
    let none = |set: &HashSet<Capability>| set.is_empty();
    user.uid != 0 && capabilities.effective.as_ref().is_none_or(none)
}

fn command(info: v1::CommandInfo) -> Command {
    let value = info.value().to_owned();
    if info.shell() {
        return Command::Shell(value);
    }
    // `arguments` is the whole argv; a program without any still wants its name.
    let argv = if info.arguments.is_empty() {
        vec![value.clone()]
    } else {
        info.arguments
    };
    Command::Exec { path: value, argv }
}

fn uri(uri: &v1::command_info::Uri) -> fetcher::Uri {
    fetcher::Uri {
        value: uri.value.clone(),
        executable: uri.executable(),
        extract: uri.extract,
        cache: uri.cache(),
        output_file: uri
            .output_file
            .as_deref()
            .map(|file| Path::new(file).to_owned()),
    }
}

/// The container's cpu and memory: the task's plus its executor's overhead, limits included.
pub fn shares(
    task: &v1::TaskInfo,
    executor: &v1::ExecutorInfo,
) -> Result<(Share<f64>, Share<u64>), PlanError> {
    let own = Resources::from_protos(&task.resources)?;
    let overhead = Resources::from_protos(&executor.resources)?;
    for (name, limit) in &task.limits {
        let request = match name.as_str() {
            "cpus" => Some(own.cpus()),
            "mem" => Some(own.mem()),
            _ => None,
        };
        // Not a number is at least nothing.
        if request.is_none_or(|request| limit.value < request || limit.value.is_nan()) {
            return Err(PlanError::Limit {
                name: name.clone(),
                value: limit.value,
                request: request.unwrap_or_default(),
            });
        }
    }
    let limit = |name: &str, overhead: f64| match task.limits.get(name) {
        None => Limit::Default,
        Some(limit) if limit.value.is_infinite() => Limit::Unlimited,
        Some(limit) => Limit::At(limit.value + overhead),
    };
    let memory_limit = match limit("mem", overhead.mem()) {
        Limit::Default => Limit::Default,
        Limit::Unlimited => Limit::Unlimited,
        Limit::Parents => Limit::Parents,
        Limit::At(megabytes) => Limit::At(bytes(megabytes)),
    };
    Ok((
        Share {
            request: own.cpus() + overhead.cpus(),
            limit: limit("cpus", overhead.cpus()),
        },
        Share {
            request: bytes(own.mem() + overhead.mem()),
            limit: memory_limit,
        },
    ))
}

fn bytes(megabytes: f64) -> u64 {
    (megabytes * f64::from(1 << 20)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::command_executor::executor_info;

    fn task(limits: &[(&str, f64)]) -> v1::TaskInfo {
        let limit =
            |(name, value): &(&str, f64)| ((*name).to_owned(), v1::value::Scalar { value: *value });
        v1::TaskInfo {
            resources: Resources::parse("cpus:1;mem:64", "*").unwrap().to_protos(),
            limits: limits.iter().map(limit).collect(),
            ..Default::default()
        }
    }

    fn shares_of(task: &v1::TaskInfo) -> Result<(Share<f64>, Share<u64>), PlanError> {
        shares(task, &executor_info(&v1::FrameworkInfo::default(), task))
    }

    #[test]
    fn a_container_gets_the_task_and_the_overhead() {
        let (cpus, memory) = shares_of(&task(&[])).unwrap();
        assert_eq!(
            cpus,
            Share {
                request: 1.1,
                limit: Limit::Default
            }
        );
        assert_eq!(
            memory,
            Share {
                request: 96 << 20,
                limit: Limit::Default
            }
        );
    }

    #[test]
    fn limits_are_raised_by_the_overhead_and_may_be_infinite() {
        let (cpus, memory) = shares_of(&task(&[("cpus", f64::INFINITY), ("mem", 128.0)])).unwrap();
        assert_eq!(cpus.limit, Limit::Unlimited);
        assert_eq!(memory.limit, Limit::At(160 << 20));
    }

    #[test]
    fn a_limit_below_the_request_or_of_another_kind_is_refused() {
        for limit in [("mem", 32.0), ("disk", 1.0), ("cpus", f64::NAN)] {
            assert!(matches!(
                shares_of(&task(&[limit])),
                Err(PlanError::Limit { .. })
            ));
        }
    }

    #[test]
    fn arguments_are_the_whole_argv() {
        let info = |arguments: &[&str]| v1::CommandInfo {
            shell: Some(false),
            value: Some("/bin/echo".into()),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            ..Default::default()
        };
        let exec = |argv: &[&str]| Command::Exec {
            path: "/bin/echo".into(),
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        };
        assert_eq!(command(info(&["echo", "a b"])), exec(&["echo", "a b"]));
        assert_eq!(command(info(&[])), exec(&["/bin/echo"]));
    }

    #[test]
    fn whether_extraction_is_forced_is_told_to_the_fetcher() {
        for extract in [None, Some(true), Some(false)] {
            let asked = v1::command_info::Uri {
                value: "http://h/get".to_owned(),
                extract,
                ..Default::default()
            };
            assert_eq!(uri(&asked).extract, extract);
        }
    }
}
