//! A working directory that is not there, behind links.

use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::swap::Swapping;
use crate::trouble::{Trouble, cannot};

pub const MADE: Attack = Attack {
    name: "working directory made through links",
    cve: "",
    tries: "An image's working directory lies behind a link that leads to the host, or is swapped for one \
            on a shared volume meanwhile.",
    attempt: made,
};

fn made(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let climbing = format!("../../../../../../../..{}", canaries.directory().display());
    let mut reached = Vec::new();
    for target in [canaries.directory().to_owned(), climbing.into()] {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.link("link", target)?;
        bundle.spec["process"]["cwd"] = json!("/link/new/below");
        if walls == Walls::Down {
            bundle.bind(canaries.directory(), "/leak", &["rbind", "rw"]);
        }
        bundle.script("mkdir /leak/new 2>/dev/null; true");
        bundle.spec["process"]["cwd"] = json!(match walls {
            Walls::Up => "/link/new/below",
            Walls::Down => "/leak",
        });
        reached.extend(field.run(&bundle)?.reached()?);
    }
    let volume = field.make_dir("volume")?;
    std::fs::create_dir_all(volume.join("a"))
        .and_then(|()| std::os::unix::fs::symlink(canaries.directory(), volume.join("b")))
        .map_err(cannot("fill a volume"))?;
    let swapping = Swapping::begin(&volume.join("a"), &volume.join("b"));
    for round in walls.rounds() {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(&volume, "/vol");
        bundle.spec["process"]["cwd"] = json!(format!("/vol/a/new{round}"));
        bundle.script("true");
        reached.extend(field.run(&bundle)?.reached()?);
    }
    drop(swapping);
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}
