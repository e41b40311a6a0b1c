//! What a task asks to be looked at. Pure.

use std::time::Duration;

use proto::v1::network_info::Protocol;
use proto::v1::{
    CheckInfo, CheckStatusInfo, CommandInfo, HealthCheck, TaskInfo, check_info, check_status_info,
    health_check,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub kind: Kind,
    pub probe: Probe,
    /// From the task's start to the first look.
    pub delay: Duration,
    /// From the end of one to the next.
    pub interval: Duration,
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Health {
        /// After the task's start failures do not count for so long, or until the first success.
        grace: Duration,
        /// With so many in a row the task is ended.
        failures: u32,
    },
    /// What is found is told, and nothing else.
    General,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    Command(CommandInfo),
    Http {
        /// `http` or `https`.
        scheme: String,
        port: u16,
        /// With its query.
        path: String,
        ip: Ip,
    },
    Tcp {
        port: u16,
        ip: Ip,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    V4,
    V6,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCheck {
    #[error("it does not say what to look at: set its \"type\", and what belongs to that")]
    Nothing,
    #[error("{0} is no port")]
    Port(u32),
}

/// Shorter ones would leave the node nothing else to do.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
/// Longer ones never pass.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Masters refuse tasks with others than these, so what is not valid is left out; `notes` tells of it.
pub fn asked(task: &TaskInfo) -> Vec<Check> {
    each(task)
        .into_iter()
        .filter_map(|(_, it)| it.ok())
        .collect()
}

/// Each check that cannot be made, as a sentence for the task's log.
pub fn notes(task: &TaskInfo) -> Vec<String> {
    let note = |(what, check): (&str, Result<Check, BadCheck>)| {
        let error = check.err()?;
        Some(format!("the task's {what} is not performed: {error}"))
    };
    each(task).into_iter().filter_map(note).collect()
}

fn each(task: &TaskInfo) -> Vec<(&'static str, Result<Check, BadCheck>)> {
    let health = task.health_check.as_ref().map(health);
    let general = task.check.as_ref().map(general);
    let health = health.map(|check| ("health check", check));
    let general = general.map(|check| ("check", check));
    health.into_iter().chain(general).collect()
}

fn health(info: &HealthCheck) -> Result<Check, BadCheck> {
    use health_check::Type;
    let probe = match (info.r#type(), &info.command, &info.http, &info.tcp) {
        (Type::Command, Some(command), ..) => Probe::Command(command.clone()),
        (Type::Http, _, Some(http), _) => Probe::Http {
            scheme: http.scheme.clone().unwrap_or_else(|| "http".to_owned()),
            port: port(http.port)?,
            path: http.path.clone().unwrap_or_else(|| "/".to_owned()),
            ip: Ip::from(http.protocol()),
        },
        (Type::Tcp, _, _, Some(tcp)) => Probe::Tcp {
            port: port(tcp.port)?,
            ip: Ip::from(tcp.protocol()),
        },
        _ => return Err(BadCheck::Nothing),
    };
    Ok(Check {
        kind: Kind::Health {
            grace: seconds(info.grace_period_seconds()),
            failures: info.consecutive_failures(),
        },
        probe,
        delay: seconds(info.delay_seconds()),
        interval: seconds(info.interval_seconds()).max(LEAST_INTERVAL),
        timeout: timeout(info.timeout_seconds()),
    })
}

fn general(info: &CheckInfo) -> Result<Check, BadCheck> {
    use check_info::Type;
    let probe = match (info.r#type(), &info.command, &info.http, &info.tcp) {
        (Type::Command, Some(command), ..) => Probe::Command(command.command.clone()),
        (Type::Http, _, Some(http), _) => Probe::Http {
            scheme: "http".to_owned(),
            port: port(http.port)?,
            path: http.path.clone().unwrap_or_else(|| "/".to_owned()),
            ip: Ip::V4,
        },
        (Type::Tcp, _, _, Some(tcp)) => Probe::Tcp {
            port: port(tcp.port)?,
            ip: Ip::V4,
        },
        _ => return Err(BadCheck::Nothing),
    };
    Ok(Check {
        kind: Kind::General,
        probe,
        delay: seconds(info.delay_seconds()),
        interval: seconds(info.interval_seconds()).max(LEAST_INTERVAL),
        timeout: timeout(info.timeout_seconds()),
    })
}

fn port(number: u32) -> Result<u16, BadCheck> {
    let port = u16::try_from(number).ok().filter(|port| *port != 0);
    port.ok_or(BadCheck::Port(number))
}

fn seconds(seconds: f64) -> Duration {
    // `max` of what is not a number is the other.
    let duration = Duration::try_from_secs_f64(seconds.max(0.0));
    duration.unwrap_or(FOR_EVER).min(FOR_EVER)
}

/// 0: as long as it takes.
fn timeout(given: f64) -> Option<Duration> {
    Some(seconds(given)).filter(|timeout| !timeout.is_zero())
}

impl From<Protocol> for Ip {
    fn from(protocol: Protocol) -> Ip {
        match protocol {
            Protocol::IPv4 => Ip::V4,
            Protocol::IPv6 => Ip::V6,
        }
    }
}

impl Probe {
    /// What is told while nothing is known.
    pub fn unknown(&self) -> CheckStatusInfo {
        let mut status = CheckStatusInfo::default();
        match self {
            Probe::Command(_) => {
                status.set_type(check_info::Type::Command);
                status.command = Some(check_status_info::Command { exit_code: None });
            }
            Probe::Http { .. } => {
                status.set_type(check_info::Type::Http);
                status.http = Some(check_status_info::Http { status_code: None });
            }
            Probe::Tcp { .. } => {
                status.set_type(check_info::Type::Tcp);
                status.tcp = Some(check_status_info::Tcp { succeeded: None });
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(port: u32) -> HealthCheck {
        let mut check = HealthCheck {
            http: Some(health_check::HttpCheckInfo {
                port,
                ..Default::default()
            }),
            ..Default::default()
        };
        check.set_type(health_check::Type::Http);
        check
    }

    fn task(health_check: Option<HealthCheck>, check: Option<CheckInfo>) -> TaskInfo {
        TaskInfo {
            health_check,
            check,
            ..Default::default()
        }
    }

    #[test]
    fn what_a_check_leaves_out_is_as_in_mesos() {
        let second = Duration::from_secs;
        assert_eq!(
            asked(&task(Some(http(8080)), None)),
            [Check {
                kind: Kind::Health {
                    grace: second(10),
                    failures: 3
                },
                probe: Probe::Http {
                    scheme: "http".into(),
                    port: 8080,
                    path: "/".into(),
                    ip: Ip::V4,
                },
                delay: second(15),
                interval: second(10),
                timeout: Some(second(20)),
            }]
        );
        assert!(asked(&TaskInfo::default()).is_empty());
    }

    #[test]
    fn times_that_no_clock_has_are_bounded() {
        let mut check = http(1);
        check.delay_seconds = Some(f64::INFINITY);
        check.interval_seconds = Some(0.0);
        check.timeout_seconds = Some(0.0);
        check.grace_period_seconds = Some(f64::NAN);
        let found = asked(&task(Some(check), None)).remove(0);
        assert_eq!((found.delay, found.interval), (FOR_EVER, LEAST_INTERVAL));
        assert_eq!(found.timeout, None);
        let (grace, failures) = (Duration::ZERO, 3);
        assert_eq!(found.kind, Kind::Health { grace, failures });
    }

    #[test]
    fn a_check_that_cannot_be_made_is_told_and_not_made() {
        let bad = task(Some(http(70_000)), Some(CheckInfo::default()));
        assert!(asked(&bad).is_empty());
        let told = notes(&bad);
        assert_eq!(
            told[0],
            "the task's health check is not performed: 70000 is no port"
        );
        assert!(told[1].starts_with("the task's check is not performed: it does not say"));
        assert!(notes(&task(Some(http(80)), None)).is_empty());
    }
}
