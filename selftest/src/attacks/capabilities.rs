//! Capabilities that a container should not have.

use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::running::script;
use crate::trouble::Trouble;

pub const INHERITABLE: Attack = Attack {
    name: "inheritable capabilities",
    cve: "CVE-2022-29162",
    tries: "The command, and one that joins it, look for capabilities that a file could let them keep, and \
            for those that no container needs.",
    attempt: inheritable,
};

/// Bits of capabilities(7) beyond what containers usually get.
const LOOK: &str = "while read -r name set; do
        case $name in
        CapInh: | CapAmb:) [ $((0x$set)) = 0 ] || echo \"! has $name $set\" ;;
        CapBnd: | CapPrm: | CapEff:)
            # DAC_READ_SEARCH, NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME,
            # SYSLOG, PERFMON, BPF.
            [ $((0x$set & 0xc4022b1004)) = 0 ] || echo \"! has $name $set\"
            ;;
        esac
    done </proc/self/status
    true";

fn inheritable(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut bundle = Bundle::image(field, walls)?;
    if walls == Walls::Down {
        let all = json!(["CAP_CHOWN", "CAP_NET_RAW"]);
        let sets = [
            "bounding",
            "permitted",
            "effective",
            "inheritable",
            "ambient",
        ];
        for set in sets {
            bundle.spec["process"]["capabilities"][set] = all.clone();
        }
    }
    bundle.script(&format!("{LOOK}\nsleep 1000"));
    let running = field.launch(&bundle)?.running()?;
    let mut reached = running.exec(&script(LOOK))?.ended()?.reached()?;
    let said = running.kill()?.text();
    reached.extend(
        said.lines()
            .filter_map(|l| l.strip_prefix("! "))
            .map(str::to_owned),
    );
    let mut task = Bundle::task(field, walls)?;
    task.script(LOOK);
    reached.extend(field.run(&task)?.ended()?.reached()?);
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
