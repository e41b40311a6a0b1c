//! Networks that an operator describes, with plugins that are shell scripts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;

/// What an operator has put on a node.
pub struct Described {
    pub dir: PathBuf,
}

/// Gives the container an address that tells which of its links it is, keeps what it is called with, and
/// takes nothing away while somebody says so.
pub const GIVES: &str = r#"
cat > /dev/null
case $CNI_IFNAME in
eth0) net=0 ;;
*) net=1 ;;
esac
case $CNI_COMMAND in
ADD)
    echo "$CNI_CONTAINERID" >> "$DIR/added"
    busybox nsenter --net="$CNI_NETNS" busybox ip address add "10.9.$net.2/24" dev lo || exit 1
    echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.9.'$net'.2/24"}],
           "dns": {"nameservers": ["10.9.0.1"], "search": ["blue.example"]}}'
    ;;
DEL)
    test ! -e "$DIR/stuck" || exit 1
    echo "$CNI_CONTAINERID" >> "$DIR/deleted"
    ;;
esac
"#;

impl Described {
    pub fn of(node: &mut Node) -> Described {
        let dir = node.dir.path().join("cni");
        for name in ["conf", "bin"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        node.flags.network.cni_config_dir = Some(dir.join("conf"));
        let plugins = dir.join("bin").display().to_string();
        node.flags.network.cni_plugins_dir = Some(plugins);
        Described { dir }
    }

    pub fn network(&self, name: &str, text: &str) {
        std::fs::write(self.dir.join("conf").join(name), text).unwrap();
    }

    /// A network by the name of its only plugin.
    pub fn plugin(&self, name: &str, script: &str) {
        let text = format!("#!/bin/sh\nDIR={}\n{script}", self.dir.display());
        let source = self.dir.join("script");
        std::fs::write(&source, text).unwrap();
        // Written by another process: what one of ours has open for writing cannot be run.
        let target = self.dir.join("bin").join(name);
        let copy = ["-c", "cat \"$1\" > \"$2\"", "sh"];
        let copy = std::process::Command::new("sh")
            .args(copy)
            .args([&source, &target])
            .status();
        assert!(copy.unwrap().success());
        std::fs::set_permissions(target, std::fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(r#"{{"cniVersion": "1.0.0", "name": "{name}", "type": "{name}"}}"#);
        self.network(&format!("{name}.conf"), &text);
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A task in networks, in that order.
pub fn joining(id: &str, names: &[&str], command: &str) -> v1::TaskInfo {
    let mut task = bridged(id, 0, command);
    let info = |name: &&str| v1::NetworkInfo {
        name: Some((*name).to_owned()),
        ..Default::default()
    };
    task.container.as_mut().unwrap().network_infos = names.iter().map(info).collect();
    task
}

/// Containers that plugins have connected with something, as it is written down.
pub fn connected(node: &Node) -> Vec<String> {
    let flags = &node.flags;
    let settings = flags.network.named(&flags.runtime_dir, &flags.work_dir);
    cni::Node::recover(settings).unwrap().containers()
}

/// That of another task may be told again, when the agent was stopped before it heard that it is known.
pub async fn end_of(id: &str, link: &mut FakeLink) -> TaskStatus {
    loop {
        let last = story(link).await.pop().unwrap();
        if last.task_id.value == id {
            return last;
        }
    }
}

/// A plugin may be slower than who waits for it.
pub async fn nothing_is_connected(node: &Node) {
    while !connected(node).is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn root_a_task_in_several_networks_has_their_addresses_and_files_that_know_them() {
    apart(|| async {
        let mut node = node().await;
        let described = Described::of(&mut node);
        described.plugin("blue", GIVES);
        described.plugin("red", GIVES);
        let (handle, mut link) = node.start().await;
        let look =
            "hostname; cat /etc/hosts /etc/resolv.conf; busybox ip -o address show; sleep 1000";
        let mut web = joining("web", &["blue", "red"], look);
        web.container.as_mut().unwrap().hostname = Some("web-host".to_owned());
        link.say(run(web)).await;
        let running = runs(&mut link).await;
        assert_eq!(addresses(&running), ["10.9.0.2", "10.9.1.2"]);
        let infos = running.container_status.unwrap().network_infos;
        let names: Vec<_> = infos.iter().map(|it| it.name()).collect();
        assert_eq!(names, ["blue", "red"]);
        assert_eq!(connected(&node).len(), 1);
        node.is_as_recorded().await;

        // On the bridge first, and in one of these.
        let look = "cat /etc/hosts; busybox ip -o address show";
        link.say(run(joining("both", &["mesos-bridge", "red"], look)))
            .await;
        let told = runs(&mut link).await;
        assert_eq!(addresses(&told), ["10.211.0.2", "10.9.1.2"]);
        assert_eq!(link.update().await.state(), TaskState::TaskFinished);
        let text = output(&handle, "both").await;
        for wanted in ["10.211.0.2\t", "10.9.1.2\t", "eth0", "inet 10.9.1.2/24"] {
            assert!(text.contains(wanted), "{wanted:?} is not in {text}");
        }

        let wanted = [
            "web-host\n127.0.0.1\tlocalhost\n",
            "10.9.0.2\tweb-host\n10.9.1.2\tweb-host\n",
            "nameserver 10.9.0.1\nsearch blue.example\n",
            "inet 10.9.1.2/24",
        ];
        loop {
            let text = output(&handle, "web").await;
            if wanted.iter().all(|it| text.contains(it)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        link.say(kill("web")).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskKilled);
        nothing_is_connected(&node).await;
        let (mut added, mut deleted) = (described.lines("added"), described.lines("deleted"));
        added.sort();
        deleted.sort();
        assert_eq!(added, deleted);
        assert_eq!(added.len(), 3);
        node.end(handle).await;
    });
}

#[test]
fn root_a_plugin_that_fails_or_hangs_costs_its_own_task_only() {
    apart(|| async {
        let mut node = node().await;
        let described = Described::of(&mut node);
        described.plugin("hangs", "test $CNI_COMMAND = DEL || sleep 1000");
        let before = std::mem::replace(&mut node.flags.network.cni_timeout, Duration::from_secs(3));
        let (handle, mut link) = node.start().await;
        link.say(run(joining("hung", &["hangs"], "true"))).await;
        let last = end_of("hung", &mut link).await;
        assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
        let wanted = "it was killed: it had not ended after 3s (--network_cni_timeout)";
        assert!(last.message().contains(wanted), "{last:?}");
        stop(handle, link).await;

        // The others have all the time that they need.
        node.flags.network.cni_timeout = before;
        let fails =
            r#"test $CNI_COMMAND = DEL || { echo '{"code": 11, "msg": "come later"}'; exit 1; }"#;
        described.plugin("fails", fails);
        described.network("zz.conf", r#"{"name": "../up", "type": "t"}"#);
        let (handle, mut link) = node.start().await;
        let table = [
            (
                "fails",
                "plugin \"fails\" has failed to ADD: it says: come later (code 11)",
            ),
            (
                "blue",
                "network \"blue\" is not known to this agent, which has \"mesos-bridge\", \"fails\", \"hangs\" (",
            ),
            (
                "blue",
                "zz.conf describes no network: its name is \"../up\"",
            ),
        ];
        for (number, (network, wanted)) in table.into_iter().enumerate() {
            let id = format!("t{number}");
            link.say(run(joining(&id, &[network], "true"))).await;
            let last = end_of(&id, &mut link).await;
            assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
            assert!(last.message().contains(wanted), "{last:?}");
        }
        // It is described from now on.
        described.plugin("blue", GIVES);
        link.say(run(joining("t9", &["blue"], "true"))).await;
        let last = end_of("t9", &mut link).await;
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        nothing_is_connected(&node).await;
        node.end(handle).await;
    });
}

#[test]
fn root_a_kill_does_not_wait_for_a_plugin() {
    apart(|| async {
        let mut node = node().await;
        let described = Described::of(&mut node);
        let waits = r#"test $CNI_COMMAND = ADD || exit 0
            touch "$DIR/begun"; until test -e "$DIR/go"; do sleep 0.05; done; echo '{}'"#;
        described.plugin("waits", waits);
        let (handle, mut link) = node.start().await;
        link.say(run(joining("web", &["waits"], "sleep 1000")))
            .await;
        assert_eq!(link.update().await.state(), TaskState::TaskStarting);
        while !described.dir.join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        link.say(kill("web")).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskKilled);
        assert_eq!(connected(&node).len(), 1);
        std::fs::write(described.dir.join("go"), "").unwrap();
        nothing_is_connected(&node).await;
        node.end(handle).await;
    });
}

#[test]
fn root_what_a_plugin_did_not_take_away_the_next_agent_has_it_take_away() {
    apart(|| async {
        let mut node = node().await;
        let described = Described::of(&mut node);
        described.plugin("blue", GIVES);
        let (handle, mut link) = node.start().await;
        link.say(run(joining("web", &["blue"], "sleep 1000"))).await;
        assert_eq!(addresses(&runs(&mut link).await), ["10.9.0.2"]);
        stop(handle, link).await;

        let (handle, mut link) = node.start().await;
        let state = get(&handle, "/state").await;
        let task = &state["frameworks"][0]["executors"][0]["tasks"][0];
        let status = task["statuses"].as_array().unwrap().last().unwrap();
        let address = &status["container_status"]["network_infos"][0]["ip_addresses"][0];
        assert_eq!(address["ip_address"], "10.9.0.2", "{task}");
        std::fs::write(described.dir.join("stuck"), "").unwrap();
        link.say(kill("web")).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskKilled);
        assert_eq!(connected(&node), described.lines("added"));
        stop(handle, link).await;

        let told = async |repairs: bool| {
            let audit = crate::audit::audit(&node.flags, repairs).await.unwrap();
            let networks = audit.findings.into_iter().filter(|it| it.kind == "network");
            networks.map(|it| it.place).collect::<Vec<_>>()
        };
        let places = [format!("named networks of {}", connected(&node)[0])];
        assert_eq!(told(false).await, places);
        assert_eq!(told(true).await, places);
        std::fs::remove_file(described.dir.join("stuck")).unwrap();
        let (handle, _link) = node.start().await;
        nothing_is_connected(&node).await;
        assert_eq!(described.lines("added"), described.lines("deleted"));
        node.end(handle).await;
    });
}

#[test]
fn root_a_network_that_leads_nowhere_has_a_loopback_alone() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        let look = "busybox ip -o link show; cat /etc/hosts";
        let mut lonely = joining("lonely", &["none"], look);
        lonely.container.as_mut().unwrap().hostname = Some("lonely-host".to_owned());
        link.say(run(lonely)).await;
        let running = runs(&mut link).await;
        let infos = &running.container_status.as_ref().unwrap().network_infos;
        assert_eq!(infos[0].name(), "none");
        assert_eq!(addresses(&running), [] as [&str; 0]);
        assert_eq!(link.update().await.state(), TaskState::TaskFinished);
        let text = output(&handle, "lonely").await;
        let links = text.lines().filter(|line| line.contains("mtu")).count();
        assert!(links == 1 && text.contains("LOOPBACK,UP"), "{text}");
        assert!(!text.contains("lonely-host"), "it has no address: {text}");
        nothing_is_connected(&node).await;
        node.end(handle).await;
    });
}
