//! A task of the type DOCKER in the words of a native one: where there is no Docker, what its options mean is
//! said in other fields, and one that means nothing here is refused by its name. Pure.

mod network;
mod values;

use std::borrow::Cow;

use isolators::default_capabilities;
use proto::v1;
use proto::v1::container_info::DockerInfo;

use network::{network, overridden};
pub use values::size;
use values::{Mounted, capability, kept, megabytes, mount, ulimit, volume};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDocker {
    #[error(
        "the docker parameter {0:?} has no meaning on this agent, which runs images without Docker: leave it \
         out"
    )]
    Unknown(String),
    #[error("the docker parameter {key:?} is {value:?}: it must be {wanted}")]
    Value {
        key: String,
        value: String,
        wanted: &'static str,
    },
    #[error(
        "docker.network is {0}, which this agent does not have: use BRIDGE or HOST, or name a network"
    )]
    Network(&'static str),
}

/// What a key of `docker run` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Env,
    Volume,
    Mount,
    /// The most that it may take, as of memory.
    Cpus,
    Memory,
    Ulimit,
    CapAdd,
    CapDrop,
    Hostname,
    User,
    ShmSize,
    Ipc,
    Privileged,
    Pid,
    Tty,
    Security,
    /// Its last value has been looked at before.
    Network,
    LogOption,
    Pull,
    /// Looked at once the image is known, or where a network is made.
    OfImage,
    /// True anyway, or of no consequence.
    Met,
    /// Only this value is how it is.
    Only(&'static str),
}

#[rustfmt::skip] // A key and its short form share a row.
const KEYS: &[(&str, Key)] = &[
    ("env", Key::Env), ("e", Key::Env),
    ("volume", Key::Volume), ("v", Key::Volume),
    ("ulimit", Key::Ulimit),
    ("cap-add", Key::CapAdd), ("cap-drop", Key::CapDrop),
    ("hostname", Key::Hostname), ("h", Key::Hostname),
    ("user", Key::User), ("u", Key::User),
    ("shm-size", Key::ShmSize), ("ipc", Key::Ipc),
    ("privileged", Key::Privileged),
    ("network", Key::Network), ("net", Key::Network),
    ("pid", Key::Pid), ("tty", Key::Tty), ("t", Key::Tty),
    ("log-opt", Key::LogOption), ("log-driver", Key::Only("json-file")),
    ("security-opt", Key::Security), ("pull", Key::Pull),
    ("workdir", Key::OfImage), ("w", Key::OfImage),
    ("entrypoint", Key::OfImage), ("read-only", Key::OfImage),
    ("device", Key::OfImage), ("tmpfs", Key::OfImage), ("sysctl", Key::OfImage),
    ("dns", Key::OfImage), ("dns-search", Key::OfImage),
    ("dns-option", Key::OfImage), ("dns-opt", Key::OfImage), ("add-host", Key::OfImage),
    ("cpuset-cpus", Key::OfImage), ("cpuset-mems", Key::OfImage), ("group-add", Key::OfImage),
    ("cpu-shares", Key::OfImage), ("c", Key::OfImage), ("blkio-weight", Key::OfImage), ("oom-score-adj", Key::OfImage),
    ("mount", Key::Mount), ("cpus", Key::Cpus), ("memory", Key::Memory), ("m", Key::Memory),
    ("pids-limit", Key::OfImage), ("memory-swap", Key::OfImage), ("stop-signal", Key::OfImage),
    // Names of Docker's, and what each container here has.
    ("name", Key::Met), ("label", Key::Met), ("l", Key::Met), ("init", Key::Met), ("rm", Key::Met),
    ("expose", Key::Met), ("detach", Key::Met), ("d", Key::Met), ("no-healthcheck", Key::Met),
    ("restart", Key::Only("no")), ("userns", Key::Only("host")), ("oom-kill-disable", Key::Only("false")),
];

/// `bridge`: what the network of this node is called. `all`: the capabilities that a container can have here,
/// as bits.
pub fn native<'a>(
    task: &'a v1::TaskInfo,
    bridge: &str,
    all: u64,
) -> Result<Cow<'a, v1::TaskInfo>, BadDocker> {
    let docker = task
        .container
        .as_ref()
        .and_then(|container| container.docker.as_ref());
    let Some(docker) = docker.filter(|docker| !docker.image.is_empty()) else {
        return Ok(Cow::Borrowed(task));
    };
    let mut native = task.clone();
    let mut info = native.container.take().unwrap_or_default();
    network(docker, overridden(docker), bridge, &mut info)?;
    let (mut force_pull_image, mut unconfined) = (docker.force_pull_image, docker.privileged());
    let mut log = (None, None);
    let mut capabilities = Capabilities::default();
    if docker.privileged() {
        capabilities.all = true;
    }
    let mut of_image = Vec::new();
    for parameter in &docker.parameters {
        let key = parameter.key.trim_start_matches('-');
        let meaning = KEYS
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, meaning)| *meaning);
        let meaning = meaning.ok_or_else(|| BadDocker::Unknown(parameter.key.clone()))?;
        let value = parameter.value.as_str();
        let bad = |wanted| BadDocker::Value {
            key: parameter.key.clone(),
            value: value.to_owned(),
            wanted,
        };
        match meaning {
            Key::Env => {
                let (name, value) = value.split_once('=').ok_or_else(|| bad("NAME=value"))?;
                let command = native.command.get_or_insert_default();
                let environment = command.environment.get_or_insert_default();
                environment.variables.push(v1::environment::Variable {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                    ..Default::default()
                });
            }
            Key::Volume => {
                let volume = volume(value).ok_or_else(|| bad("source:target, with :ro or :rw"))?;
                info.volumes.push(volume);
            }
            Key::Mount => {
                let wanted =
                    "type=bind,source=/a,target=/b,readonly or type=tmpfs,target=/b,tmpfs-size=1m";
                match mount(value).ok_or_else(|| bad(wanted))? {
                    Mounted::Bind(volume) => info.volumes.push(*volume),
                    Mounted::Tmpfs(value) => of_image.push(v1::Parameter {
                        key: "tmpfs".to_owned(),
                        value,
                    }),
                }
            }
            Key::Cpus => {
                let cpus = value.parse::<f64>().ok().filter(|cpus| *cpus > 0.0);
                let value = cpus.ok_or_else(|| bad("a number of processors"))?;
                let limit = v1::value::Scalar { value };
                native.limits.insert("cpus".to_owned(), limit);
            }
            Key::Memory => {
                let bytes = size(value).ok_or_else(|| bad("a size such as 64m"))?;
                let value = bytes as f64 / f64::from(1 << 20);
                let limit = v1::value::Scalar { value };
                native.limits.insert("mem".to_owned(), limit);
            }
            Key::Ulimit => {
                let limit = ulimit(value).ok_or_else(|| bad("name=soft:hard"))?;
                info.rlimit_info.get_or_insert_default().rlimits.push(limit);
            }
            Key::CapAdd if value.eq_ignore_ascii_case("all") => capabilities.all = true,
            Key::CapDrop if value.eq_ignore_ascii_case("all") => capabilities.none = true,
            Key::CapAdd => capabilities
                .add
                .push(capability(value).ok_or_else(|| bad("a capability"))?),
            Key::CapDrop => capabilities
                .drop
                .push(capability(value).ok_or_else(|| bad("a capability"))?),
            Key::Hostname => info.hostname = Some(value.to_owned()),
            Key::User => native.command.get_or_insert_default().user = Some(value.to_owned()),
            Key::ShmSize => {
                let size =
                    megabytes(value).ok_or_else(|| bad("a size such as 64m, of at least 1m"))?;
                let linux = info.linux_info.get_or_insert_default();
                linux.shm_size = Some(size);
                linux.set_ipc_mode(v1::linux_info::IpcMode::Private);
            }
            Key::Ipc => {
                let mode = match value {
                    "host" => v1::linux_info::IpcMode::ShareParent,
                    "private" => v1::linux_info::IpcMode::Private,
                    _ => return Err(bad("host or private")),
                };
                info.linux_info.get_or_insert_default().set_ipc_mode(mode);
            }
            Key::Privileged => {
                let on = yes(value).ok_or_else(|| bad("true or false"))?;
                capabilities.all |= on;
                unconfined |= on;
            }
            Key::Pid => match value {
                "host" => {
                    let linux = info.linux_info.get_or_insert_default();
                    linux.share_pid_namespace = Some(true);
                }
                _ => return Err(bad("host")),
            },
            Key::Tty => {
                if yes(value).ok_or_else(|| bad("true or false"))? {
                    info.tty_info.get_or_insert_default();
                }
            }
            Key::Security => match value.replace('=', ":").as_str() {
                "no-new-privileges" | "no-new-privileges:true" => {}
                "seccomp:unconfined" => unconfined = true,
                // There is none of these to be kept from.
                "apparmor:unconfined" | "label:disable" => {}
                _ => return Err(bad("no-new-privileges, or seccomp=unconfined")),
            },
            // Looked at.
            Key::Network => {}
            Key::LogOption => match value.split_once('=') {
                Some(("max-size", value)) => {
                    log.0 = Some(size(value).ok_or_else(|| bad("max-size=10m"))?);
                }
                Some(("max-file", value)) => {
                    log.1 = Some(kept(value).ok_or_else(|| bad("max-file=3"))?);
                }
                _ => return Err(bad("max-size=10m or max-file=3")),
            },
            Key::Pull => match value {
                "always" => force_pull_image = Some(true),
                "missing" => {}
                _ => return Err(bad("always or missing")),
            },
            Key::OfImage => of_image.push(v1::Parameter {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            Key::Met => {}
            Key::Only(only) if value == only => {}
            Key::Only(_) => return Err(bad("what it is by default here")),
        }
    }
    if let Some(effective) = capabilities.effective(all) {
        info.linux_info
            .get_or_insert_default()
            .effective_capabilities = Some(effective);
    }
    if unconfined {
        info.linux_info.get_or_insert_default().seccomp = Some(v1::SeccompInfo {
            unconfined: Some(true),
            ..Default::default()
        });
    }
    if let (Some(size), kept) = log {
        rotated(
            native.command.get_or_insert_default(),
            size,
            kept.unwrap_or(0),
        );
    }
    info.docker = Some(DockerInfo {
        image: docker.image.clone(),
        force_pull_image,
        parameters: of_image,
        ..Default::default()
    });
    native.container = Some(info);
    Ok(Cow::Owned(native))
}

fn yes(value: &str) -> Option<bool> {
    match value {
        "" | "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// In the words by which a task says itself how large its logs may get.
fn rotated(command: &mut v1::CommandInfo, size: u64, kept: u32) {
    let environment = command.environment.get_or_insert_default();
    for stream in ["STDOUT", "STDERR"] {
        let said = [
            (
                format!("CONTAINER_LOGGER_MAX_{stream}_SIZE"),
                format!("{size}B"),
            ),
            (
                format!("CONTAINER_LOGGER_LOGROTATE_{stream}_OPTIONS"),
                format!("rotate {kept}"),
            ),
        ];
        for (name, value) in said {
            environment.variables.push(v1::environment::Variable {
                name,
                value: Some(value),
                ..Default::default()
            });
        }
    }
}

#[derive(Debug, Default)]
struct Capabilities {
    all: bool,
    none: bool,
    add: Vec<v1::capability_info::Capability>,
    drop: Vec<v1::capability_info::Capability>,
}

impl Capabilities {
    /// None where nothing is said. As Docker: what is added beside "all" that is dropped stays.
    fn effective(self, allowed: u64) -> Option<v1::CapabilityInfo> {
        use v1::capability_info::Capability;
        let Capabilities {
            all,
            none,
            add,
            drop,
        } = self;
        if !all && !none && add.is_empty() && drop.is_empty() {
            return None;
        }
        let every = || {
            let bits = (0..64).filter(|bit| allowed >> bit & 1 == 1);
            bits.filter_map(|bit| Capability::try_from(1000 + bit).ok())
        };
        let usual = default_capabilities();
        let usual = usual.iter().filter_map(|it| capability(&it.to_string()));
        let begin: Vec<_> = match (all, none) {
            (true, _) => every().collect(),
            (false, true) => Vec::new(),
            (false, false) => usual.collect(),
        };
        let mut kept: Vec<_> = begin.into_iter().filter(|it| !drop.contains(it)).collect();
        kept.extend(add);
        let mut capabilities: Vec<i32> = kept.into_iter().map(i32::from).collect();
        capabilities.sort_unstable();
        capabilities.dedup();
        Some(v1::CapabilityInfo { capabilities })
    }
}

#[cfg(test)]
mod tests;
