//! Plugins that are shell scripts, well-behaved ones and others, and a namespace that is a real one.

mod at_once;
mod earlier;
mod upkeep;
mod versions;

use std::fs;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Map, Value, json};

use crate::run::{memory, run};
use crate::*;

/// A well-behaved plugin. It keeps what it was told, by its command and its name, and says that it has one
/// address; one that is not the first adds none.
const GOOD: &str = r#"
name=$(basename "$0")
told="$LOGS/$CNI_COMMAND.$name"
cat > "$told"
echo "$CNI_COMMAND $name $CNI_CONTAINERID $CNI_IFNAME" >> "$LOGS/calls"
[ "$CNI_COMMAND" = ADD ] || exit 0
test -e "$CNI_NETNS" || exit 9
echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.2/24"}], "dns": {"nameservers": ["10.9.0.1"]}}'
"#;

/// Says when it begins to do what it is told, and goes on once it may.
fn waits_for(command: &str) -> String {
    let waits = "touch $LOGS/begun; until test -e $LOGS/go; do sleep 0.05; done";
    format!("[ $CNI_COMMAND != {command} ] || {{ {waits}; }}\n{GOOD}")
}

struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for name in ["conf", "bin", "logs"] {
            fs::create_dir(stage.path(name)).unwrap();
        }
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn plugin(&self, name: &str, script: &str) {
        let logs = self.path("logs");
        let text = format!("#!/bin/sh\nLOGS={}\n{script}", logs.display());
        let (source, new) = (self.path("text"), self.path("new-plugin"));
        fs::write(&source, text).unwrap();
        // What is open for writing cannot be run, and a process that another test starts at this moment has,
        // until its exec, whatever we have open.
        let copy = ["-c", "cat \"$1\" > \"$2\"", "sh"];
        let mut copy = std::process::Command::new("sh")
            .args(copy)
            .arg(source)
            .arg(&new)
            .spawn();
        assert!(copy.as_mut().unwrap().wait().unwrap().success());
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("bin").join(name)).unwrap();
    }

    fn network(&self, name: &str, plugins: &[Value]) {
        let text = json!({"cniVersion": "1.0.0", "name": name, "plugins": plugins}).to_string();
        fs::write(self.path("conf").join(format!("{name}.conflist")), text).unwrap();
    }

    fn node(&self) -> Node {
        Node::recover(Settings {
            networks: Some(self.path("conf")),
            plugins: vec![self.path("nowhere"), self.path("bin")],
            journal: self.path("journal"),
            limit: Duration::from_secs(60),
        })
        .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("logs/calls")).unwrap_or_default();
        fs::remove_file(self.path("logs/calls")).ok();
        text.lines().map(str::to_owned).collect()
    }

    /// Until a plugin has left that file.
    fn is_left(&self, name: &str) {
        while !self.path("logs").join(name).exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn told(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path("logs").join(name)).unwrap()).unwrap()
    }
}

fn wish(network: &str, interface: &str) -> Wish {
    Wish {
        network: network.to_owned(),
        interface: interface.to_owned(),
        runtime: Runtime::default(),
        arguments: Map::new(),
    }
}

fn mapping(host_port: u16) -> Runtime {
    Runtime {
        port_mappings: vec![PortMapping {
            host_port,
            container_port: 80,
            protocol: "tcp".to_owned(),
        }],
        ..Runtime::default()
    }
}

/// In a mount namespace that goes with the test, with a network namespace to be had.
fn apart(work: impl FnOnce(&Stage, &File) + Send) {
    let body = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none).unwrap();
        let home = File::open("/proc/thread-self/ns/net").unwrap();
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let namespace = File::open("/proc/thread-self/ns/net").unwrap();
        nix::sched::setns(home, CloneFlags::CLONE_NEWNET).unwrap();
        work(&Stage::new(), &namespace);
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn told(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<_> = all.map(ToString::to_string).collect();
    all.join(": ")
}

#[test]
fn root_a_chain_connects_in_its_order_and_disconnects_in_the_other() {
    apart(|stage, namespace| {
        stage.plugin("first", GOOD);
        stage.plugin("second", GOOD);
        let second = json!({"type": "second", "capabilities": {"portMappings": true}});
        stage.network("blue", &[json!({"type": "first"}), second]);
        stage.network("red", &[json!({"type": "first"})]);
        let node = stage.node();
        let mut blue = wish("blue", "eth0");
        blue.runtime = mapping(31000);
        let wishes = vec![blue, wish("red", "eth1")];
        let outcomes = node.attach("c1", namespace.as_fd(), wishes).unwrap();
        assert_eq!(outcomes.len(), 2);
        let address = outcomes[0].addresses[0];
        assert_eq!(
            (address.ip.to_string().as_str(), address.prefix),
            ("10.9.0.2", 24)
        );
        assert_eq!(outcomes[1].dns.nameservers, ["10.9.0.1"]);
        let added = [
            "ADD first c1 eth0",
            "ADD second c1 eth0",
            "ADD first c1 eth1",
        ];
        assert_eq!(stage.calls(), added);
        let told = stage.told("ADD.second");
        assert_eq!(told["prevResult"]["ips"][0]["address"], "10.9.0.2/24");
        assert_eq!(told["runtimeConfig"]["portMappings"][0]["hostPort"], 31000);

        node.check("c1").unwrap();
        assert_eq!(stage.calls().len(), 3);
        assert_eq!(
            stage.told("CHECK.first")["prevResult"]["dns"]["nameservers"][0],
            "10.9.0.1"
        );

        let twice = node.attach("c1", namespace.as_fd(), vec![]);
        assert!(matches!(twice, Err(AttachError::Attached(_))));
        node.release("c1").unwrap();
        let deleted = [
            "DEL first c1 eth1",
            "DEL second c1 eth0",
            "DEL first c1 eth0",
        ];
        assert_eq!(stage.calls(), deleted);
        assert_eq!(
            stage.told("DEL.second")["prevResult"]["ips"][0]["address"],
            "10.9.0.2/24"
        );
        assert!(!node.place("c1").exists());
        node.release("c1").unwrap();
        assert_eq!(stage.calls(), [] as [&str; 0]);
    });
}

#[test]
fn root_what_fails_is_told_and_taken_away() {
    apart(|stage, namespace| {
        let fails_to_add = |script: &str| format!("[ $CNI_COMMAND = ADD ] || exit 0\n{script}");
        let table = [
            (
                r#"echo '{"code": 7, "msg": "no room", "details": "at all"}'; exit 1"#,
                "it says: no room; at all (code 7)",
            ),
            (
                "echo oh no >&2; exit 3",
                "exit status: 3, and printed no error: \"oh no\"",
            ),
            ("kill -9 $$", "signal: 9"),
            ("exit 0", "it printed nothing"),
            ("echo hello", "no result: \"hello\""),
            ("exec yes", "it printed more than 1048576 bytes"),
        ];
        stage.plugin("good", GOOD);
        stage.network("blue", &[json!({"type": "good"}), json!({"type": "bad"})]);
        let node = stage.node();
        for (script, wanted) in table {
            stage.plugin("bad", &fails_to_add(script));
            let failed = node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")]);
            let error = told(&failed.unwrap_err());
            assert!(
                error.starts_with("network \"blue\": plugin \"bad\" has failed to ADD: "),
                "{error}"
            );
            assert!(error.contains(wanted), "{script}: {error}");
            assert_eq!(stage.calls(), ["ADD good c1 eth0", "DEL good c1 eth0"]);
            assert_eq!(node.containers(), [] as [&str; 0]);
            assert!(!node.place("c1").exists());
        }
    });
}

#[test]
fn root_what_cannot_be_is_refused_before_any_plugin_runs() {
    apart(|stage, namespace| {
        stage.plugin("good", GOOD);
        stage.network("blue", &[json!({"type": "good"})]);
        let capable = json!({"type": "good", "capabilities": {"portMappings": true}});
        stage.network("red", &[capable]);
        stage.network("gone", &[json!({"type": "not-there"})]);
        let node = stage.node();
        let refused = |container: &str, network: &str, runtime: Runtime| {
            let wish = Wish {
                runtime,
                ..wish(network, "eth0")
            };
            told(
                &node
                    .attach(container, namespace.as_fd(), vec![wish])
                    .unwrap_err(),
            )
        };
        let plain = Runtime::default;
        let text = refused("c1", "green", plain());
        assert_eq!(text, "network \"green\" is not described any more");
        assert!(refused("../c1", "blue", plain()).starts_with("container \"../c1\" cannot be"));
        let text = refused("c1", "blue", mapping(31000));
        assert!(
            text.contains("no plugin with the capability portMappings"),
            "{text}"
        );
        let mut red = wish("red", "eth0");
        red.runtime = mapping(31000);
        node.attach("c1", namespace.as_fd(), vec![red]).unwrap();
        let text = refused("c2", "red", mapping(31000));
        assert_eq!(text, "port 31000/tcp of this host is that of container c1");
        assert_eq!(stage.calls(), ["ADD good c1 eth0"]);
        let text = refused("c3", "gone", plain());
        assert!(text.contains("no program of this name is in"), "{text}");
        // What nobody can take away is not forgotten.
        assert_eq!(node.containers(), ["c1", "c3"]);
        stage.plugin("not-there", GOOD);
        for container in ["c1", "c3"] {
            node.release(container).unwrap();
        }
    });
}

#[test]
fn root_what_could_not_be_taken_away_is_tried_again_by_whoever_comes_next() {
    apart(|stage, namespace| {
        stage.plugin("good", GOOD);
        let bad = "[ $CNI_COMMAND = ADD ] || { echo stuck >&2; exit 1; }\necho '{}'";
        stage.plugin("bad", bad);
        stage.network("blue", &[json!({"type": "good"}), json!({"type": "bad"})]);
        let node = stage.node();
        node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")])
            .unwrap();
        // Nobody needs what is described now.
        stage.network("blue", &[json!({"type": "other"})]);
        let error = told(&node.release("c1").unwrap_err());
        assert!(
            error.starts_with("1 calls of plugins have failed"),
            "{error}"
        );
        assert!(error.ends_with("\"bad\" has failed to DEL: it ended with exit status: 1, and printed no error: \"stuck\""), "{error}");
        assert_eq!(stage.calls(), ["ADD good c1 eth0", "DEL good c1 eth0"]);
        drop(node);

        let node = stage.node();
        assert_eq!(node.containers(), ["c1"]);
        let record = node.record("c1").unwrap();
        assert!(record.attachments[0].result.is_some());
        stage.plugin("bad", GOOD);
        node.release("c1").unwrap();
        assert_eq!(stage.calls(), ["DEL bad c1 eth0", "DEL good c1 eth0"]);
        assert_eq!(stage.told("DEL.good")["name"], "blue");
        assert!(!node.place("c1").exists());
    });
}

#[test]
fn root_a_container_whose_record_is_lost_leaves_nothing() {
    apart(|stage, namespace| {
        stage.plugin("good", GOOD);
        stage.network("blue", &[json!({"type": "good"})]);
        let node = stage.node();
        node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")])
            .unwrap();
        node.attach("none", namespace.as_fd(), vec![]).unwrap();
        fs::write(node.place("c1").join("attachments.json"), "{").unwrap();
        let node = stage.node();
        assert_eq!(node.containers(), ["c1", "none"]);
        for container in ["c1", "none"] {
            node.release(container).unwrap();
            assert!(!node.place(container).exists());
        }
    });
}

#[test]
fn a_plugin_that_hangs_ends_with_all_that_it_has_started() {
    let stage = Stage::new();
    stage.plugin("hangs", "sleep 1000 & echo $! > $LOGS/pid; wait");
    let program = stage.path("bin/hangs");
    let path = ("PATH", std::env::var("PATH").unwrap());
    let error = run(
        &program,
        &[path],
        memory(b"{}").unwrap(),
        Duration::from_secs(3),
    )
    .unwrap_err();
    let error = error.to_string();
    assert_eq!(
        error,
        "it was killed: it had not ended after 3s (--network_cni_timeout)"
    );
    is_gone(&stage);
}

#[test]
fn who_keeps_a_plugins_output_open_holds_up_nobody() {
    let stage = Stage::new();
    stage.plugin("leaves", "sleep 1000 & echo $! > $LOGS/pid; echo '{}'");
    let program = stage.path("bin/leaves");
    let path = ("PATH", std::env::var("PATH").unwrap());
    // More than a pipe holds, and nobody reads it.
    let input = vec![b' '; 1 << 20];
    let output = run(
        &program,
        &[path],
        memory(&input).unwrap(),
        Duration::from_secs(600),
    )
    .unwrap();
    assert_eq!(output.stdout, b"{}\n");
    is_gone(&stage);
}

/// Whoever reaps it may take a moment.
fn is_gone(stage: &Stage) {
    let pid = fs::read_to_string(stage.path("logs/pid")).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    let lives = |stat: &str| {
        let stat = fs::read_to_string(Path::new(stat)).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|it| it.chars().next());
        state.is_some_and(|state| state != 'Z')
    };
    while lives(&stat) {
        std::thread::sleep(Duration::from_millis(10));
    }
}
