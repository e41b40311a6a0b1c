//! The runtime's own program, reached through /proc/self/exe of a process that becomes hostile.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use containerizer::Command;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::running::Running;
use crate::trouble::{Trouble, cannot};

pub const OVERWRITE: Attack = Attack {
    name: "runtime overwritten through /proc/self/exe",
    cve: "CVE-2019-5736",
    tries: "A command that joins the container is a script whose interpreter is /proc/self/exe, and \
            another process there writes to that.",
    attempt: overwrite,
};

pub const FORBID: Attack = Attack {
    name: "runtime made unusable through /proc/self/exe",
    cve: "",
    tries: "A task that may trace others takes the permission to execute it from the runtime's program, \
            through the container's first process.",
    attempt: forbid,
};

/// How often somebody joins the container.
const ROUNDS: usize = 120;

/// A function of scripts: stops a process, and succeeds once it stands still.
pub const STOP: &str = "stop() {
        kill -STOP $1 2>/dev/null || return 1
        i=0
        while [ $i -lt 100 ]; do
            read -r _ _ state _ </proc/$1/stat || return 1
            case $state in T) return 0 ;; Z | X) return 1 ;; esac
            i=$((i + 1))
        done 2>/dev/null
        kill -CONT $1
        return 1
    }";

/// What runs meanwhile: whoever executes the runtime's program is stopped, and dealt with. `$exe` is its
/// program's file.
fn watcher(deal: &str) -> String {
    format!(
        "{STOP}
        echo up
        while [ ! -e /stop ]; do
            for p in /proc/[0-9]*; do
                n=${{p#/proc/}}
                [ $n -gt 2 ] && [ $n != $$ ] || continue
                stop $n || continue
                exe=$p/exe
                case $(readlink $exe 2>/dev/null) in
                *longshore*) {deal} ;;
                esac
                kill -CONT $n 2>/dev/null
            done
        done"
    )
}

fn overwrite(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let program = field.settings().program.clone();
    let look = || {
        let meta = fs::metadata(&program).map_err(cannot("look at the runtime's program"))?;
        Ok::<_, Trouble>((meta.ino(), meta.len(), meta.mtime_nsec(), meta.mode()))
    };
    let before = look()?;
    // What the runtime is started from is the canary; what it runs inside must stay as it is, too.
    let deal = "echo seen; if (echo x >$exe) 2>/dev/null; then echo '! overwrote the program'; fi";
    let mut reached = besiege(field, walls, deal)?;
    if look()? != before {
        reached.push("changed the runtime's program on the host".to_owned());
    }
    Ok(Verdict::of(reached))
}

fn forbid(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut bundle = Bundle::image(field, walls)?;
    bundle.grant("CAP_SYS_PTRACE");
    // The memory that the first process was started from is shared with all others.
    bundle.script("chmod 0 /proc/1/exe; chmod 0 /proc/*/exe; readlink /proc/1/exe");
    field.run(&bundle)?.ended()?.reached()?;
    let mut reached = Vec::new();
    later(field, walls, &mut reached)?;
    Ok(Verdict::of(reached))
}

fn besiege(field: &Field, walls: Walls, deal: &str) -> Result<Vec<String>, Trouble> {
    let mut bundle = Bundle::image(field, walls)?;
    bundle.write("evil", "#!/proc/self/exe\n")?;
    bundle.script(&watcher(deal));
    let besieged = field.launch(&bundle)?.running()?;
    besieged.until_said("up")?;
    // At most so many, and no more once it has been seen a few times.
    for _ in 0..ROUNDS {
        join(&besieged)?;
        if besieged.said()?.matches("seen").count() >= 3 {
            break;
        }
    }
    bundle.write("stop", "")?;
    let mut reached = besieged.wait()?.reached()?;
    later(field, walls, &mut reached)?;
    Ok(reached)
}

/// Whoever is launched afterwards gets what they ask for.
fn later(field: &Field, walls: Walls, reached: &mut Vec<String>) -> Result<(), Trouble> {
    let mut after = Bundle::image(field, walls)?;
    after.script("echo well");
    match field.run(&after)?.ended() {
        Ok(ended) if ended.text().starts_with("well") => {}
        Ok(ended) => reached.push(format!("later containers do {:?} instead", ended.text())),
        Err(error) => reached.push(format!("kept later containers from starting: {error}")),
    }
    Ok(())
}

fn join(besieged: &Running<'_>) -> Result<(), Trouble> {
    // It fails, or runs the program as a command of the container: both are as they should be.
    let evil = Command {
        args: vec!["/evil".to_owned()],
        ..Command::default()
    };
    besieged.exec(&evil).map(drop)
}
