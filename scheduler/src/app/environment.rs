//! The environment that an app gives its tasks. Source: spec/marathon-api.md section 5.

use std::collections::BTreeMap;

use super::container::ContainerKind;
use super::ports::{self, PortRequest};
use super::{App, EnvValue};

/// Labels whose name and value together are this long or longer are left out, in bytes.
const LONGEST_LABEL: usize = 512;

/// Every variable of one task: generated ones, then the user's own, which win.
///
/// `host_ports` are the ports the task was given, in the order of [`ports::requested`], without
/// the ports that are not reachable through the host. Variables that are secrets are left out: see [`secrets`].
pub fn task_env(
    app: &App,
    version: &str,
    host: &str,
    host_ports: &[u16],
    task_id: &str,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    env.insert("HOST".to_owned(), host.to_owned());
    env.insert("MESOS_TASK_ID".to_owned(), task_id.to_owned());
    env.extend(of_ports(&ports::requested(app), host_ports, task_id));
    env.extend(of_app(app, version));
    env.extend(of_labels(&app.labels));
    env.extend(app.env.iter().filter_map(|(name, value)| match value {
        EnvValue::Text(text) => Some((name.clone(), text.clone())),
        EnvValue::Secret(_) => None,
    }));
    env.retain(|name, _| !matches!(app.env.get(name), Some(EnvValue::Secret(_))));
    env
}

/// The variables that are secrets, each with its source.
pub fn secrets(app: &App) -> BTreeMap<&str, &str> {
    let all = app.env.iter().filter_map(|(name, value)| match value {
        EnvValue::Text(_) => None,
        EnvValue::Secret(secret) => Some((name.as_str(), app.secrets.get(secret)?.as_str())),
    });
    all.collect()
}

fn of_ports(
    requests: &[PortRequest],
    host_ports: &[u16],
    task_id: &str,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut all = Vec::new();
    for (i, (request, host_port)) in ports::assigned(requests, host_ports)
        .into_iter()
        .enumerate()
    {
        let port = match (host_port, request.container_port) {
            (Some(port), _) => port,
            (None, 0) => made_up_port(task_id, i),
            (None, port) => port,
        };
        let text = port.to_string();
        env.insert(format!("PORT{i}"), text.clone());
        env.insert(
            format!("PORT_{}", request.wanted_number().unwrap_or(port)),
            text.clone(),
        );
        if let Some(name) = &request.name {
            let name = name.to_uppercase();
            // Shells cannot read a name with a hyphen, but programs that ask for it exist.
            env.insert(format!("PORT_{}", variable(&name)), text.clone());
            env.insert(format!("PORT_{name}"), text.clone());
        }
        all.push(text);
    }
    if let Some(first) = all.first() {
        env.insert("PORT".to_owned(), first.clone());
        env.insert("PORTS".to_owned(), all.join(","));
    }
    env
}

/// A port for a container with an address of its own that asks for any: the same for the same
/// task, 1025 or above.
fn made_up_port(task_id: &str, index: usize) -> u16 {
    let seed = u32::try_from(index).unwrap_or(u32::MAX);
    let hash = task_id.bytes().fold(seed, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let span = u32::from(u16::MAX) - 1025;
    1025 + u16::try_from(hash % span).unwrap_or_default()
}

fn of_app(app: &App, version: &str) -> Vec<(String, String)> {
    let image = app
        .container
        .as_ref()
        .filter(|container| container.kind == ContainerKind::Docker)
        .and_then(|container| container.docker.as_ref())
        .map(|docker| ("DOCKER_IMAGE", docker.image.clone()));
    let label_names: Vec<String> = app.labels.keys().map(|name| label_variable(name)).collect();
    [
        ("ID", app.id.to_string()),
        ("VERSION", version.to_owned()),
        // `{:?}` keeps the fraction of whole amounts: 64.0.
        ("RESOURCE_CPUS", format!("{:?}", app.cpus)),
        ("RESOURCE_MEM", format!("{:?}", app.mem)),
        ("RESOURCE_DISK", format!("{:?}", app.disk)),
        ("RESOURCE_GPUS", app.gpus.to_string()),
        ("LABELS", label_names.join(" ")),
        ("ENFORCE_GROUP_ROLE", "FALSE".to_owned()),
    ]
    .into_iter()
    .chain(image)
    .map(|(name, value)| (format!("MARATHON_APP_{name}"), value))
    .collect()
}

fn of_labels(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + '_ {
    labels
        .iter()
        .filter(|(name, value)| name.len() + value.len() < LONGEST_LABEL)
        .map(|(name, value)| {
            (
                format!("MARATHON_APP_LABEL_{}", label_variable(name)),
                value.clone(),
            )
        })
}

fn label_variable(name: &str) -> String {
    variable(&name.to_uppercase())
}

/// `text` with everything that a shell does not take in a variable's name replaced.
fn variable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn env_of(body: Value, host_ports: &[u16]) -> BTreeMap<String, String> {
        let app = App::create(&body).unwrap();
        task_env(
            &app,
            "2026-01-01T00:00:00.000Z",
            "agent-1",
            host_ports,
            "web.1",
        )
    }

    fn ports_of(env: &BTreeMap<String, String>) -> Vec<String> {
        let ports = env.iter().filter(|(name, _)| name.starts_with("PORT"));
        ports
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn ports_of_the_host_network() {
        let body = json!({"id": "web", "cmd": "true", "portDefinitions": [
            {"port": 8080, "name": "http-api"}, {"port": 0, "name": "admin"},
        ]});
        assert_eq!(
            ports_of(&env_of(body, &[31000, 31001])),
            [
                "PORT=31000",
                "PORT0=31000",
                "PORT1=31001",
                "PORTS=31000,31001",
                "PORT_31001=31001",
                "PORT_8080=31000",
                "PORT_ADMIN=31001",
                "PORT_HTTP-API=31000",
                "PORT_HTTP_API=31000",
            ]
        );
    }

    #[test]
    fn ports_of_a_bridge_are_host_ports_by_container_port() {
        let body = json!({"id": "web", "container": {"type": "DOCKER", "docker": {
            "image": "i", "network": "BRIDGE",
            "portMappings": [{"containerPort": 80, "hostPort": 0}, {"containerPort": 0}],
        }}});
        assert_eq!(
            ports_of(&env_of(body, &[31000, 31001])),
            [
                "PORT=31000",
                "PORT0=31000",
                "PORT1=31001",
                "PORTS=31000,31001",
                "PORT_31001=31001",
                "PORT_80=31000",
            ]
        );
    }

    #[test]
    fn container_only_ports_are_container_ports() {
        let body = json!({"id": "web", "networks": [{"mode": "container", "name": "n"}],
            "container": {"type": "MESOS", "docker": {"image": "i"},
                          "portMappings": [{"containerPort": 80}, {"containerPort": 0}]}});
        let env = env_of(body, &[]);
        assert_eq!((env["PORT0"].as_str(), env["PORT"].as_str()), ("80", "80"));
        assert!(env["PORT1"].parse::<u16>().unwrap() >= 1025);
    }

    #[test]
    fn a_variable_that_is_a_secret_is_told_by_its_source_alone() {
        let body = json!({"id": "web", "cmd": "true", "secrets": {"db": {"source": "/team/db"}},
            "env": {"PASSWORD": {"secret": "db"}, "HOST": {"secret": "db"}, "A": "b"}});
        let env = env_of(body.clone(), &[]);
        assert_eq!(env["A"], "b");
        assert!(!env.contains_key("PASSWORD") && !env.contains_key("HOST"));
        let app = App::create(&body).unwrap();
        let told = [("HOST", "/team/db"), ("PASSWORD", "/team/db")];
        assert_eq!(secrets(&app), told.into());
    }

    #[test]
    fn an_app_without_ports_has_no_port_variables() {
        let env = env_of(
            json!({"id": "web", "cmd": "true", "portDefinitions": []}),
            &[],
        );
        assert_eq!(ports_of(&env), Vec::<String>::new());
    }

    #[test]
    fn an_app_is_described_to_its_tasks() {
        let env = env_of(
            json!({"id": "/prod/web", "cmd": "true", "cpus": 0.5, "mem": 64, "labels": {
                "VIP_0": "1.2.3.4:80", "team-name": "a", "huge": "x".repeat(600),
            }}),
            &[31000],
        );
        for (name, value) in [
            ("HOST", "agent-1"),
            ("MESOS_TASK_ID", "web.1"),
            ("MARATHON_APP_ID", "/prod/web"),
            ("MARATHON_APP_VERSION", "2026-01-01T00:00:00.000Z"),
            ("MARATHON_APP_RESOURCE_CPUS", "0.5"),
            ("MARATHON_APP_RESOURCE_MEM", "64.0"),
            ("MARATHON_APP_RESOURCE_DISK", "0.0"),
            ("MARATHON_APP_RESOURCE_GPUS", "0"),
            ("MARATHON_APP_LABELS", "VIP_0 HUGE TEAM_NAME"),
            ("MARATHON_APP_LABEL_VIP_0", "1.2.3.4:80"),
            ("MARATHON_APP_LABEL_TEAM_NAME", "a"),
            ("MARATHON_APP_ENFORCE_GROUP_ROLE", "FALSE"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!env.contains_key("MARATHON_APP_LABEL_HUGE"));
        assert!(!env.contains_key("MARATHON_APP_DOCKER_IMAGE"));
    }

    #[test]
    fn the_users_own_variables_win() {
        let body = json!({"id": "web", "cmd": "true", "env": {"PORT": "1", "N": 2, "T": true}});
        let env = env_of(body, &[31000]);
        assert_eq!((&*env["PORT"], &*env["N"], &*env["T"]), ("1", "2", "true"));
        assert_eq!(env["PORT0"], "31000");
    }
}
