//! A whole container with an address on a bridge and a port of the host, from nothing to reaped: by us, and by crun
//! with the plugins of CNI, each as programs, of the same bundle, in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use network::Node;
use serde_json::{Value, json};

use super::percentiles::Percentiles;
use super::place::{Place, said};
use super::{attached, cni, ratio};

const WARM_UP: usize = 3;

/// What ours takes; `None` where no program is named to measure, which is said. So is what lacks of theirs.
pub fn compare(node: &Node, directory: &Path, rounds: usize) -> Option<Percentiles> {
    let Some(longshore) = std::env::var_os("LONGSHORE_BIN").map(PathBuf::from) else {
        println!("LONGSHORE_BIN names no program: whole launches are left out");
        return None;
    };
    let has_peer = are_peers_there();
    let bundle = Bundle::make(directory, &longshore);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for at in 0..WARM_UP + rounds {
        ours.push(bundle.launched_by_us(node, &longshore, at));
        if has_peer {
            theirs.push(bundle.launched_by_crun(directory, at));
        }
    }
    let of = |taken: Vec<Duration>| Percentiles::of(taken[WARM_UP..].to_vec());
    let ours = of(ours);
    println!("a whole launch, with a bridge and a port of the host, by programs:");
    println!("  ours, and longshore oci run: {ours:.1}");
    if has_peer {
        let theirs = of(theirs);
        println!("  CNI's bridge and portmap, and crun run: {theirs:.1}");
        println!("  ours to theirs: {}", ratio(ours, theirs));
    }
    Some(ours)
}

/// crun, and the plugins of CNI with the program that portmap runs.
fn are_peers_there() -> bool {
    let programs = ["crun", "iptables"].into_iter();
    let lacks = |program: &&str| said(Command::new(program).arg("--version")).is_none();
    let lacking: Vec<_> = programs.filter(lacks).collect();
    for program in &lacking {
        println!(
            "{program} is not installed: crun with the plugins of CNI is left out of whole launches"
        );
    }
    cni::are_there() && lacking.is_empty()
}

struct Bundle {
    place: PathBuf,
    config: Value,
}

impl Bundle {
    fn make(directory: &Path, longshore: &Path) -> Self {
        let place = directory.join("bundle");
        let bin = place.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"];
        let busybox = busybox.iter().find(|it| Path::new(it).exists()).unwrap();
        fs::copy(busybox, bin.join("true")).unwrap();
        let mut spec = Command::new(longshore);
        spec.args(["oci", "spec", "--bundle"]).arg(&place);
        said(&mut spec).unwrap();
        let text = fs::read(place.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        // The oldest, which all know.
        config["ociVersion"] = json!("1.0.0");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/bin/true"]);
        Self { place, config }
    }

    fn is_in(&self, place: &Place) {
        let mut config = self.config.clone();
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|it| it["type"] != "network");
        namespaces.push(json!({"type": "network", "path": place.path()}));
        fs::write(self.place.join("config.json"), config.to_string()).unwrap();
    }

    fn launched_by_us(&self, node: &Node, longshore: &Path, at: usize) -> Duration {
        let name = format!("whole{at}");
        let begun = Instant::now();
        let mut place = Place::new();
        attached(node, &name, &[3], &mut place);
        self.is_in(&place);
        self.run(Command::new(longshore).arg("oci"), "longshore", &name);
        let taken = begun.elapsed();
        node.release(&name).unwrap();
        taken
    }

    fn launched_by_crun(&self, directory: &Path, at: usize) -> Duration {
        let name = format!("whole{at}");
        let begun = Instant::now();
        let place = Place::new();
        let call = cni::Call::of(&name, &place, directory);
        let result = call.add();
        self.is_in(&place);
        self.run(&mut Command::new("crun"), "crun", &name);
        let taken = begun.elapsed();
        call.del(result);
        taken
    }

    fn run(&self, command: &mut Command, of: &str, name: &str) {
        let state = self.place.join("state-of").join(of);
        fs::create_dir_all(&state).unwrap();
        let name = format!("bench-{}-{name}", std::process::id());
        command.arg("--root").arg(state);
        command.args(["run", "--bundle"]).arg(&self.place).arg(name);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
}
