//! What an audit found, for people and for programs.

use agent::audit::{Audit, Finding, Outcome};
use containerizer::audit::Remedy;
use serde_json::{Value, json};

use crate::terminal::harmless;

/// Also when something was not, and is mended.
pub fn is_clean(audit: &Audit) -> bool {
    let mut outcomes = audit.findings.iter().map(|finding| &finding.outcome);
    outcomes.all(|outcome| *outcome == Outcome::Repaired)
}

/// A few lines for each: what, where, whose, why, and what to do.
pub fn lines(audit: &Audit) -> Vec<String> {
    let agent = match audit.agent {
        Some(pid) => format!("the agent runs as process {pid}"),
        None => "no agent runs".to_owned(),
    };
    if audit.findings.is_empty() {
        return vec![format!("Everything is as it is recorded ({agent}).")];
    }
    let mut lines: Vec<_> = audit.findings.iter().flat_map(of_one).collect();
    let mended = audit.findings.iter();
    let mended = mended.filter(|it| it.outcome == Outcome::Repaired).count();
    let all = audit.findings.len();
    lines.push(match mended {
        0 => format!("{} ({agent}).", counted(all)),
        mended => format!("{}, {mended} mended ({agent}).", counted(all)),
    });
    lines
}

fn counted(differences: usize) -> String {
    match differences {
        1 => "1 difference".to_owned(),
        many => format!("{many} differences"),
    }
}

fn of_one(finding: &Finding) -> Vec<String> {
    let Finding {
        kind,
        place,
        container,
        task,
        why,
        remedy,
        outcome,
    } = finding;
    let whose = match (container, task) {
        (Some(container), Some(task)) => Some(format!("container {container}, of task {task}")),
        (Some(container), None) => Some(format!("container {container}")),
        (None, _) => None,
    };
    let done = match (outcome, remedy) {
        (Outcome::Untried, Remedy::Repair(what)) => format!("--repair would: {what}"),
        (Outcome::Untried, Remedy::Advice(what)) => format!("to do: {what}"),
        (Outcome::Repaired, Remedy::Repair(what) | Remedy::Advice(what)) => {
            format!("mended: {what}")
        }
        (Outcome::Failed(error), Remedy::Repair(what) | Remedy::Advice(what)) => {
            format!("NOT MENDED: {what}: {error}")
        }
    };
    // Names of processes, and of what lies on disk, are a task's to choose.
    let below = whose.into_iter().chain([format!("why: {why}"), done]);
    let below = below.map(|line| format!("    {}", harmless(&line.replace('\n', " "))));
    let head = harmless(&format!("{kind:<16} {place}").replace('\n', " "));
    std::iter::once(head).chain(below).collect()
}

/// README.md tells what stands in it: what is there keeps its name and meaning.
pub fn json(audit: &Audit) -> Value {
    let differences: Vec<_> = audit.findings.iter().map(object).collect();
    json!({
        "agent": audit.agent.map(|pid| json!({ "pid": pid })),
        "clean": is_clean(audit),
        "differences": differences,
    })
}

fn object(finding: &Finding) -> Value {
    let (repair, advice) = match &finding.remedy {
        Remedy::Repair(what) => (Some(what), None),
        Remedy::Advice(what) => (None, Some(what)),
    };
    let (outcome, error) = match &finding.outcome {
        Outcome::Untried => ("untried", None),
        Outcome::Repaired => ("repaired", None),
        Outcome::Failed(error) => ("failed", Some(error)),
    };
    json!({
        "kind": finding.kind,
        "place": finding.place,
        "container": finding.container,
        "task": finding.task,
        "why": finding.why,
        "repair": repair,
        "advice": advice,
        "outcome": outcome,
        "error": error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(remedy: Remedy, outcome: Outcome) -> Finding {
        Finding {
            kind: "cgroup",
            place: "/cg/mesos/c1".to_owned(),
            container: Some("c1".to_owned()),
            task: Some("t of framework F".to_owned()),
            why: "in it: process 5 (\u{1b}[2J\nx)".to_owned(),
            remedy,
            outcome,
        }
    }

    fn audit(findings: Vec<Finding>) -> Audit {
        Audit {
            agent: Some(7),
            findings,
        }
    }

    #[test]
    fn a_person_reads_what_is_wrong_and_what_to_do() {
        let whole = audit(vec![]);
        let wanted = ["Everything is as it is recorded (the agent runs as process 7)."];
        assert_eq!(lines(&whole), wanted);
        assert!(is_clean(&whole));
        let remedy = || Remedy::Repair("remove it".to_owned());
        let broken = audit(vec![finding(remedy(), Outcome::Untried)]);
        let wanted = [
            "cgroup           /cg/mesos/c1",
            "    container c1, of task t of framework F",
            "    why: in it: process 5 (\\u{1b}[2J x)",
            "    --repair would: remove it",
            "1 difference (the agent runs as process 7).",
        ];
        assert_eq!(lines(&broken), wanted);
        assert!(!is_clean(&broken));
        let failed = Outcome::Failed("busy".to_owned());
        let tried = audit(vec![
            finding(remedy(), Outcome::Repaired),
            finding(remedy(), failed),
            finding(Remedy::Advice("umount it".to_owned()), Outcome::Untried),
        ]);
        let text = lines(&tried).join("\n");
        for part in [
            "    mended: remove it",
            "    NOT MENDED: remove it: busy",
            "    to do: umount it",
            "3 differences, 1 mended (",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!is_clean(&tried));
        assert!(is_clean(&audit(vec![finding(remedy(), Outcome::Repaired)])));
    }

    #[test]
    fn a_program_reads_names_that_do_not_change() {
        let advice = Remedy::Advice("umount it".to_owned());
        let failed = Outcome::Failed("busy".to_owned());
        let remedy = Remedy::Repair("remove it".to_owned());
        let told = json(&Audit {
            agent: None,
            findings: vec![finding(advice, Outcome::Untried), finding(remedy, failed)],
        });
        let why = "in it: process 5 (\u{1b}[2J\nx)";
        let task = "t of framework F";
        let wanted = json!({
            "agent": null,
            "clean": false,
            "differences": [
                {
                    "kind": "cgroup", "place": "/cg/mesos/c1", "container": "c1", "task": task,
                    "why": why, "repair": null, "advice": "umount it", "outcome": "untried",
                    "error": null,
                },
                {
                    "kind": "cgroup", "place": "/cg/mesos/c1", "container": "c1", "task": task,
                    "why": why, "repair": "remove it", "advice": null, "outcome": "failed",
                    "error": "busy",
                },
            ],
        });
        assert_eq!(told, wanted);
        assert_eq!(json(&audit(vec![]))["agent"]["pid"], 7);
    }
}
