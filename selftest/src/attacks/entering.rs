//! The process that enters a container, before it has become the command.

use containerizer::Command;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::{Canaries, NAME};
use crate::field::Field;
use crate::trouble::Trouble;

use super::own_program::STOP;

pub const LOOKED_INTO: Attack = Attack {
    name: "entering process looked into",
    cve: "CVE-2016-9962",
    tries: "A process of the container stops whoever joins it, and looks into its memory, descriptors, \
            root and program before it has become the command.",
    attempt: looked_into,
};

const ROUNDS: usize = 120;

fn looked_into(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let secret = canaries.secret();
    let watcher = format!(
        "{STOP}
        echo up
        while [ ! -e /stop ]; do
            for p in /proc/[0-9]*; do
                n=${{p#/proc/}}
                [ $n -gt 2 ] && [ $n != $$ ] || continue
                stop $n || continue
                # The command itself is the container's own, and has nothing to hide.
                case $(readlink $p/exe 2>/dev/null) in
                /*) kill -CONT $n; continue ;;
                esac
                [ -e $p ] && echo entering
                exe=$(readlink $p/exe 2>/dev/null) && echo \"! saw its program $exe\"
                (: <$p/mem) 2>/dev/null && [ -n \"$exe\" ] && echo '! opened its memory'
                for f in $p/fd/*; do
                    to=$(readlink $f 2>/dev/null) && echo \"! saw its descriptor $to\"
                    [ -r $f/{NAME} ] && echo '! read the secret through a descriptor'
                done
                [ -r $p/root{secret} ] && echo '! read the secret through its root'
                [ -r $p/cwd/{NAME} ] && echo '! read the secret through its working directory'
                kill -CONT $n 2>/dev/null
            done
        done",
        secret = secret.display()
    );
    let mut bundle = Bundle::image(field, walls)?;
    bundle.script(&watcher);
    let besieged = field.launch(&bundle)?.running()?;
    besieged.until_said("up")?;
    let harmless = Command {
        args: vec!["/bin/true".to_owned()],
        ..Command::default()
    };
    for _ in 0..ROUNDS {
        besieged.exec(&harmless)?.ended()?;
        if besieged.said()?.matches("entering").count() >= 10 {
            break;
        }
    }
    bundle.write("stop", "")?;
    let mut reached = besieged.wait()?.reached()?;
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
