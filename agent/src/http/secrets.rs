//! What of a task's environment may be shown.
//!
//! Apps pass secrets in their environment, and whoever can reach the agent may read its answers, so
//! a value is shown only where it is known not to be one: where the agent or Marathon made it up. A
//! name alone is not enough where a user could mean something else by it (`PORT_KEY`).

use crate::task::environment;

/// `NAME=value` as it may be shown: `NAME=<hidden>`, unless the value is no secret.
pub fn shown(entry: &str) -> String {
    match entry.split_once('=') {
        Some((name, value)) if !is_open(name, value) => format!("{name}=<hidden>"),
        _ => entry.to_owned(),
    }
}

fn is_open(name: &str, value: &str) -> bool {
    environment::OWN.contains(&name)
        || matches!(name, "HOST" | "MESOS_TASK_ID")
        || (name == "PATH" && value == environment::PATH)
        || (is_of_ports(name) && value.split(',').all(|port| port.parse::<u16>().is_ok()))
        // Labels are among them, which `/state` shows as well.
        || name.starts_with("MARATHON_APP_")
}

/// `PORT`, `PORTS`, `PORT0`, `PORT_8080`, `PORT_ADMIN`.
fn is_of_ports(name: &str) -> bool {
    let rest = name.strip_prefix("PORT");
    rest.is_some_and(|rest| {
        rest == "S" || rest.starts_with('_') || rest.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_the_user_gave_are_hidden_and_generated_ones_shown() {
        let table = [
            ("PASSWORD=geheim", "PASSWORD=<hidden>"),
            ("EMPTY=", "EMPTY=<hidden>"),
            ("EQUAL=a=b", "EQUAL=<hidden>"),
            ("PORT=31000", "PORT=31000"),
            ("PORT0=31000", "PORT0=31000"),
            ("PORTS=31000,31001", "PORTS=31000,31001"),
            ("PORT_ADMIN=31001", "PORT_ADMIN=31001"),
            ("PORT_KEY=a1b2", "PORT_KEY=<hidden>"),
            ("PORT_PIN=123456", "PORT_PIN=<hidden>"),
            ("PORTAL_PIN=1234", "PORTAL_PIN=<hidden>"),
            ("HOST=agent-1", "HOST=agent-1"),
            ("HOST_KEY=x", "HOST_KEY=<hidden>"),
            ("MARATHON_APP_ID=/web", "MARATHON_APP_ID=/web"),
            ("MESOS_SANDBOX=/s", "MESOS_SANDBOX=/s"),
            ("MESOS_TASK_ID=web.1", "MESOS_TASK_ID=web.1"),
            ("MESOS_TOKEN=x", "MESOS_TOKEN=<hidden>"),
            ("PATH=/opt/x", "PATH=<hidden>"),
        ];
        for (entry, wanted) in table {
            assert_eq!(shown(entry), wanted);
        }
        let path = format!("PATH={}", environment::PATH);
        assert_eq!(shown(&path), path);
    }
}
