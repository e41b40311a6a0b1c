//! How an engine's container ended, and what it tells while it runs, in the words of tasks. Pure.

use containerizer::{Death, ExitStatus, OutOfMemory, Termination};
use engine::{Inspected, State};
use proto::v1::{self, TaskState, TaskStatus};
use serde_json::Value;

use super::{Container, hidden};
use crate::networks::address;
use crate::task::ending::Report;

/// `None`: the engine does not know it any more, and nobody can tell how it ended.
pub fn termination(inspected: Option<&Inspected>) -> Termination {
    let Some(inspected) = inspected else {
        return Termination {
            status: None,
            out_of_memory: None,
            death: Death::default(),
            leftovers: vec![],
        };
    };
    let State {
        exit_code,
        oom_killed,
        ..
    } = inspected.state;
    Termination {
        // A signal is told as 128 and its number, as a shell does.
        status: Some(ExitStatus::Exited(exit_code.try_into().unwrap_or(255))),
        out_of_memory: oom_killed.then(|| out_of_memory(&inspected.whole)),
        death: Death::default(),
        leftovers: vec![],
    }
}

/// It had all that it may have.
fn out_of_memory(whole: &Value) -> OutOfMemory {
    let limit = whole.pointer("/HostConfig/Memory").and_then(Value::as_u64);
    let limit = limit.filter(|limit| *limit > 0);
    OutOfMemory {
        limit,
        peak: limit.unwrap_or_default(),
        victim: None,
        largest: vec![],
        usage: None,
        pressure: None,
    }
}

/// Mesos' own, on which tools match.
pub fn in_dockers_words(mut report: Report) -> Report {
    if let Some(message) = &mut report.message
        && let Some(rest) = message.strip_prefix("Command ")
    {
        *message = format!("Container {rest}");
    }
    report
}

/// Adds what clients of Docker look for in a status: all that the engine tells, and where it is reached.
pub fn describe(container: &Container, status: &mut TaskStatus) {
    let Some(inspected) = container.inspected() else {
        return;
    };
    if status.state() == TaskState::TaskRunning {
        let told = hidden::without_secrets(inspected.whole.clone());
        status.data = Some(Value::from(vec![told]).to_string().into());
    }
    let infos = infos(&inspected);
    if let Some(told) = &mut status.container_status
        && !infos.is_empty()
    {
        told.network_infos = infos;
    }
}

/// Empty of one that has the host's network.
fn infos(inspected: &Inspected) -> Vec<v1::NetworkInfo> {
    let one = |(name, found): (&String, &engine::Address)| {
        let addresses = [&found.v4, &found.v6].into_iter();
        v1::NetworkInfo {
            name: Some(name.clone()),
            ip_addresses: addresses
                .filter_map(|ip| ip.parse().ok())
                .map(address)
                .collect(),
            ..Default::default()
        }
    };
    let own = inspected
        .addresses
        .iter()
        .filter(|(name, _)| *name != "host");
    own.map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::ending::by_itself;

    fn inspected(state: Value, networks: Value) -> Inspected {
        let told = json!({
            "Id": "abc", "State": state, "NetworkSettings": {"Networks": networks},
            "HostConfig": {"Memory": 64 << 20},
        });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn an_end_is_told_as_mesos_tells_it() {
        let table = [
            (
                json!({"Status": "exited", "ExitCode": 0}),
                TaskState::TaskFinished,
                "Container exited with status 0",
            ),
            (
                json!({"Status": "exited", "ExitCode": 7}),
                TaskState::TaskFailed,
                "Container exited with status 7",
            ),
            (
                json!({"Status": "exited", "ExitCode": 137, "OOMKilled": true}),
                TaskState::TaskFailed,
                "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB",
            ),
        ];
        for (state, wanted, message) in table {
            let ended = termination(Some(&inspected(state, json!({}))));
            let report = in_dockers_words(by_itself(&ended));
            assert_eq!(report.state, wanted);
            assert!(
                report.message.as_deref().unwrap().starts_with(message),
                "{report:?}"
            );
        }
        let gone = by_itself(&termination(None));
        assert_eq!(gone.state, TaskState::TaskFailed);
    }

    #[test]
    fn addresses_are_told_of_networks_of_its_own_only() {
        let of = |networks| infos(&inspected(json!({"Status": "running"}), networks));
        let bridged = of(json!({"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}));
        assert_eq!(bridged[0].name(), "bridge");
        let addresses: Vec<_> = bridged[0]
            .ip_addresses
            .iter()
            .map(|it| it.ip_address())
            .collect();
        assert_eq!(addresses, ["172.17.0.2"]);
        assert!(of(json!({"host": {"IPAddress": ""}})).is_empty());
        assert!(
            of(json!({"none": {"IPAddress": ""}}))[0]
                .ip_addresses
                .is_empty()
        );
    }
}
