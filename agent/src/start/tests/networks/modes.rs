//! What a task can rely on, whichever network it has.

use std::collections::BTreeSet;

use proto::task::is_terminal;

use super::super::checks::{by_command, by_http};
use super::named::{Described, GIVES, joining, nothing_is_connected};
use super::*;

/// Serves its name on port 80, and is looked at by a command within and by HTTP from the agent.
fn looked_at(id: &str, networks: &[&str]) -> v1::TaskInfo {
    let serve = format!("echo {id} > name; exec busybox httpd -f -p 80");
    let mut task = joining(id, networks, &serve);
    let look = format!("test \"$(busybox wget -q -O - http://127.0.0.1/name)\" = {id}");
    task.health_check = Some(by_command(&look));
    task.check = Some(by_http(80, "/name"));
    task
}

fn answered(update: &TaskStatus) -> Option<u32> {
    update.check_status?.http?.status_code
}

#[test]
fn root_checks_by_command_and_by_http_reach_a_task_in_every_network_mode() {
    apart(|| async {
        let mut node = node().await;
        let described = Described::of(&mut node);
        described.plugin("blue", GIVES);
        let (handle, mut link) = node.start().await;
        let modes: [(&str, &[&str]); 5] = [
            ("host", &[]),
            ("bridge", &["mesos-bridge"]),
            ("none", &["none"]),
            ("named", &["blue"]),
            ("several", &["mesos-bridge", "blue"]),
        ];
        let mut unseen = BTreeSet::new();
        for (id, networks) in modes {
            link.say(run(looked_at(id, networks))).await;
            unseen.insert(id.to_owned());
        }
        while !unseen.is_empty() {
            let update = link.update().await;
            assert!(!is_terminal(update.state()), "{update:?}");
            if (update.healthy, answered(&update)) == (Some(true), Some(200)) {
                unseen.remove(&update.task_id.value);
            }
        }
        let mut left = BTreeSet::new();
        for (id, _) in modes {
            link.say(kill(id)).await;
            left.insert(id.to_owned());
        }
        while !left.is_empty() {
            let update = link.update().await;
            if is_terminal(update.state()) {
                assert_eq!(update.state(), TaskState::TaskKilled, "{update:?}");
                left.remove(&update.task_id.value);
            }
        }
        nothing_is_connected(&node).await;
        node.end(handle).await;
    });
}
