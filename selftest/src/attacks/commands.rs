//! The command's own file, as an image brings it.

use std::path::Path;

use containerizer::Command;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::trouble::{Trouble, cannot};

pub const PIPE: Attack = Attack {
    name: "command that is a pipe",
    cve: "",
    tries: "An image has a pipe where the command should be, or one before it on PATH, so that whoever \
            looks at it waits without end.",
    attempt: pipe,
};

fn pipe(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut reached = Vec::new();
    let held_up = |what: &str| format!("held {what} up");
    let in_vain = |bundle: &mut Bundle, command: &str| {
        bundle.args(&[command]);
        bundle.spec["process"]["env"] = json!(["PATH=/pipes:/bin:/sbin:/usr/bin:/usr/sbin"]);
    };
    for command in ["/pipes/true", "true"] {
        let mut bundle = Bundle::image(field, walls)?;
        pipes(&bundle.rootfs)?;
        in_vain(&mut bundle, command);
        match field.run(&bundle) {
            Err(Trouble::Late(_)) => reached.push(held_up("a launch")),
            // Refused, or the next of that name: both are well.
            outcome => drop(outcome?),
        }
    }
    let mut bundle = Bundle::image(field, walls)?;
    pipes(&bundle.rootfs)?;
    bundle.script("sleep 1000");
    let running = field.launch(&bundle)?.running()?;
    let command = Command {
        args: vec!["/pipes/true".to_owned()],
        ..Command::default()
    };
    match running.exec(&command) {
        Err(Trouble::Late(_)) => reached.push(held_up("a command that joins")),
        outcome => drop(outcome?),
    }
    running.kill()?;
    Ok(Verdict::of(reached))
}

/// A pipe that may be executed.
fn pipes(rootfs: &Path) -> Result<(), Trouble> {
    let directory = rootfs.join("pipes");
    std::fs::create_dir(&directory).map_err(cannot("make a directory"))?;
    mkfifo(&directory.join("true"), Mode::S_IRWXU)
        .map_err(std::io::Error::from)
        .map_err(cannot("make a pipe"))
}
