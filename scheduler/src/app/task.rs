//! An app in the words of Mesos: the parts of a `TaskInfo` that follow from its definition.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1;

use super::container::{Container, ContainerKind, Docker, IpcMode, LinuxInfo, Seccomp};
use super::health::{CheckPort, CheckProbe, HealthCheck, IpProtocol, Probe, Scheme};
use super::ports::{self, PortMapping, PortRequest};
use super::volumes::{Mode, Volume, VolumeSource};
use super::{App, Limit, Networks};

/// What a task runs, with its files and user; the environment is the caller's to add.
pub fn command(app: &App) -> v1::CommandInfo {
    let has_image = app.container.as_ref().is_some_and(|c| c.docker.is_some());
    let (shell, value, arguments) = match (&app.cmd, app.args.first()) {
        (Some(cmd), _) => (true, Some(cmd.clone()), Vec::new()),
        // An image has its own entrypoint; without one the first word is the program.
        (None, Some(program)) if !has_image => (false, Some(program.clone()), app.args.clone()),
        (None, _) => (false, None, app.args.clone()),
    };
    let uri = |fetch: &super::Fetch| v1::command_info::Uri {
        value: fetch.value(),
        executable: Some(fetch.executable),
        extract: Some(fetch.extract),
        cache: Some(fetch.cache),
        output_file: fetch.output_file(),
    };
    v1::CommandInfo {
        uris: app.fetch.iter().map(uri).collect(),
        environment: None,
        value,
        user: app.user.clone(),
        shell: Some(shell),
        arguments,
    }
}

/// The container, without the ports that are published on the host: see [`publish`].
pub fn container(app: &App) -> Option<v1::ContainerInfo> {
    let network_infos: Vec<_> = match &app.networks {
        Networks::Host => Vec::new(),
        Networks::Bridge { labels } => match kind(app) {
            // Docker has a bridge of its own, which needs no name.
            ContainerKind::Docker => Vec::new(),
            ContainerKind::Mesos => vec![network(BRIDGE, labels)],
        },
        // Nor has this one with Docker.
        Networks::Container(_)
            if app.networks.lead_nowhere() && kind(app) == ContainerKind::Docker =>
        {
            Vec::new()
        }
        Networks::Container(networks) => networks
            .iter()
            .map(|n| network(&n.name, &n.labels))
            .collect(),
    };
    if app.container.is_none() && network_infos.is_empty() && app.tty.is_none() {
        return None;
    }
    let native = Container::native();
    let container = app.container.as_ref().unwrap_or(&native);
    let mut info = v1::ContainerInfo {
        volumes: (container.volumes.iter())
            .filter_map(|it| volume(app, it))
            .collect(),
        network_infos,
        linux_info: container.linux_info.as_ref().map(linux_info),
        tty_info: app.tty.filter(|tty| *tty).map(|_| v1::TtyInfo::default()),
        ..v1::ContainerInfo::default()
    };
    match container.kind {
        ContainerKind::Docker => {
            info.set_type(v1::container_info::Type::Docker);
            info.docker = container.docker.as_ref().map(|d| docker(d, &app.networks));
        }
        ContainerKind::Mesos => {
            info.set_type(v1::container_info::Type::Mesos);
            info.mesos = container
                .docker
                .as_ref()
                .map(|d| v1::container_info::MesosInfo {
                    image: Some(image(d, app)),
                });
        }
    }
    Some(info)
}

/// Name of the agent's bridge in `NetworkInfo`.
const BRIDGE: &str = "mesos-bridge";

/// Adds to `info` how the host ports that a task was given lead into its container.
pub fn publish(app: &App, host_ports: &[u16], info: &mut v1::ContainerInfo) {
    let mappings: &[PortMapping] = app.container.as_ref().map_or(&[], |c| &c.port_mappings);
    let requests = ports::requested(app);
    let assigned = ports::assigned(&requests, host_ports);
    for (mapping, (request, host_port)) in mappings.iter().zip(assigned) {
        let Some(host_port) = host_port else { continue };
        let (host_port, container_port) = (host_port.into(), inner_port(request, host_port).into());
        for protocol in mapping.protocol.each() {
            let protocol = Some((*protocol).to_owned());
            if let Some(docker) = &mut info.docker {
                docker
                    .port_mappings
                    .push(v1::container_info::docker_info::PortMapping {
                        host_port,
                        container_port,
                        protocol,
                    });
            } else {
                let of_network = info.network_infos.iter_mut().find(|network| {
                    let name = network.name.as_deref().unwrap_or_default();
                    mapping.network_names.is_empty()
                        || mapping.network_names.iter().any(|n| n == name)
                });
                if let Some(network) = of_network {
                    network.port_mappings.push(v1::network_info::PortMapping {
                        host_port,
                        container_port,
                        protocol,
                    });
                }
            }
        }
    }
}

/// How others find the task: its name, and one port per transport protocol.
pub fn discovery(app: &App, host_ports: &[u16]) -> v1::DiscoveryInfo {
    let requests = ports::requested(app);
    let assigned = ports::assigned(&requests, host_ports);
    let ports = assigned.into_iter().flat_map(|(request, host_port)| {
        let (number, scope) = match host_port {
            Some(port) => (port, "host"),
            None => (request.container_port, "container"),
        };
        request.protocol.each().iter().map(move |protocol| {
            let mut port_labels = request.labels.clone();
            port_labels.insert("network-scope".to_owned(), scope.to_owned());
            v1::Port {
                number: number.into(),
                name: request.name.clone(),
                protocol: Some((*protocol).to_owned()),
                visibility: None,
                labels: labels_of(&port_labels),
            }
        })
    });
    v1::DiscoveryInfo {
        visibility: v1::discovery_info::Visibility::Framework.into(),
        name: Some(app.id.task_name()),
        ports: Some(v1::Ports {
            ports: ports.collect(),
        }),
        ..v1::DiscoveryInfo::default()
    }
}

/// How far the task may burst, by resource name; infinite where unlimited.
pub fn limits(app: &App) -> BTreeMap<String, v1::value::Scalar> {
    let given = app
        .resource_limits
        .map(|l| [("cpus", l.cpus), ("mem", l.mem)]);
    given
        .into_iter()
        .flatten()
        .filter_map(|(name, limit)| {
            let value = match limit? {
                Limit::At(value) => value,
                Limit::Unlimited => f64::INFINITY,
            };
            Some((name.to_owned(), v1::value::Scalar { value }))
        })
        .collect()
}

/// The time between SIGTERM and SIGKILL, where the app names one.
pub fn kill_policy(app: &App) -> Option<v1::KillPolicy> {
    let seconds = app.task_kill_grace_period_seconds?;
    Some(kill_after(Duration::from_secs(seconds.into())))
}

pub fn kill_after(grace: Duration) -> v1::KillPolicy {
    let nanoseconds = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    v1::KillPolicy {
        grace_period: Some(v1::DurationInfo { nanoseconds }),
    }
}

pub fn labels(app: &App) -> Option<v1::Labels> {
    labels_of(&app.labels)
}

/// The health check that the agent makes, of which an app has at most one.
pub fn health_check(app: &App, host_ports: &[u16]) -> Option<v1::HealthCheck> {
    let check = app.health_checks.iter().find(|c| c.probe.is_by_agent())?;
    let mut info = times(check);
    let port = || check_port(app, host_ports, check.probe.port()?);
    match &check.probe {
        Probe::Command { value } => {
            info.set_type(v1::health_check::Type::Command);
            info.command = Some(v1::CommandInfo {
                value: Some(value.clone()),
                shell: Some(true),
                ..v1::CommandInfo::default()
            });
        }
        Probe::MesosHttp {
            scheme, path, ip, ..
        } => {
            info.set_type(v1::health_check::Type::Http);
            let scheme = match scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            };
            info.http = Some(v1::health_check::HttpCheckInfo {
                port: port()?.into(),
                path: Some(path.clone()),
                scheme: Some(scheme.to_owned()),
                protocol: Some(ip_protocol(*ip).into()),
                ..v1::health_check::HttpCheckInfo::default()
            });
        }
        Probe::MesosTcp { ip, .. } => {
            info.set_type(v1::health_check::Type::Tcp);
            info.tcp = Some(v1::health_check::TcpCheckInfo {
                port: port()?.into(),
                protocol: Some(ip_protocol(*ip).into()),
            });
        }
        Probe::Http { .. } | Probe::Tcp { .. } => return None,
    }
    Some(info)
}

/// The check whose results the agent only reports.
pub fn check(app: &App, host_ports: &[u16]) -> Option<v1::CheckInfo> {
    let check = app.check.as_ref()?;
    let mut info = v1::CheckInfo {
        delay_seconds: Some(check.delay_seconds.into()),
        interval_seconds: Some(check.interval_seconds.into()),
        timeout_seconds: Some(check.timeout_seconds.into()),
        ..v1::CheckInfo::default()
    };
    match &check.probe {
        CheckProbe::Exec { command } => {
            info.set_type(v1::check_info::Type::Command);
            let command = v1::CommandInfo {
                value: Some(command.clone()),
                shell: Some(true),
                ..v1::CommandInfo::default()
            };
            info.command = Some(v1::check_info::Command { command });
        }
        // Mesos makes these by http alone.
        CheckProbe::Http { path, port, .. } => {
            info.set_type(v1::check_info::Type::Http);
            info.http = Some(v1::check_info::Http {
                port: check_port(app, host_ports, *port)?.into(),
                path: Some(path.clone()),
            });
        }
        CheckProbe::Tcp { port } => {
            info.set_type(v1::check_info::Type::Tcp);
            info.tcp = Some(v1::check_info::Tcp {
                port: check_port(app, host_ports, *port)?.into(),
            });
        }
    }
    Some(info)
}

fn times(check: &HealthCheck) -> v1::HealthCheck {
    v1::HealthCheck {
        delay_seconds: Some(check.delay_seconds.into()),
        interval_seconds: Some(check.interval_seconds.into()),
        timeout_seconds: Some(check.timeout_seconds.into()),
        consecutive_failures: Some(check.max_consecutive_failures),
        grace_period_seconds: Some(check.grace_period_seconds.into()),
        ..v1::HealthCheck::default()
    }
}

fn ip_protocol(ip: IpProtocol) -> v1::network_info::Protocol {
    match ip {
        IpProtocol::V4 => v1::network_info::Protocol::IPv4,
        IpProtocol::V6 => v1::network_info::Protocol::IPv6,
    }
}

/// The port as seen inside the task's network.
fn check_port(app: &App, host_ports: &[u16], port: CheckPort) -> Option<u16> {
    match port {
        CheckPort::Number(number) => Some(number),
        CheckPort::Index(index) => {
            let requests = ports::requested(app);
            let assigned = ports::assigned(&requests, host_ports);
            let (request, host_port) = assigned.get(index as usize)?;
            Some(inner_port(request, host_port.unwrap_or_default()))
        }
    }
}

fn inner_port(request: &PortRequest, host_port: u16) -> u16 {
    match request.container_port {
        0 => host_port,
        port => port,
    }
}

fn kind(app: &App) -> ContainerKind {
    app.container
        .as_ref()
        .map_or(ContainerKind::Mesos, |c| c.kind)
}

fn labels_of(labels: &BTreeMap<String, String>) -> Option<v1::Labels> {
    let label = |(key, value): (&String, &String)| v1::Label {
        key: key.clone(),
        value: Some(value.clone()),
    };
    (!labels.is_empty()).then(|| v1::Labels {
        labels: labels.iter().map(label).collect(),
    })
}

fn network(name: &str, labels: &BTreeMap<String, String>) -> v1::NetworkInfo {
    v1::NetworkInfo {
        name: Some(name.to_owned()),
        labels: labels_of(labels),
        ..v1::NetworkInfo::default()
    }
}

fn docker(docker: &Docker, networks: &Networks) -> v1::container_info::DockerInfo {
    use v1::container_info::docker_info::Network;
    let network = match networks {
        Networks::Host => Network::Host,
        Networks::Bridge { .. } => Network::Bridge,
        Networks::Container(_) if networks.lead_nowhere() => Network::None,
        Networks::Container(_) => Network::User,
    };
    let parameter = |(key, value): &(String, String)| v1::Parameter {
        key: key.clone(),
        value: value.clone(),
    };
    v1::container_info::DockerInfo {
        image: docker.image.clone(),
        network: Some(network.into()),
        privileged: Some(docker.privileged),
        parameters: docker.parameters.iter().map(parameter).collect(),
        force_pull_image: Some(docker.force_pull_image),
        ..v1::container_info::DockerInfo::default()
    }
}

fn image(docker: &Docker, app: &App) -> v1::Image {
    let source = docker
        .pull_secret
        .as_ref()
        .and_then(|it| app.secrets.get(it));
    let config = source.map(|source| secret(source));
    let mut image = v1::Image {
        docker: Some(v1::image::Docker {
            name: docker.image.clone(),
            config,
            ..Default::default()
        }),
        cached: Some(!docker.force_pull_image),
        ..v1::Image::default()
    };
    image.set_type(v1::image::Type::Docker);
    image
}

/// Whoever runs the task knows what is behind the source.
pub fn secret(source: &str) -> v1::Secret {
    v1::Secret {
        r#type: Some(v1::secret::Type::Reference.into()),
        reference: Some(v1::secret::Reference {
            name: source.to_owned(),
            key: None,
        }),
        value: None,
    }
}

/// Host volumes, secrets and volumes of drivers. Persistent ones are resources of the task instead.
fn volume(app: &App, volume: &Volume) -> Option<v1::Volume> {
    let mode = match volume.mode {
        Mode::ReadOnly => v1::volume::Mode::Ro,
        Mode::ReadWrite => v1::volume::Mode::Rw,
    };
    let mut info = v1::Volume {
        container_path: volume.container_path.clone(),
        mode: mode.into(),
        ..v1::Volume::default()
    };
    match &volume.source {
        VolumeSource::Host { host_path } => info.host_path = Some(host_path.clone()),
        VolumeSource::External(external) => {
            let driver = external.options.get("dvdi/driver").and_then(|d| d.as_str());
            // What else has its prefix is the driver's own.
            let options = external.options.iter().filter_map(|(key, value)| {
                let key = key.strip_prefix("dvdi/").filter(|key| *key != "driver")?;
                let value = value.as_str().map(str::to_owned);
                Some(v1::Parameter {
                    key: key.to_owned(),
                    value: value?,
                })
            });
            let parameter: Vec<_> = options.collect();
            let mut source = v1::volume::Source {
                docker_volume: Some(v1::volume::source::DockerVolume {
                    driver: driver.map(str::to_owned),
                    name: external.name.clone(),
                    driver_options: (!parameter.is_empty()).then_some(v1::Parameters { parameter }),
                }),
                ..v1::volume::Source::default()
            };
            source.set_type(v1::volume::source::Type::DockerVolume);
            info.source = Some(source);
        }
        VolumeSource::Secret { secret: name } => {
            let mut source = v1::volume::Source {
                secret: Some(secret(app.secrets.get(name)?)),
                ..v1::volume::Source::default()
            };
            source.set_type(v1::volume::source::Type::Secret);
            info.source = Some(source);
        }
        VolumeSource::Persistent(_) => return None,
    }
    Some(info)
}

fn linux_info(info: &LinuxInfo) -> v1::LinuxInfo {
    let seccomp = info.seccomp.as_ref().map(|seccomp| match seccomp {
        Seccomp::Unconfined => v1::SeccompInfo {
            unconfined: Some(true),
            profile_name: None,
        },
        Seccomp::Profile(name) => v1::SeccompInfo {
            unconfined: Some(false),
            profile_name: Some(name.clone()),
        },
    });
    let mut linux = v1::LinuxInfo {
        seccomp,
        ..v1::LinuxInfo::default()
    };
    if let Some(ipc) = &info.ipc {
        linux.set_ipc_mode(match ipc.mode {
            IpcMode::Private => v1::linux_info::IpcMode::Private,
            IpcMode::ShareParent => v1::linux_info::IpcMode::ShareParent,
        });
        linux.shm_size = ipc.shm_size;
    }
    linux
}

#[cfg(test)]
mod tests;
