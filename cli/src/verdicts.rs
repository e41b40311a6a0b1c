//! What came of the battery, as a table.

use std::time::Duration;

use selftest::{Attack, Report, Verdict};

use crate::terminal::harmless;

/// One attack.
pub struct Row {
    name: &'static str,
    cve: &'static str,
    outcome: Outcome,
    took: Duration,
}

enum Outcome {
    Held,
    Broken(String),
    NotApplicable(String),
    Failed(String),
}

impl Row {
    pub fn of(attack: &Attack, report: &Report) -> Self {
        let outcome = match &report.verdict {
            Ok(Verdict::Held) => Outcome::Held,
            Ok(Verdict::Broken(how)) => Outcome::Broken(how.clone()),
            Ok(Verdict::NotApplicable(why)) => Outcome::NotApplicable(why.clone()),
            Err(trouble) => Outcome::Failed(causes(trouble)),
        };
        Self {
            name: attack.name,
            cve: attack.cve,
            outcome,
            took: report.took,
        }
    }

    pub fn heading() -> String {
        line("ATTACK", "CVE", "VERDICT", "SECONDS", None)
    }

    /// What a hostile program has said may stand in it.
    pub fn line(&self) -> String {
        let (verdict, why) = match &self.outcome {
            Outcome::Held => ("held", None),
            Outcome::Broken(how) => ("BROKEN", Some(how)),
            Outcome::NotApplicable(why) => ("not applicable", Some(why)),
            Outcome::Failed(why) => ("NOT TRIED", Some(why)),
        };
        let why = why.map(|why| harmless(&why.replace('\n', " ")));
        let took = format!("{:.2}", self.took.as_secs_f64());
        let first = self.cve.split(", ").next().unwrap_or_default();
        line(self.name, first, verdict, &took, why.as_deref())
    }

    /// Nobody knows about an attack that could not be tried.
    pub fn is_well(&self) -> bool {
        matches!(self.outcome, Outcome::Held | Outcome::NotApplicable(_))
    }
}

pub fn summary(rows: &[Row]) -> String {
    let count = |is: fn(&Outcome) -> bool| rows.iter().filter(|row| is(&row.outcome)).count();
    let held = count(|it| matches!(it, Outcome::Held));
    let broken = count(|it| matches!(it, Outcome::Broken(_)));
    let others = count(|it| matches!(it, Outcome::NotApplicable(_)));
    let failed = count(|it| matches!(it, Outcome::Failed(_)));
    let mut text = format!("{held} held, {broken} broken, {others} not applicable");
    if failed > 0 {
        text.push_str(&format!(", {failed} could not be tried"));
    }
    text
}

fn line(name: &str, cve: &str, verdict: &str, took: &str, why: Option<&str>) -> String {
    let line = format!("{name:<60} {cve:<15} {verdict:<14} {took:>7}");
    match why {
        Some(why) => format!("{line}\n    {why}"),
        None => line,
    }
}

fn causes(trouble: &selftest::Trouble) -> String {
    let mut text = trouble.to_string();
    let mut cause = std::error::Error::source(trouble);
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use selftest::{ATTACKS, Trouble};

    use super::*;

    fn row(verdict: Result<Verdict, Trouble>) -> Row {
        let report = Report {
            verdict,
            took: Duration::from_millis(1234),
        };
        Row::of(&ATTACKS[0], &report)
    }

    #[test]
    fn every_name_and_verdict_has_room_in_its_column() {
        assert!(ATTACKS.iter().all(|attack| attack.name.len() <= 60));
        let widths = [Ok(Verdict::Held), Ok(Verdict::Broken("x".to_owned()))].map(|verdict| {
            let line = row(verdict).line();
            line.lines().next().map(str::len)
        });
        assert_eq!(widths[0], widths[1]);
        assert_eq!(widths[0], Some(Row::heading().len()));
    }

    #[test]
    fn what_is_broken_or_unknown_is_not_well() {
        let hostile = row(Ok(Verdict::Broken("read \u{1b}[2J\nall".to_owned())));
        assert!(
            hostile.line().ends_with("1.23\n    read \\u{1b}[2J all"),
            "{}",
            hostile.line()
        );
        let unknown = row(Err(Trouble::Late(9)));
        assert!(unknown.line().contains("NOT TRIED"));
        let held = row(Ok(Verdict::Held));
        let other = row(Ok(Verdict::NotApplicable("x".to_owned())));
        assert!(held.is_well() && other.is_well());
        assert!(!hostile.is_well() && !unknown.is_well());
        let rows = [held, other, hostile, unknown];
        let wanted = "1 held, 1 broken, 1 not applicable, 1 could not be tried";
        assert_eq!(summary(&rows), wanted);
    }
}
