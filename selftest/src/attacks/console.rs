//! A container's terminal, and where it is shown.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use containerizer::{Progress, Stage, remove_when_empty};
use isolators::cgroups::{Cgroup, Hierarchy, Layout};
use oci_spec::runtime::Spec;
use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::{self, Field, PATIENCE};
use crate::swap::Swapping;
use crate::trouble::{Trouble, cannot, chain};

pub const LINK: Attack = Attack {
    name: "terminal shown behind a link at /dev/console",
    cve: "CVE-2025-52565, CVE-2026-88264",
    tries: "An image without a /dev of its own brings links at /dev/console and /dev/pts that lead elsewhere.",
    attempt: link,
};

pub const SWAPPED: Attack = Attack {
    name: "terminal shown at a swapped /dev/console",
    cve: "CVE-2025-52565",
    tries: "Another container on a shared /dev exchanges /dev/console and /dev/pts for links while the \
            terminal is made.",
    attempt: swapped,
};

/// Terminals are mounted at the console, and nowhere else. What is told is told by a canary.
const LOOK: &str = "while read -r _ _ _ root at rest; do
        case $rest in *' - devpts '*) ;; *) continue ;; esac
        # Where the mount point itself was exchanged, it still lies in /dev.
        case $at in /dev/*) ;; *) [ \"$root\" = / ] || echo \"! $at\" >>/told/told ;; esac
    done </proc/self/mountinfo
    true";

fn link(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &["told", "console"])?;
    // Without malice there is a terminal: what is refused below is refused for its links.
    let mut harmless = Bundle::image(field, walls)?;
    harmless.leave_out("/dev");
    devpts(&mut harmless)?;
    harmless.script("true");
    if let Some(why) = with_terminal(field, &mut harmless)? {
        return Err(Trouble::NotLaunched(why));
    }
    let host = canaries.secret();
    let links = [
        ("dev/console", host.as_path()),
        ("dev/console", "/vol/secret".as_ref()),
        ("dev/console", "/proc/version".as_ref()),
        ("dev/pts", "/vol".as_ref()),
        ("dev/pts", canaries.directory()),
    ];
    for (name, target) in links {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.leave_out("/dev");
        if name != "dev/pts" {
            devpts(&mut bundle)?;
        }
        bundle.bind_first(canaries.directory(), "/vol");
        bundle.bind_first(canaries.directory(), "/told");
        bundle.link(name, target)?;
        bundle.script(LOOK);
        with_terminal(field, &mut bundle)?;
    }
    canaries.harmed().map(Verdict::of)
}

fn swapped(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &["told"])?;
    let volume = field.make_dir("volume")?;
    fs::write(volume.join("console"), "")
        .and_then(|()| symlink("/vol/secret", volume.join("link")))
        .and_then(|()| fs::create_dir(volume.join("pts")))
        .and_then(|()| symlink("/vol", volume.join("other")))
        .map_err(cannot("fill a volume"))?;
    let _consoles = Swapping::begin(&volume.join("console"), &volume.join("link"));
    let _multiplexers = Swapping::begin(&volume.join("pts"), &volume.join("other"));
    for _ in walls.rounds() {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.leave_out("/dev");
        bundle.bind_first(canaries.directory(), "/vol");
        bundle.bind_first(canaries.directory(), "/told");
        bundle.bind(&volume, "/dev", &["rbind", "rw"]);
        devpts(&mut bundle)?;
        bundle.script(LOOK);
        with_terminal(field, &mut bundle)?;
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let _ = fs::remove_file(volume.join(device));
        }
    }
    canaries.harmed().map(Verdict::of)
}

fn devpts(bundle: &mut Bundle) -> Result<(), Trouble> {
    let options = ["newinstance", "ptmxmode=0666", "mode=0620"];
    if let Some(mounts) = bundle.spec["mounts"].as_array_mut() {
        mounts.push(json!({
            "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options,
        }));
    }
    Ok(())
}

/// Returns why it was not made, if so.
fn with_terminal(field: &Field, bundle: &mut Bundle) -> Result<Option<String>, Trouble> {
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.hand_over()?;
    let spec: Spec = serde_json::from_value(bundle.spec.clone())?;
    let hierarchy = Arc::new(Hierarchy::detect(&field.config().cgroups_hierarchy)?);
    let path = spec.linux().as_ref().and_then(|l| l.cgroups_path().clone());
    let cgroup = Cgroup::at(&hierarchy, &path.unwrap_or_default(), Layout::Oci);
    let (ours, its) = UnixStream::pair().map_err(cannot("make a pair of sockets"))?;
    let output = field.output()?;
    let staged = Stage {
        spec: &spec,
        cgroup: cgroup.clone(),
        staging: &field.config().runtime_dir,
        stdio: field::stdio(&output)?,
        gate: None,
        console: Some((its.into(), containerizer::Lines::Terminal)),
        preserved: Vec::new(),
    }
    .set();
    let made = staged.and_then(|mut staged| {
        // Its filter asks nobody.
        let nobody = |_listener| Err(ErrorKind::Unsupported.into());
        while staged.progress(&nobody)? != Progress::Running {
            staged.go_on("{}")?;
        }
        let ended = staged.leave().map(|child| child.wait());
        Ok(ended.err().map(|error| error.to_string()))
    });
    // Its end of the terminal is in the socket until now, so that it is not hung up.
    drop(ours);
    let _ = remove_when_empty(&cgroup, PATIENCE);
    Ok(made.unwrap_or_else(|error| Some(chain(&error))))
}
