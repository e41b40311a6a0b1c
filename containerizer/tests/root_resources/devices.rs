//! Which devices a container can use: from inside.

use serde_json::json;

use crate::support::{Host, resources, until};

/// Device 60:7 is of a range that no driver of any kernel has, so that whoever may open it is told that
/// it is not there; 1:3 is null. To make one is always allowed.
const TRY: &str = "mknod none c 60 7 && mknod null c 1 3 && echo made
    echo x >null && echo null written
    : <none
    : >none";

const NOT_PERMITTED: &str = "Operation not permitted";
const NO_DEVICE: &str = "No such device or address";

async fn tried(name: &str, devices: serde_json::Value) -> Vec<String> {
    let host = Host::new(name);
    let said = host.output(TRY, json!({ "devices": devices })).await;
    host.finish();
    reasons(&said)
}

fn reasons(said: &str) -> Vec<String> {
    let lines = said.strip_prefix("made\nnull written\n");
    let lines = lines.unwrap_or_else(|| panic!("{said}")).lines();
    let reason = |line: &str| line.rsplit(": ").next().map(str::to_owned);
    lines.filter_map(reason).collect()
}

#[tokio::test]
async fn root_a_task_can_use_the_usual_devices_and_no_other() {
    let host = Host::new("task");
    let container = host.launch_spec(host.task(TRY)).await.expect("launches");
    let said = host.to_the_end(&container).await;
    assert_eq!(reasons(&said), [NOT_PERMITTED, NOT_PERMITTED]);
    host.finish();
}

#[tokio::test]
async fn root_without_a_list_a_container_uses_any_device() {
    assert_eq!(tried("nolist", json!([])).await, [NO_DEVICE, NO_DEVICE]);
}

#[tokio::test]
async fn root_a_list_denies_what_it_does_not_name_but_the_usual_devices() {
    let deny_all = json!([{"allow": false, "access": "rwm"}]);
    assert_eq!(
        tried("list", deny_all).await,
        [NOT_PERMITTED, NOT_PERMITTED]
    );
}

#[tokio::test]
async fn root_a_list_allows_what_it_names_as_it_names_it() {
    let to_read = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 60, "minor": 7, "access": "r"},
    ]);
    assert_eq!(tried("named", to_read).await, [NO_DEVICE, NOT_PERMITTED]);
}

#[tokio::test]
async fn root_the_list_of_a_running_container_can_be_changed() {
    let host = Host::new("changed");
    let command = "mknod none c 60 7
        while :; do : <none; sleep 0.05; done";
    let list = |allow| {
        json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": allow, "type": "c", "major": 60, "minor": 7, "access": "rw"},
        ]})
    };
    let container = host.launched(command, list(false)).await;
    for allow in [false, true, false, false] {
        container.update(&resources(list(allow))).expect("changes");
        let before = host.said().len();
        let wanted = if allow { NO_DEVICE } else { NOT_PERMITTED };
        until(wanted, || {
            // The first may have been tried before the change.
            let said = host.said().split_off(before);
            said.lines().nth(1).is_some() && said.trim_end().ends_with(wanted)
        })
        .await;
    }
    host.end(&container).await;
    host.finish();
}
