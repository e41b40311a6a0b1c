//! Apps with a network of their own, from their JSON to who asks them, on a host whose network is not ours.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::apart::apart;
use tests::eventually;
use tests::local::Local;
use tests::program::Program;

fn busybox(words: &[&str]) -> String {
    let output = std::process::Command::new("busybox")
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn web() -> Value {
    json!({
        "id": "/web",
        "cmd": "echo page of $PORT0 > index.html; exec busybox httpd -f -p 8080",
        "cpus": 0.1, "mem": 32, "instances": 2,
        "networks": [{"mode": "container/bridge"}],
        "container": {"type": "MESOS", "portMappings": [
            {"containerPort": 8080, "hostPort": 0, "protocol": "tcp", "name": "http"}
        ]}
    })
}

/// Port of the host and address of each instance that runs.
async fn running(local: &Local, instances: usize) -> Vec<(u64, String)> {
    eventually("all instances run", || async {
        let tasks = local.scheduler.json("/v2/apps/web/tasks").await;
        let tasks = tasks["tasks"].as_array().cloned().unwrap_or_default();
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        let all: Vec<_> = running
            .filter_map(|task| {
                let ip = task["ipAddresses"][0]["ipAddress"].as_str()?;
                Some((task["ports"][0].as_u64()?, ip.to_owned()))
            })
            .collect();
        match all.len() == instances {
            true => Ok(all),
            false => Err(format!("{tasks:?}")),
        }
    })
    .await
}

async fn page(address: &str) -> String {
    eventually("somebody answers", || async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}/")).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    })
    .await
}

#[test]
fn root_an_app_on_the_bridge_is_reached_by_its_ports_and_cleaned_up_after() {
    apart(|| async {
        let local = Local::new("bridge");
        let mut up = local.start(&["up"]);
        local.scheduler.ready("/v2/apps").await;
        let posted = local.scheduler.post("/v2/apps", &web()).await;
        assert_eq!(posted.status, 201, "{}", posted.text);
        let instances = running(&local, 2).await;
        assert_ne!(instances[0], instances[1]);
        for (port, ip) in &instances {
            assert!((31000..=32000).contains(port), "{port}");
            assert!(ip.starts_with("10.211.0."), "{ip}");
            let written = format!("page of {port}\n");
            assert_eq!(page(&format!("127.0.0.1:{port}")).await, written);
            assert_eq!(page(&format!("{ip}:8080")).await, written);
        }
        let port = instances[0].0;
        let asks = json!({
            "id": "/asks",
            "cmd": format!("busybox wget -q -O - http://10.211.0.1:{port}/; sleep 1000"),
            "cpus": 0.1, "mem": 32, "networks": [{"mode": "container/bridge"}]
        });
        let posted = local.scheduler.post("/v2/apps", &asks).await;
        assert_eq!(posted.status, 201, "{}", posted.text);
        let sandboxes = local.directory().join("work/slaves");
        eventually("another container has asked", || async {
            let words = [
                "grep",
                "-rlx",
                &format!("page of {port}"),
                &sandboxes.display().to_string(),
            ]
            .map(str::to_owned);
            let found = std::process::Command::new("busybox")
                .args(&words)
                .output()
                .unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            match found.lines().any(|file| file.ends_with("/stdout")) {
                true => Ok(()),
                false => Err(found),
            }
        })
        .await;
        for app in ["web", "asks"] {
            let removed = local.scheduler.delete(&format!("/v2/apps/{app}")).await;
            assert_eq!(removed.status, 200, "{}", removed.text);
        }
        eventually("its tasks have ended", || async {
            match local.processes().is_empty() {
                true => Ok(()),
                false => Err("some run".to_owned()),
            }
        })
        .await;
        up.signal(Signal::SIGINT);
        up.wait();
        local.nothing_left().await;
        assert!(busybox(&["ip", "link"]).contains("longshore0"));
        cleanup(local.directory());
        assert_eq!(busybox(&["ip", "-o", "link"]).lines().count(), 1);
    });
}

fn cleanup(place: &Path) {
    let arguments = [
        "cleanup".to_owned(),
        format!("--work_dir={}", place.join("work").display()),
        format!("--runtime_dir={}", place.join("run").display()),
    ];
    let mut cleanup = Program::start("cleanup", &arguments, place);
    let status = cleanup.wait();
    assert!(status.success(), "{}", cleanup.output());
}
