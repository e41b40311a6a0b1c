//! The phases of a launch as a table.

use serde_json::{Map, Value};

/// Every phase in its order, and what is done in it.
#[rustfmt::skip] // A phase is a row.
const PHASES: &[(&str, &str)] = &[
    ("checkpoint", "the task is written down for the next agent"),
    ("turn", "launches of other tasks go first"),
    ("sandbox", "the sandbox is made"),
    ("fetch", "URIs are fetched into it"),
    ("network", "the container gets its address and ports"),
    ("plan", "the OCI runtime spec is planned"),
    ("queue", "other launches go first"),
    ("compile", "the spec becomes a program for init"),
    ("record", "the spec is written down"),
    ("cgroup", "the cgroup is made and limited"),
    ("spawn", "init is started in its namespaces"),
    ("setup", "init sets up mounts, limits, user and capabilities"),
    ("exec", "the command takes over"),
];

/// One line for each phase of `launch` (`{"<phase>_ms": …, "total_ms": …}`). Phases that are not
/// known here, for the agent may be of a later build, follow those that are.
pub fn table(launch: &Map<String, Value>) -> Vec<String> {
    let known = PHASES.iter().filter_map(|(phase, what)| {
        let taken = launch.get(&format!("{phase}_ms"))?;
        Some(line(phase, taken, what))
    });
    let phases = launch
        .iter()
        .filter_map(|(key, taken)| Some((key.strip_suffix("_ms")?, taken)));
    let is_known = |name: &str| PHASES.iter().any(|(phase, _)| *phase == name);
    let (total, others): (Vec<_>, Vec<_>) = phases
        .filter(|(phase, _)| !is_known(phase))
        .partition(|(phase, _)| *phase == "total");
    let rest = others.into_iter().chain(total);
    let heading = format!("{:<10}{:>10}", "PHASE", "MS");
    std::iter::once(heading)
        .chain(known)
        .chain(rest.map(|(phase, taken)| line(phase, taken, "")))
        .collect()
}

fn line(phase: &str, taken: &Value, what: &str) -> String {
    let taken = taken.as_f64().unwrap_or_default();
    format!("{phase:<10}{taken:>10.3}  {what}")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn phases_stand_in_their_order_and_the_total_last() {
        let launch = json!({
            "exec_ms": 0.25, "fetch_ms": 1034.5, "total_ms": 1035.0, "warp_ms": 0.125, "plan_ms": 0.125,
        });
        assert_eq!(
            table(launch.as_object().unwrap()),
            [
                "PHASE             MS",
                "fetch       1034.500  URIs are fetched into it",
                "plan           0.125  the OCI runtime spec is planned",
                "exec           0.250  the command takes over",
                "warp           0.125",
                "total       1035.000",
            ]
        );
    }
}
