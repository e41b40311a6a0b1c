//! Checks of health and of readiness.

use serde_json::{Map, Value, json};

use super::put;
use crate::app::health::{
    Check, CheckPort, CheckProbe, HealthCheck, IpProtocol, Probe, ReadinessCheck, Scheme,
};

pub(super) fn health_check(check: &HealthCheck) -> Value {
    let mut out = Map::new();
    put_probe(&mut out, &check.probe);
    put(&mut out, "gracePeriodSeconds", check.grace_period_seconds);
    put(&mut out, "intervalSeconds", check.interval_seconds);
    put(&mut out, "timeoutSeconds", check.timeout_seconds);
    put(
        &mut out,
        "maxConsecutiveFailures",
        check.max_consecutive_failures,
    );
    put(&mut out, "delaySeconds", check.delay_seconds);
    Value::Object(out)
}

fn put_probe(out: &mut Map<String, Value>, probe: &Probe) {
    let protocol = match probe {
        Probe::Http {
            scheme: Scheme::Http,
            ..
        } => "HTTP",
        Probe::Http {
            scheme: Scheme::Https,
            ..
        } => "HTTPS",
        Probe::Tcp { .. } => "TCP",
        Probe::MesosHttp {
            scheme: Scheme::Http,
            ..
        } => "MESOS_HTTP",
        Probe::MesosHttp {
            scheme: Scheme::Https,
            ..
        } => "MESOS_HTTPS",
        Probe::MesosTcp { .. } => "MESOS_TCP",
        Probe::Command { .. } => "COMMAND",
    };
    put(out, "protocol", protocol);
    if let Some(port) = probe.port() {
        put_port(out, port);
    }
    match probe {
        Probe::Http {
            path,
            ignore_http1xx,
            ..
        } => {
            put(out, "path", path.as_str());
            put(out, "ignoreHttp1xx", *ignore_http1xx);
        }
        Probe::MesosHttp { path, ip, .. } => {
            put(out, "path", path.as_str());
            put(out, "ipProtocol", ip_protocol(*ip));
        }
        Probe::MesosTcp { ip, .. } => put(out, "ipProtocol", ip_protocol(*ip)),
        Probe::Command { value } => put(out, "command", json!({"value": value})),
        Probe::Tcp { .. } => {}
    }
}

fn put_port(out: &mut Map<String, Value>, port: CheckPort) {
    match port {
        CheckPort::Index(index) => put(out, "portIndex", index),
        CheckPort::Number(number) => put(out, "port", number),
    }
}

fn ip_protocol(ip: IpProtocol) -> &'static str {
    match ip {
        IpProtocol::V4 => "IPv4",
        IpProtocol::V6 => "IPv6",
    }
}

fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "HTTP",
        Scheme::Https => "HTTPS",
    }
}

pub(super) fn check(check: &Check) -> Value {
    let mut out = Map::new();
    match &check.probe {
        CheckProbe::Http { scheme, path, port } => {
            let mut http = Map::new();
            put_port(&mut http, *port);
            put(&mut http, "path", path.as_str());
            put(&mut http, "scheme", scheme_name(*scheme));
            put(&mut out, "http", http);
        }
        CheckProbe::Tcp { port } => {
            let mut tcp = Map::new();
            put_port(&mut tcp, *port);
            put(&mut out, "tcp", tcp);
        }
        CheckProbe::Exec { command } => {
            put(&mut out, "exec", json!({"command": {"shell": command}}));
        }
    }
    put(&mut out, "intervalSeconds", check.interval_seconds);
    put(&mut out, "timeoutSeconds", check.timeout_seconds);
    put(&mut out, "delaySeconds", check.delay_seconds);
    Value::Object(out)
}

pub(super) fn readiness_check(check: &ReadinessCheck) -> Value {
    json!({
        "name": check.name,
        "protocol": scheme_name(check.scheme),
        "path": check.path,
        "portName": check.port_name,
        "intervalSeconds": check.interval_seconds,
        "timeoutSeconds": check.timeout_seconds,
        "httpStatusCodesForReady": check.http_status_codes_for_ready,
        "preserveLastResponse": check.preserve_last_response,
    })
}
