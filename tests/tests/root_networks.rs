//! Apps with a network of their own, from their JSON to who asks them, on a host whose network is not ours.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::apart::apart;
use tests::eventually;
use tests::local::Local;
use tests::program::{self, Program};

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
        let up = local.start(&["up"]);
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
        local.ends(up, &["/web", "/asks"]).await;
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

/// A named network, whose plugin gives each container one address. What the agent is told of it.
fn blue(local: &Local) -> [String; 2] {
    let place = local.directory().join("cni");
    std::fs::create_dir_all(place.join("conf")).unwrap();
    std::fs::create_dir_all(place.join("bin")).unwrap();
    let script = r#"#!/bin/sh
cat > /dev/null
test "$CNI_COMMAND" = ADD || exit 0
busybox nsenter --net="$CNI_NETNS" busybox ip address add 10.9.0.2/24 dev lo || exit 1
echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.9.0.2/24"}]}'
"#;
    let plugin = place.join("bin/blue");
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let network = r#"{"cniVersion": "1.1.0", "name": "blue", "type": "blue"}"#;
    std::fs::write(place.join("conf/blue.conf"), network).unwrap();
    let place = place.display();
    [
        format!("--network_cni_config_dir={place}/conf"),
        format!("--network_cni_plugins_dir={place}/bin"),
    ]
}

async fn post(local: &Local, app: &Value) {
    let posted = local.scheduler.post("/v2/apps", app).await;
    assert_eq!(posted.status, 201, "{}", posted.text);
}

/// Ports of the host of an app's tasks, once so many run.
async fn ports(local: &Local, app: &str, tasks: usize) -> Vec<u64> {
    eventually("all instances run", || async {
        let text = local.scheduler.json(&format!("/v2/apps{app}/tasks")).await;
        let all = text["tasks"].as_array().cloned().unwrap_or_default();
        let running = all.iter().filter(|task| task["state"] == "TASK_RUNNING");
        match running.count() == tasks {
            true => Ok(all
                .iter()
                .flat_map(|task| task["ports"].as_array().cloned().unwrap_or_default())
                .filter_map(|port| port.as_u64())
                .collect()),
            false => Err(text.to_string()),
        }
    })
    .await
}

#[test]
fn root_a_command_that_is_executed_in_a_task_has_the_tasks_network_whichever_that_is() {
    apart(|| async {
        let local = Local::new("exec");
        let [described, plugins] = blue(&local);
        let v6 = "--bridge_subnet_v6=fd00:211::/64";
        let up = local.start(&["up", &described, &plugins, v6]);
        local.scheduler.ready("/v2/apps").await;
        let named = |name: &str| json!([{"mode": "container", "name": name}]);
        let table = [
            (
                "/host",
                json!([{"mode": "host"}]),
                vec!["127.0.0.1/8"],
                "10.9.0",
            ),
            (
                "/bridged",
                json!([{"mode": "container/bridge"}]),
                vec!["inet 10.211.0.2/32", "inet6 fd00:211::2/128"],
                "10.9.0",
            ),
            ("/none", named("none"), vec!["127.0.0.1/8"], "eth0"),
            ("/blue", named("blue"), vec!["10.9.0.2/24"], "10.211.0"),
        ];
        for (app, networks, wanted, unwanted) in &table {
            let cmd = "exec sleep 1000";
            let body = json!({"id": app, "cmd": cmd, "cpus": 0.1, "mem": 32, "networks": networks});
            post(&local, &body).await;
            ports(&local, app, 1).await;
            let mut exec = Command::new(program::longshore());
            let agent = format!("--agent={}", local.agent());
            let look = "busybox ip -o address show";
            let look = ["exec", &agent, app, "sh", "-c", look];
            let shown = exec.args(look).stdin(Stdio::null()).output().unwrap();
            let text = String::from_utf8_lossy(&shown.stdout).into_owned();
            assert!(shown.status.success(), "{app}: {shown:?}");
            for wanted in wanted {
                assert!(text.contains(wanted), "{app}: {text}");
            }
            assert!(!text.contains(unwanted), "{app}: {text}");
        }
        let apps: Vec<_> = table.iter().map(|(app, ..)| *app).collect();
        local.ends(up, &apps).await;
    });
}

/// A page by tcp, and what comes by udp is sent back, at the same port.
const SERVES_BOTH: &str = r#"
echo page > index.html
perl -e 'socket(S, 2, 2, 17) && bind(S, pack("S n a4 x8", 2, 80, "\0" x 4)) or die $!;
    send(S, "echo of $d", 0, $from) while $from = recv(S, $d, 99, 0)' &
exec busybox httpd -f -p 80
"#;

/// Once somebody listens: until then nobody answers.
async fn echo(address: &str) -> String {
    eventually("somebody sends it back", || async {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(address).unwrap();
        let wait = Duration::from_secs(2);
        socket.set_read_timeout(Some(wait)).unwrap();
        let mut buffer = [0; 64];
        let answer = socket.send(b"hello").and_then(|_| socket.recv(&mut buffer));
        let length = answer.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
    .await
}

#[test]
fn root_ports_come_from_all_ranges_and_not_where_somebody_else_has_them_until_none_is_left() {
    apart(|| async {
        let local = Local::new("ports");
        let offered = "--resources=cpus:4;mem:2048;disk:1024;ports:[31000-31000,31010-31011]";
        let up = local.start(&["up", offered]);
        local.scheduler.ready("/v2/apps").await;
        let listener = TcpListener::bind("0.0.0.0:31000").unwrap();
        let bridged = |app: &str, port: u16, protocol: &str| {
            json!({"id": app, "cmd": "exec busybox httpd -f -p 80", "cpus": 0.1, "mem": 32,
                   "networks": [{"mode": "container/bridge"}], "container": {"type": "MESOS",
                   "portMappings": [{"containerPort": 80, "hostPort": port, "protocol": protocol}]}})
        };
        let mut fixed = bridged("/fixed", 31010, "udp,tcp");
        fixed["cmd"] = json!(SERVES_BOTH);
        post(&local, &fixed).await;
        assert_eq!(ports(&local, "/fixed", 1).await, [31010]);
        for address in ["127.0.0.1:31010", "10.211.0.1:31010"] {
            assert_eq!(page(address).await, "page\n", "{address}");
            assert_eq!(echo(address).await, "echo of hello", "{address}");
        }
        // Whether it tries 31000 first, or not.
        post(&local, &bridged("/any", 0, "tcp")).await;
        assert_eq!(ports(&local, "/any", 1).await, [31011]);

        let hosts = json!({"id": "/hosts", "cmd": "exec busybox httpd -f -p $PORT0", "cpus": 0.1, "mem": 32,
            "portDefinitions": [{"port": 31000, "protocol": "tcp"}], "requirePorts": true});
        post(&local, &hosts).await;
        eventually("it says who has its port", || async {
            let app = local.scheduler.json("/v2/apps/hosts").await;
            let message = app["app"]["lastTaskFailure"]["message"].to_string();
            let us = format!(
                "port 31000/tcp of this host is in use by process {} (",
                std::process::id()
            );
            match message.contains(&us) {
                true => Ok(()),
                false => Err(app.to_string()),
            }
        })
        .await;
        drop(listener);
        assert_eq!(ports(&local, "/hosts", 1).await, [31000]);

        post(&local, &bridged("/late", 0, "udp")).await;
        eventually("it is told that no port is left", || async {
            let queue = local.scheduler.json("/v2/queue").await;
            let summary = &queue["queue"][0]["processedOffersSummary"]["rejectSummaryLastOffers"];
            let all = summary.as_array().cloned().unwrap_or_default();
            let is_why = |it: &Value| it["reason"] == "InsufficientPorts" && it["declined"] != 0;
            match all.iter().any(is_why) {
                true => Ok(()),
                false => Err(queue.to_string()),
            }
        })
        .await;
        let removed = local.scheduler.delete("/v2/apps/fixed").await;
        assert_eq!(removed.status, 200, "{}", removed.text);
        assert_eq!(ports(&local, "/late", 1).await, [31010]);
        local.ends(up, &["/any", "/hosts", "/late"]).await;
    });
}
