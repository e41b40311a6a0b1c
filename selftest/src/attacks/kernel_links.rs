//! /proc, /sys and /dev that an image makes links of.

use std::fs;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::swap::Swapping;
use crate::trouble::{Trouble, cannot};

pub const DEV: Attack = Attack {
    name: "devices made through a link at /dev",
    cve: "CVE-2026-41579",
    tries: "An image's /dev is a link to a directory of the host, where the runtime would make and remove \
            files.",
    attempt: dev,
};

pub const PROC: Attack = Attack {
    name: "/proc is a link",
    cve: "CVE-2019-19921, CVE-2023-27561",
    tries: "An image's /proc is a link, so that what is masked and read-only below /proc is so elsewhere.",
    attempt: proc,
};

pub const SYS: Attack = Attack {
    name: "/sys is a link",
    cve: "CVE-2023-27561",
    tries: "The same with /sys.",
    attempt: sys,
};

pub const SWAPPED: Attack = Attack {
    name: "/proc is a link that is swapped",
    cve: "CVE-2019-19921",
    tries: "An image's /proc leads into a shared volume, where another container exchanges directories \
            between mounting and masking.",
    attempt: swapped,
};

/// Whether some procfs or sysfs of the container shows what is masked everywhere, or lets it be changed.
/// The name of the host in a namespace of names of its own is a harmless thing to try with.
pub const LOOK: &str = "while read -r _ _ _ _ at rest; do
        case $rest in
        *' - proc '*)
            for f in kcore timer_list keys; do
                [ -r $at/$f ] || continue
                [ -z \"$(timeout 5 dd if=$at/$f bs=1 count=1 2>/dev/null | tr '\\0' x)\" ] || echo \"! read $at/$f\"
            done
            (echo overwritten >$at/sys/kernel/domainname) 2>/dev/null && echo \"! wrote to $at/sys\"
            ;;
        *' - sysfs '*)
            (: >>$at/kernel/mm/transparent_hugepage/enabled) 2>/dev/null && echo \"! may write to $at\"
            [ -z \"$(ls $at/firmware 2>/dev/null)\" ] || echo \"! read $at/firmware\"
            ;;
        esac
    done </proc/self/mountinfo
    true";

fn dev(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &["ptmx", "console", "null"])?;
    let climbing = format!("../../../../../../..{}", canaries.directory().display());
    let mut reached = Vec::new();
    for target in [canaries.directory().to_owned(), climbing.into()] {
        for with_mounts in [false, true] {
            let mut bundle = Bundle::image(field, walls)?;
            if !with_mounts {
                bundle.leave_out("/dev");
            }
            if walls == Walls::Down {
                // The same path leads there, once the host's directory is in the container.
                let inside = canaries.directory().display().to_string();
                bundle.bind_first(canaries.directory(), &inside);
                bundle.leave_out("/dev");
            }
            bundle.link("dev", &target)?;
            bundle.script("true");
            reached.extend(field.run(&bundle)?.reached()?);
        }
    }
    reached.extend(canaries.harmed()?);
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}

fn proc(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    linked(field, walls, "proc")
}

fn sys(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    linked(field, walls, "sys")
}

fn linked(field: &Field, walls: Walls, name: &str) -> Result<Verdict, Trouble> {
    let mut reached = Vec::new();
    for target in ["/tmp", "tmp", "/vol/../tmp", "/dev/shm"] {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.link(name, target)?;
        if walls == Walls::Down {
            // Without a link it is to be seen that the script finds what is open.
            bundle = Bundle::image(field, walls)?;
        }
        bundle.script(LOOK);
        reached.extend(field.run(&bundle)?.reached()?);
    }
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}

fn swapped(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let volume = field.make_dir("volume")?;
    let (one, other) = (volume.join("one"), volume.join("other"));
    fs::create_dir_all(&one)
        .and_then(|()| fs::create_dir_all(&other))
        .map_err(cannot("fill a volume"))?;
    let mut reached = Vec::new();
    let swapping = Swapping::begin(&one, &other);
    for _ in walls.rounds() {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(&volume, "/vol");
        bundle.link("proc", "/vol/one")?;
        // Its own view of its mounts may be gone with the exchange.
        bundle.script(
            "for p in /vol/one /vol/other /proc; do
                [ -r $p/self/mountinfo ] || continue
                for f in kcore timer_list keys; do
                    [ -r $p/$f ] || continue
                    [ -z \"$(timeout 5 dd if=$p/$f bs=1 count=1 2>/dev/null | tr '\\0' x)\" ] ||
                        echo \"! read $p/$f\"
                done
                (echo overwritten >$p/sys/kernel/domainname) 2>/dev/null && echo \"! wrote to $p/sys\"
            done
            true"
        );
        reached.extend(field.run(&bundle)?.reached()?);
    }
    drop(swapping);
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
