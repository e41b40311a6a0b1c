//! The plugins of CNI, as engines call them: programs, one after the other.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::percentiles::Percentiles;
use super::place::Place;

const PLUGINS: &str = "/usr/lib/cni";

pub fn are_there() -> bool {
    let all = ["bridge", "host-local", "portmap"];
    let are_there = all.iter().all(|it| Path::new(PLUGINS).join(it).exists());
    if !are_there {
        println!("containernetworking-plugins are not in {PLUGINS}: they are left out");
    }
    are_there
}

/// How long it takes to connect a container with a bridge and a port of the host. `None` when they are not there.
pub fn networks(directory: &Path, rounds: usize) -> Option<Percentiles> {
    if !are_there() {
        return None;
    }
    let mut taken = Vec::new();
    for at in 0..rounds {
        let place = Place::new();
        let call = Call::of(&format!("c{at}"), &place, directory);
        let begun = Instant::now();
        let result = call.add();
        taken.push(begun.elapsed());
        call.del(result);
    }
    Some(Percentiles::of(taken))
}

pub struct Call {
    container: String,
    namespace: String,
    data: String,
}

impl Call {
    pub fn of(container: &str, place: &Place, directory: &Path) -> Self {
        Self {
            container: container.to_owned(),
            namespace: place.path(),
            data: directory.join("cni").display().to_string(),
        }
    }

    pub fn add(&self) -> Value {
        let result = self.plugin("ADD", "bridge", Value::Null);
        self.plugin("ADD", "portmap", result)
    }

    pub fn del(&self, result: Value) {
        self.plugin("DEL", "portmap", result.clone());
        self.plugin("DEL", "bridge", result);
    }

    fn plugin(&self, command: &str, plugin: &str, result: Value) -> Value {
        let mut config = json!({
            "cniVersion": "1.0.0", "name": "bench", "type": plugin, "bridge": "cni0",
            "isGateway": true, "ipMasq": true, "hairpinMode": true, "capabilities": {"portMappings": true},
            "runtimeConfig": {"portMappings": [{"hostPort": 9000, "containerPort": 80, "protocol": "tcp"}]},
            "ipam": {"type": "host-local", "dataDir": self.data, "subnet": "10.92.0.0/16"}
        });
        if !result.is_null() {
            config["prevResult"] = result;
        }
        let child = Command::new(Path::new(PLUGINS).join(plugin))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &self.container)
            .env("CNI_NETNS", &self.namespace)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", PLUGINS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(config.to_string().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{plugin} {command}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}
