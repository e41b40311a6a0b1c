//! The plugins of CNI, as engines call them: programs, one after the other.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::percentiles::Percentiles;
use super::place::Place;

const PLUGINS: &str = "/usr/lib/cni";

/// How long it takes to connect a container with a bridge and a port of the host. `None` when they are not there.
pub fn networks(directory: &Path, rounds: usize) -> Option<Percentiles> {
    let all = ["bridge", "host-local", "portmap"];
    if !all.iter().all(|it| Path::new(PLUGINS).join(it).exists()) {
        println!("containernetworking-plugins are not in {PLUGINS}: they are left out");
        return None;
    }
    let mut taken = Vec::new();
    for at in 0..rounds {
        let place = Place::new();
        let call = Call {
            container: format!("c{at}"),
            namespace: format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                place.namespace.as_raw_fd()
            ),
            data: directory.join("cni").display().to_string(),
        };
        let begun = Instant::now();
        let result = call.plugin("ADD", "bridge", Value::Null);
        let result = call.plugin("ADD", "portmap", result);
        taken.push(begun.elapsed());
        call.plugin("DEL", "portmap", result.clone());
        call.plugin("DEL", "bridge", result);
    }
    Some(Percentiles::of(taken))
}

struct Call {
    container: String,
    namespace: String,
    data: String,
}

impl Call {
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
