//! What is written down of a container's network is damaged while its task runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::named::end_of;
use super::*;

/// What may lie where a record was.
const DAMAGES: &[fn(&Path)] = &[
    |file| {
        let text = fs::read_to_string(file).unwrap();
        // Another port, which the checksum alone can tell.
        fs::write(file, text.replacen("31000", "31002", 1)).unwrap();
    },
    |file| {
        let text = fs::read(file).unwrap();
        fs::write(file, &text[..text.len() / 2]).unwrap();
    },
    |file| {
        fs::remove_file(file).unwrap();
        nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    },
    |file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    },
    |file| {
        fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", file).unwrap();
    },
    |file| {
        let file = File::create(file).unwrap();
        file.set_len(1 << 40).unwrap();
    },
];

/// Of the only container that has one.
fn lease_file(node: &Node) -> PathBuf {
    let containers = leases(node);
    assert_eq!(containers.len(), 1, "{containers:?}");
    let directory = crate::paths::network(&node.flags.runtime_dir);
    directory.join(&containers[0]).join("lease.json")
}

async fn refusal(node: &mut Node, file: &Path) {
    node.flags.strict = true;
    let error = start(node.flags.clone()).await.unwrap_err();
    let error = proto::error::chain(&error);
    for wanted in ["start with --strict=false", &file.display().to_string()] {
        assert!(error.contains(wanted), "{error}");
    }
    assert_eq!(got("127.0.0.1:31000"), "web");
}

/// The task has what it had, and nobody else gets any of it, until it ends.
async fn goes_on(node: &Node, link: &mut FakeLink) {
    assert_eq!(got("127.0.0.1:31000"), "web");
    node.is_as_recorded().await;
    link.say(run(bridged("next", 1, &server("next")))).await;
    let address = addresses(&runs(link).await)[0].to_owned();
    assert_ne!(address, "10.211.0.2");
    assert_eq!(got("127.0.0.1:31001"), "next");
    assert_eq!(got("127.0.0.1:31000"), "web");
    let same = bridged("same", 0, "true");
    link.say(run(same)).await;
    let failed = end_of("same", link).await;
    assert_eq!(failed.state(), TaskState::TaskFailed, "{failed:?}");
    assert!(failed.message().contains("port 31000"), "{failed:?}");
    link.say(kill("next")).await;
    assert_eq!(end_of("next", link).await.state(), TaskState::TaskKilled);
}

async fn ends(node: &Node, link: &mut FakeLink) {
    link.say(kill("web")).await;
    assert_eq!(end_of("web", link).await.state(), TaskState::TaskKilled);
    assert_eq!(leases(node), Vec::<String>::new());
    assert!(TcpStream::connect("127.0.0.1:31000").is_err());
    node.is_as_recorded().await;
}

#[test]
fn root_a_task_whose_lease_is_damaged_keeps_its_network_and_its_agent_says_so() {
    apart(|| async {
        for damage in DAMAGES {
            // Of its own: what an earlier one says again would be in the way.
            let mut node = node().await;
            let (handle, link) = serving(&mut node).await;
            stop(handle, link).await;
            let file = lease_file(&node);
            damage(&file);
            refusal(&mut node, &file).await;

            node.flags.strict = false;
            let (handle, mut link) = node.start().await;
            assert!(
                file.with_extension("json.damaged-0")
                    .symlink_metadata()
                    .is_ok()
            );
            let metrics = get(&handle, "/metrics/snapshot").await;
            assert_eq!(metrics["slave/recovery_errors"], 1.0);
            let state = get(&handle, "/state").await;
            let task = &state["frameworks"][0]["executors"][0]["tasks"][0];
            let status = task["statuses"].as_array().unwrap().last().unwrap();
            let network = &status["container_status"]["network_infos"][0];
            assert_eq!(network["ip_addresses"][0]["ip_address"], "10.211.0.2");
            goes_on(&node, &mut link).await;
            stop(handle, link).await;

            // It was told once. The next agent knows no more than this one, and does as it did.
            node.flags.strict = true;
            let (handle, mut link) = node.start().await;
            assert_eq!(got("127.0.0.1:31000"), "web");
            ends(&node, &mut link).await;
            node.end(handle).await;
        }
    });
}

#[test]
fn root_a_task_of_whose_lease_nothing_is_left_keeps_its_network() {
    apart(|| async {
        let mut node = node().await;
        let (handle, link) = serving(&mut node).await;
        stop(handle, link).await;
        let file = lease_file(&node);
        // As an agent of an earlier version has left it.
        fs::remove_file(file.with_file_name("link")).unwrap();
        fs::write(&file, "").unwrap();
        refusal(&mut node, &file).await;
        node.flags.strict = false;
        let (handle, mut link) = node.start().await;
        goes_on(&node, &mut link).await;
        ends(&node, &mut link).await;
        node.end(handle).await;
    });
}

#[test]
fn root_a_lease_of_an_earlier_version_is_taken_over_and_one_of_a_later_is_refused() {
    apart(|| async {
        let mut node = node().await;
        let (handle, link) = serving(&mut node).await;
        stop(handle, link).await;
        let file = lease_file(&node);
        let whole = fs::read_to_string(&file).unwrap();
        let newer = whole.replacen("\"version\":1", "\"version\":2", 1);
        let object = newer.split_once(",\"crc32\"").unwrap().0;
        let newer = state::sealed::seal(format!("{object}}}").into_bytes());
        fs::write(&file, newer).unwrap();
        for strict in [true, false] {
            node.flags.strict = strict;
            let error = start(node.flags.clone()).await.unwrap_err();
            let error = proto::error::chain(&error);
            assert!(error.contains("is of version 2"), "{error}");
        }
        let mut old: Value = serde_json::from_str(&whole).unwrap();
        let members = old.as_object_mut().unwrap();
        members.retain(|name, _| name != "version" && name != "crc32");
        fs::write(&file, old.to_string()).unwrap();
        node.flags.strict = true;
        let (handle, mut link) = node.start().await;
        assert_eq!(got("127.0.0.1:31000"), "web");
        ends(&node, &mut link).await;
        node.end(handle).await;
    });
}
