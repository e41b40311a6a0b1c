//! The container's first process, which is the runtime's own.

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::trouble::Trouble;

pub const TAKEN_OVER: Attack = Attack {
    name: "first process taken over by one that may trace",
    cve: "",
    tries: "A task that may trace others opens the memory of its container's first process, to gain what \
            that may do.",
    attempt: taken_over,
};

/// It may be taken over, where tracing is allowed; then it must have nothing that the container lacks.
const LOOK: &str = "while read -r name value; do
        case $name in
        CapEff: | CapPrm:)
            # All but KILL and SYS_PTRACE, of which the container has both.
            [ $((0x$value & ~0x80020)) = 0 ] || rights=\"$rights $name $value\"
            ;;
        Seccomp:) [ $value = 2 ] || rights=\"$rights no filter of system calls\" ;;
        NoNewPrivs:) [ $value = 1 ] || rights=\"$rights new privileges\" ;;
        esac
    done </proc/1/status
    if (: >>/proc/1/mem) 2>/dev/null; then
        echo opened
        [ -z \"$rights\" ] || echo \"! took over the first process with $rights\"
    fi
    true";

fn taken_over(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut reached = Vec::new();
    for mut bundle in [Bundle::image(field, walls)?, Bundle::task(field, walls)?] {
        bundle.grant("CAP_SYS_PTRACE");
        bundle.script(LOOK);
        reached.extend(field.run(&bundle)?.ended()?.reached()?);
    }
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
