//! Tasks with a network of their own, on a host whose network is not ours.

mod damaged;
mod egress;
mod ipv6;
mod many;
mod modes;
mod named;
mod plugins;
mod refused;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use network::{Node as Bridge, Settings};
use proto::v1::TaskState;

use super::*;

/// Runs `work` where nothing of this machine's network is seen or changed. All threads that come of this one
/// are there, too.
pub fn apart<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    let body = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let up = std::process::Command::new("busybox")
            .args(["ip", "link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work());
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn mapping(host_port: u32, protocol: &str) -> v1::network_info::PortMapping {
    v1::network_info::PortMapping {
        host_port,
        container_port: 80,
        protocol: Some(protocol.to_owned()),
    }
}

/// A task on the bridge that holds port 31000 + `at`, by both protocols.
fn bridged(id: &str, at: u32, command: &str) -> v1::TaskInfo {
    let port = 31000 + at;
    let mut task = task(id, command);
    task.resources = Resources::parse(&format!("cpus:0.1;mem:32;ports:[{port}-{port}]"), "*")
        .unwrap()
        .to_protos();
    task.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        network_infos: vec![v1::NetworkInfo {
            name: Some("mesos-bridge".to_owned()),
            port_mappings: vec![mapping(port, "tcp"), mapping(port, "udp")],
            ..Default::default()
        }],
        ..Default::default()
    });
    task
}

/// Says its name to who connects by tcp, and sends back what comes by udp.
fn server(name: &str) -> String {
    let echo = r#"perl -e 'socket(S,2,2,17) && bind(S,pack("S n a4 x8",2,80,"\0"x4)) or die $!;
                  send(S,$d,0,$from) while $from=recv(S,$d,99,0)'"#;
    format!("echo {name} > index.html; {echo} & exec busybox httpd -f -p 80")
}

/// An agent on the node, and a task on its bridge whose page is at port 31000.
async fn serving(node: &mut Node) -> (Handle, FakeLink) {
    let (handle, mut link) = node.start().await;
    link.say(run(bridged("web", 0, &server("web")))).await;
    runs(&mut link).await;
    assert_eq!(got("127.0.0.1:31000"), "web");
    (handle, link)
}

/// Until somebody is there: a task runs before its server listens.
pub fn got(address: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        match answer {
            Ok(text) if text.contains("200 OK") => {
                return text.lines().last().unwrap_or_default().to_owned();
            }
            answer if Instant::now() > deadline => panic!("{address}: {answer:?}"),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn echoed(address: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let wait = Duration::from_millis(200);
    socket.set_read_timeout(Some(wait)).unwrap();
    let mut buffer = [0; 16];
    (0..300).any(|_| {
        socket.send_to(b"hello", address).unwrap();
        matches!(socket.recv_from(&mut buffer), Ok((5, _)) if buffer.starts_with(b"hello"))
    })
}

pub async fn runs(link: &mut FakeLink) -> TaskStatus {
    let mut update = link.update().await;
    // Of one before it, when the agent was stopped before it heard that this is known.
    while update.state() == TaskState::TaskRunning {
        update = link.update().await;
    }
    assert_eq!(update.state(), TaskState::TaskStarting, "{update:?}");
    let update = link.update().await;
    assert_eq!(update.state(), TaskState::TaskRunning, "{update:?}");
    update
}

fn addresses(update: &TaskStatus) -> Vec<&str> {
    let status = update.container_status.as_ref().unwrap();
    let addresses = status.network_infos.iter().flat_map(|it| &it.ip_addresses);
    addresses.map(|it| it.ip_address()).collect()
}

/// What is on the node for its containers.
fn leases(node: &Node) -> Vec<String> {
    let settings = Settings::try_from(&node.flags.network).unwrap();
    let directory = crate::paths::network(&node.flags.runtime_dir);
    Bridge::recover(settings, &directory).unwrap().containers()
}

#[test]
fn root_a_task_on_the_bridge_has_its_address_its_ports_and_its_files() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        link.say(run(bridged("web", 0, &server("web")))).await;
        let running = runs(&mut link).await;
        assert_eq!(addresses(&running), ["10.211.0.2"]);
        assert_eq!(got("127.0.0.1:31000"), "web");
        assert!(echoed("127.0.0.1:31000"));

        let look = "cat /etc/hostname /etc/hosts; hostname; busybox wget -q -O - http://10.211.0.1:31000/ \
                    http://10.211.0.2/; busybox ip -o addr show; busybox ip route";
        let mut other = bridged("other", 1, look);
        other.container.as_mut().unwrap().hostname = Some("other-host".to_owned());
        link.say(run(other)).await;
        let updates = story(&mut link).await;
        let last = updates.last().unwrap();
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        let text = output(&handle, "other").await;
        for wanted in [
            "other-host\n127.0.0.1\tlocalhost\n",
            "10.211.0.3\tother-host\nother-host\n",
            "web\nweb\n",
            "inet 10.211.0.3/32",
            "default via 10.211.0.1 dev eth0",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is not in {text}");
        }
        assert!(!text.contains("fe80"), "{text}");
        assert_eq!(leases(&node).len(), 1);
        link.say(kill("web")).await;
        assert_eq!(
            story(&mut link).await.last().unwrap().state(),
            TaskState::TaskKilled
        );
        assert_eq!(leases(&node), Vec::<String>::new());
        assert!(TcpStream::connect("127.0.0.1:31000").is_err());
        handle.destroy().await;
    });
}

#[test]
fn root_another_agent_takes_over_a_task_on_the_bridge() {
    apart(|| async {
        let mut node = node().await;
        let (handle, link) = serving(&mut node).await;
        stop(handle, link).await;
        assert_eq!(got("127.0.0.1:31000"), "web");

        let (handle, mut link) = node.start().await;
        let state = get(&handle, "/state").await;
        let task = &state["frameworks"][0]["executors"][0]["tasks"][0];
        let status = task["statuses"].as_array().unwrap().last().unwrap();
        let address = &status["container_status"]["network_infos"][0]["ip_addresses"][0];
        assert_eq!(address["ip_address"], "10.211.0.2", "{task}");
        link.say(run(bridged("next", 1, &server("next")))).await;
        assert_eq!(addresses(&runs(&mut link).await), ["10.211.0.3"]);
        assert_eq!(got("127.0.0.1:31001"), "next");
        for id in ["web", "next"] {
            link.say(kill(id)).await;
            assert_eq!(
                story(&mut link).await.last().unwrap().state(),
                TaskState::TaskKilled
            );
        }
        assert_eq!(leases(&node), Vec::<String>::new());
        handle.destroy().await;
    });
}

#[test]
fn root_a_user_namespace_of_its_own_and_another_user_are_no_hindrance() {
    apart(|| async {
        let mut node = node().await;
        use std::os::unix::fs::PermissionsExt;
        let open = PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(node.dir.path(), open).unwrap();
        let (handle, mut link) = node.start().await;
        let mut other = bridged("web", 0, &server("web"));
        other.command.as_mut().unwrap().user = Some("nobody".to_owned());
        link.say(run(other)).await;
        runs(&mut link).await;
        assert_eq!(got("127.0.0.1:31000"), "web");

        let mut namespaced = bridged("own", 1, &server("own"));
        namespaced.labels = Some(v1::Labels {
            labels: vec![v1::Label {
                key: "LONGSHORE_USER_NAMESPACE".into(),
                value: Some("true".into()),
            }],
        });
        link.say(run(namespaced)).await;
        if can_idmap(&node) {
            runs(&mut link).await;
            assert_eq!(got("127.0.0.1:31001"), "own");
            assert!(echoed("127.0.0.1:31001"));
        } else {
            let last = story(&mut link).await.pop().unwrap();
            let why = "map the owners of its files";
            assert!(last.message().contains(why), "{last:?}");
            assert_eq!(leases(&node).len(), 1);
        }
        handle.destroy().await;
    });
}

#[test]
fn root_rules_and_a_bridge_that_somebody_takes_away_come_back_by_themselves() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = serving(&mut node).await;
        network::flush(&node.flags.network.bridge_name).unwrap();
        assert_eq!(got("127.0.0.1:31000"), "web");
        let delete = ["ip", "link", "delete", "longshore0"];
        let deleted = std::process::Command::new("busybox").args(delete).status();
        assert!(deleted.unwrap().success());
        assert_eq!(got("127.0.0.1:31000"), "web");
        link.say(kill("web")).await;
        assert_eq!(
            story(&mut link).await.last().unwrap().state(),
            TaskState::TaskKilled
        );
        handle.destroy().await;
    });
}

#[test]
fn root_a_port_in_use_is_told_with_who_has_it_and_leaves_nothing() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        let listener = TcpListener::bind("127.0.0.1:31000").unwrap();
        link.say(run(bridged("web", 0, &server("web")))).await;
        let updates = story(&mut link).await;
        let failed = updates.last().unwrap();
        assert_eq!(failed.state(), TaskState::TaskFailed, "{failed:?}");
        let message = failed.message();
        let us = format!(
            "port 31000/tcp of this host is in use by process {} (",
            std::process::id()
        );
        assert!(message.contains(&us), "{message}");
        assert_eq!(leases(&node), Vec::<String>::new());
        drop(listener);
        let mut unknown = bridged("odd", 1, "true");
        unknown.container.as_mut().unwrap().network_infos[0].name = Some("blue".to_owned());
        link.say(run(unknown)).await;
        let updates = story(&mut link).await;
        let message = updates.last().unwrap().message().to_owned();
        assert!(
            message.contains("network \"blue\" is not known to this agent"),
            "{message}"
        );
        node.end(handle).await;
    });
}
