//! A task of the type DOCKER in the words of a native one: where there is no Docker, what its options mean is
//! said in other fields, and one that means nothing here is refused by its name. Pure.

use std::borrow::Cow;

use isolators::default_capabilities;
use proto::sizes::parse_size;
use proto::v1;
use proto::v1::container_info::DockerInfo;
use proto::v1::container_info::docker_info::Network;
use proto::v1::r_limit_info::RLimit;
use proto::v1::r_limit_info::r_limit::Type as Limit;

use crate::networks::wish::NONE;

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
    Ulimit,
    CapAdd,
    CapDrop,
    Hostname,
    User,
    ShmSize,
    Ipc,
    Privileged,
    /// Looked at once the image is known.
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
    ("workdir", Key::OfImage), ("w", Key::OfImage),
    ("entrypoint", Key::OfImage), ("read-only", Key::OfImage),
    // Names of Docker's, and what each container here has.
    ("name", Key::Met), ("label", Key::Met), ("l", Key::Met), ("init", Key::Met), ("rm", Key::Met),
    ("restart", Key::Only("no")), ("security-opt", Key::Only("no-new-privileges")),
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
    network(docker, bridge, &mut info)?;
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
                    shm_size(value).ok_or_else(|| bad("a size such as 64m, of at least 1m"))?;
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
            Key::Privileged => match value {
                "" | "true" => capabilities.all = true,
                "false" => {}
                _ => return Err(bad("true or false")),
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
    if docker.privileged() {
        info.linux_info.get_or_insert_default().seccomp = Some(v1::SeccompInfo {
            unconfined: Some(true),
            ..Default::default()
        });
    }
    info.docker = Some(DockerInfo {
        image: docker.image.clone(),
        force_pull_image: docker.force_pull_image,
        parameters: of_image,
        ..Default::default()
    });
    native.container = Some(info);
    Ok(Cow::Owned(native))
}

/// Docker's own bridge is this node's.
fn network(
    docker: &DockerInfo,
    bridge: &str,
    info: &mut v1::ContainerInfo,
) -> Result<(), BadDocker> {
    let named = info
        .network_infos
        .iter()
        .any(|network| network.name.is_some());
    match docker.network() {
        Network::Bridge if !named => info.network_infos.push(v1::NetworkInfo {
            name: Some(bridge.to_owned()),
            ..Default::default()
        }),
        Network::None if !named => info.network_infos.push(v1::NetworkInfo {
            name: Some(NONE.to_owned()),
            ..Default::default()
        }),
        Network::User if !named => return Err(BadDocker::Network("USER without a name")),
        Network::None => return Err(BadDocker::Network("NONE beside a name")),
        Network::Bridge | Network::User | Network::Host => {}
    }
    let ports = docker
        .port_mappings
        .iter()
        .map(|port| v1::network_info::PortMapping {
            host_port: port.host_port,
            container_port: port.container_port,
            protocol: port.protocol.clone(),
        });
    if let Some(network) = info
        .network_infos
        .iter_mut()
        .find(|network| network.name.is_some())
    {
        network.port_mappings.extend(ports);
    }
    Ok(())
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

fn capability(name: &str) -> Option<v1::capability_info::Capability> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    v1::capability_info::Capability::from_str_name(name).filter(|it| i32::from(*it) != 0)
}

fn volume(text: &str) -> Option<v1::Volume> {
    let mut parts = text.split(':');
    let (source, target) = (parts.next()?, parts.next()?);
    let mode = match (parts.next(), parts.next()) {
        (None, _) => v1::volume::Mode::Rw,
        (Some("rw"), None) => v1::volume::Mode::Rw,
        (Some("ro"), None) => v1::volume::Mode::Ro,
        _ => return None,
    };
    let absolute = source.starts_with('/') && target.starts_with('/');
    absolute.then(|| v1::Volume {
        host_path: Some(source.to_owned()),
        container_path: target.to_owned(),
        mode: mode.into(),
        ..Default::default()
    })
}

fn ulimit(text: &str) -> Option<RLimit> {
    let (name, values) = text.split_once('=')?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let value = |text: &str| match text {
        // No limit.
        "-1" => Some(u64::MAX),
        text => text.parse().ok(),
    };
    let kind = Limit::from_str_name(&format!("RLMT_{}", name.to_ascii_uppercase()))?;
    let (soft, hard) = (value(soft)?, value(hard)?);
    // Both are left out for none.
    let limited = hard != u64::MAX;
    Some(RLimit {
        r#type: Some(kind.into()),
        soft: limited.then_some(soft),
        hard: limited.then_some(hard),
    })
}

/// In megabytes.
fn shm_size(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let bytes = match lower.strip_suffix(['k', 'm', 'g']) {
        Some(_) => parse_size(&format!("{}B", lower.to_ascii_uppercase())).ok()?,
        None => lower.strip_suffix('b').unwrap_or(&lower).parse().ok()?,
    };
    u32::try_from(bytes >> 20)
        .ok()
        .filter(|megabytes| *megabytes > 0)
}

#[cfg(test)]
mod tests;
