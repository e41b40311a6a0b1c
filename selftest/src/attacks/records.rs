//! What the agent keeps about containers.

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::{Canaries, NAME};
use crate::field::Field;
use crate::trouble::Trouble;

pub const OF_THE_AGENT: Attack = Attack {
    name: "agent's records read and written by a task",
    cve: "",
    tries: "A task on the host's own files looks for what the agent keeps about containers, and changes it.",
    attempt: of_the_agent,
};

fn of_the_agent(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let directory = field.config().runtime_dir.join("containers-of-others");
    let canaries = Canaries::put(&directory, &[])?;
    let mut task = Bundle::task(field, walls)?;
    let place = directory.display();
    task.script(&format!(
        "for top in '' /proc/1/root /proc/self/root /proc/self/cwd/../../../..; do
            d=$top{place}
            [ -r $d/{NAME} ] && echo \"! read $(cat $d/{NAME}) in $d\"
            (echo x >>$d/{NAME}) 2>/dev/null
            mkdir $d/made 2>/dev/null
        done
        true"
    ));
    let mut reached = field.run(&task)?.ended()?.reached()?;
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}
