//! Rules of the checks of an app.

use super::kind;
use crate::app::App;
use crate::app::container::ContainerKind;
use crate::app::health::{CheckPort, IpProtocol, Probe};
use crate::app::parse::Problems;
use crate::app::ports::{self, PortRequest};

pub fn health_checks(app: &App, problems: &Problems) {
    let ports = ports::requested(app).len();
    for (i, check) in app.health_checks.iter().enumerate() {
        let path = |key: &str| format!("/healthChecks({i})/{key}");
        if let Some(CheckPort::Index(index)) = check.probe.port()
            && index as usize >= ports
        {
            problems.rule(
                &path("portIndex"),
                "Health check port indices must address an element of the ports array or \
                 container port mappings.",
            );
        }
        for (key, seconds) in [
            ("intervalSeconds", check.interval_seconds),
            ("timeoutSeconds", check.timeout_seconds),
        ] {
            if seconds == 0 {
                problems.rule(&path(key), "must be greater than 0");
            }
        }
        match &check.probe {
            Probe::MesosHttp {
                ip: IpProtocol::V6, ..
            }
            | Probe::MesosTcp {
                ip: IpProtocol::V6, ..
            } if kind(app) != ContainerKind::Docker => {
                problems.rule(&path("ipProtocol"), "IPv6 needs a container of type DOCKER");
            }
            Probe::Command { value } if value.is_empty() => {
                problems.rule(&path("command"), "must not be empty");
            }
            Probe::Http { .. }
            | Probe::Tcp { .. }
            | Probe::MesosHttp { .. }
            | Probe::MesosTcp { .. }
            | Probe::Command { .. } => {}
        }
    }
}

pub fn readiness_checks(app: &App, problems: &Problems) {
    let ports = ports::requested(app);
    let is_port = |port: &PortRequest, name: &str| port.name.as_deref() == Some(name);
    for (i, check) in app.readiness_checks.iter().enumerate() {
        let path = |key: &str| format!("/readinessChecks({i})/{key}");
        if !ports.iter().any(|port| is_port(port, &check.port_name)) {
            problems.rule(
                &path("portName"),
                format!(
                    "No port definition reference for portName {}",
                    check.port_name
                ),
            );
        }
        if check.timeout_seconds >= check.interval_seconds {
            problems.rule(&path("timeoutSeconds"), "must be less than intervalSeconds");
        }
    }
}
