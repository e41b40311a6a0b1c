//! Reads health, general and readiness checks.

use super::reader::{At, Fields, Read};
use crate::app::health::{
    Check, CheckPort, CheckProbe, HealthCheck, IpProtocol, Probe, ReadinessCheck, Scheme,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http(Scheme),
    Tcp,
    MesosHttp(Scheme),
    MesosTcp,
    Command,
}

const KINDS: &[(&str, Kind)] = &[
    ("HTTP", Kind::Http(Scheme::Http)),
    ("HTTPS", Kind::Http(Scheme::Https)),
    ("TCP", Kind::Tcp),
    ("MESOS_HTTP", Kind::MesosHttp(Scheme::Http)),
    ("MESOS_HTTPS", Kind::MesosHttp(Scheme::Https)),
    ("MESOS_TCP", Kind::MesosTcp),
    ("COMMAND", Kind::Command),
];

impl Read for HealthCheck {
    fn read(at: &At<'_>) -> Option<HealthCheck> {
        let fields = at.object()?;
        Some(HealthCheck {
            probe: probe(&fields)?,
            grace_period_seconds: fields.or("gracePeriodSeconds", 300),
            interval_seconds: fields.or("intervalSeconds", 60),
            timeout_seconds: fields.or("timeoutSeconds", 20),
            max_consecutive_failures: fields.or("maxConsecutiveFailures", 3),
            delay_seconds: fields.or("delaySeconds", 15),
        })
    }
}

fn probe(fields: &Fields<'_>) -> Option<Probe> {
    let kind = match fields.get("protocol") {
        Some(at) => at.word(KINDS)?,
        None if fields.has("command") => Kind::Command,
        None => Kind::Http(Scheme::Http),
    };
    let path = fields.or("path", "/".to_owned());
    let ip = fields.or("ipProtocol", IpProtocol::V4);
    if ip == IpProtocol::V6 && !matches!(kind, Kind::MesosHttp(_) | Kind::MesosTcp) {
        fields.breaks(
            "ipProtocol",
            "IPv6 is supported only by MESOS_HTTP, MESOS_HTTPS, MESOS_TCP",
        );
    }
    Some(match kind {
        Kind::Http(scheme) => Probe::Http {
            scheme,
            path,
            port: port(fields),
            ignore_http1xx: fields.or("ignoreHttp1xx", false),
        },
        Kind::Tcp => Probe::Tcp { port: port(fields) },
        Kind::MesosHttp(scheme) => Probe::MesosHttp {
            scheme,
            path,
            port: port(fields),
            ip,
        },
        Kind::MesosTcp => Probe::MesosTcp {
            port: port(fields),
            ip,
        },
        Kind::Command => Probe::Command {
            value: command(fields, "command", "value")?,
        },
    })
}

fn port(fields: &Fields<'_>) -> CheckPort {
    match (fields.optional("portIndex"), fields.optional("port")) {
        (Some(_), Some(port)) => {
            fields.breaks("port", "must not be set together with portIndex");
            CheckPort::Number(port)
        }
        (None, Some(port)) => CheckPort::Number(port),
        (index, None) => CheckPort::Index(index.unwrap_or(0)),
    }
}

/// `{"command": {"value": text}}`, or the text alone.
fn command(fields: &Fields<'_>, key: &str, inner: &str) -> Option<String> {
    match fields.get(key) {
        Some(at) if at.value.is_string() => String::read(&at),
        Some(at) => at.object()?.required(inner),
        None => fields.required(key),
    }
}

impl Read for Check {
    fn read(at: &At<'_>) -> Option<Check> {
        let fields = at.object()?;
        let kinds = ["http", "tcp", "exec"];
        let probe = match kinds.map(|kind| fields.object(kind)) {
            [Some(http), None, None] => CheckProbe::Http {
                scheme: http.or("scheme", Scheme::Http),
                path: http.or("path", "/".to_owned()),
                port: port(&http),
            },
            [None, Some(tcp), None] => CheckProbe::Tcp { port: port(&tcp) },
            [None, None, Some(exec)] => CheckProbe::Exec {
                command: exec_command(&exec)?,
            },
            _ => return at.breaks("a check is exactly one of http, tcp or exec"),
        };
        Some(Check {
            probe,
            interval_seconds: fields.or("intervalSeconds", 60),
            timeout_seconds: fields.or("timeoutSeconds", 20),
            delay_seconds: fields.or("delaySeconds", 15),
        })
    }
}

/// `{"command": {"shell": text}}`, or the text alone.
fn exec_command(fields: &Fields<'_>) -> Option<String> {
    command(fields, "command", "shell")
}

impl Read for Scheme {
    fn read(at: &At<'_>) -> Option<Scheme> {
        at.word(&[("HTTP", Scheme::Http), ("HTTPS", Scheme::Https)])
    }
}

impl Read for IpProtocol {
    fn read(at: &At<'_>) -> Option<IpProtocol> {
        at.word(&[("IPv4", IpProtocol::V4), ("IPv6", IpProtocol::V6)])
    }
}

impl Read for ReadinessCheck {
    fn read(at: &At<'_>) -> Option<ReadinessCheck> {
        let fields = at.object()?;
        Some(ReadinessCheck {
            name: fields.or("name", "readinessCheck".to_owned()),
            scheme: fields.or("protocol", Scheme::Http),
            path: fields.or("path", "/".to_owned()),
            port_name: fields.or("portName", "http-api".to_owned()),
            interval_seconds: fields.or("intervalSeconds", 30),
            timeout_seconds: fields.or("timeoutSeconds", 10),
            http_status_codes_for_ready: fields.or("httpStatusCodesForReady", vec![200]),
            preserve_last_response: fields.or("preserveLastResponse", false),
        })
    }
}
