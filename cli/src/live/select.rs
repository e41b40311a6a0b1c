//! The one task that a few words on the command line mean.

use anyhow::{anyhow, bail};
use serde_json::Value;

use crate::task_id::is_of;
use crate::tasks::{Entry, entries};

/// Tasks that an error lists at most.
const LISTED: usize = 10;

/// A task that an agent knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub task: String,
    pub container: String,
    pub life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Life {
    /// It runs, or is about to.
    Live,
    /// In seconds since 1970.
    Ended(f64),
}

/// Which tasks can be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    Live,
    /// Those that have ended, too.
    Known,
}

/// Those in an agent's `/state`: live ones first, then those that have ended, newest first.
pub fn tasks(state: &Value, among: Among) -> anyhow::Result<Vec<Task>> {
    // A master's has frameworks too, but no executors.
    let pid = state["pid"].as_str().unwrap_or_default();
    if !pid.starts_with("slave(") {
        bail!("there is no agent: give the address of one (their usual port is 5051)");
    }
    let task = |entry: Entry<'_>| Task {
        task: entry.id().unwrap_or_default().to_owned(),
        container: entry.container().unwrap_or_default().to_owned(),
        life: entry.ended().map_or(Life::Live, Life::Ended),
    };
    let mut tasks: Vec<_> = entries(state).map(task).collect();
    tasks.retain(|it| among == Among::Known || it.life == Life::Live);
    tasks.sort_by(|one, other| age(one).total_cmp(&age(other)));
    Ok(tasks)
}

/// Grows with the time since its end.
fn age(task: &Task) -> f64 {
    match task.life {
        Life::Live => f64::NEG_INFINITY,
        Life::Ended(at) => -at,
    }
}

/// The one of `tasks` that `wanted` names: by its own id or its container's, by its app, or by how
/// one of the ids begins. The first of these that fits any task decides.
pub fn select<'a>(tasks: &'a [Task], wanted: &str, among: Among) -> anyhow::Result<&'a Task> {
    let is_named = |it: &Task| it.task == wanted || it.container == wanted;
    let is_of_app = |it: &Task| is_of(&it.task, wanted);
    let begins = |it: &Task| it.task.starts_with(wanted) || it.container.starts_with(wanted);
    let rules: [&dyn Fn(&Task) -> bool; 3] = [&is_named, &is_of_app, &begins];
    let found = rules
        .into_iter()
        .map(|rule| foremost(tasks.iter().filter(|it| rule(it)).collect()))
        .find(|found| !found.is_empty());
    let verb = match among {
        Among::Live => "runs",
        Among::Known => "is known",
    };
    match found.as_deref() {
        Some([one]) => Ok(one),
        Some(several) => {
            let several = listed(several.iter().copied());
            Err(anyhow!(
                "{wanted:?} means several tasks; name one, or its container:{several}"
            ))
        }
        None if tasks.is_empty() => Err(anyhow!("no task {verb} there")),
        None => {
            let all = listed(tasks.iter());
            Err(anyhow!(
                "no task, container or app {wanted:?} {verb} there, but:{all}"
            ))
        }
    }
}

/// All that live; where none does, the one that ended last, for that is what one asks about.
fn foremost(mut tasks: Vec<&Task>) -> Vec<&Task> {
    let live = tasks.iter().filter(|it| it.life == Life::Live).count();
    tasks.truncate(live.max(1));
    tasks
}

/// A line for each of the first few.
fn listed<'a>(tasks: impl ExactSizeIterator<Item = &'a Task>) -> String {
    let more = tasks.len().saturating_sub(LISTED);
    let line = |it: &Task| {
        let ended = match it.life {
            Life::Live => "",
            Life::Ended(_) => ", which has ended",
        };
        format!("\n    {} in container {}{ended}", it.task, it.container)
    };
    let mut text: String = tasks.take(LISTED).map(line).collect();
    if more > 0 {
        text.push_str(&format!("\n    and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(task: &str, container: &str) -> Task {
        Task {
            task: task.into(),
            container: container.into(),
            life: Life::Live,
        }
    }

    fn ended(task: &str, container: &str, at: f64) -> Task {
        let life = Life::Ended(at);
        Task {
            life,
            ..live(task, container)
        }
    }

    fn cluster() -> Vec<Task> {
        let one = live;
        vec![
            one("hello.instance-1._app.1", "c0ffee"),
            one("hello2.instance-1._app.1", "c1"),
            one("g_web.instance-1._app.1", "d1"),
            one("g_web.instance-2._app.1", "d2"),
            one("batch", "e1"),
            one("batch", "e2"),
            one("batch-2", "e3"),
        ]
    }

    fn selected(wanted: &str) -> Result<String, String> {
        let tasks = cluster();
        let found = select(&tasks, wanted, Among::Live).map(|it| it.container.clone());
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn a_task_is_named_by_its_id_its_container_its_app_or_a_unique_beginning() {
        let table = [
            ("hello.instance-1._app.1", "c0ffee"),
            ("c0ffee", "c0ffee"),
            ("hello", "c0ffee"),
            ("/hello", "c0ffee"),
            ("c0", "c0ffee"),
            ("hello2.ins", "c1"),
            ("g_web.instance-2", "d2"),
            ("batch-", "e3"),
            ("e1", "e1"),
        ];
        for (wanted, container) in table {
            assert_eq!(selected(wanted).as_deref(), Ok(container), "{wanted}");
        }
    }

    #[test]
    fn several_tasks_of_a_name_are_listed_with_their_containers() {
        let refused = selected("/g/web").unwrap_err();
        assert_eq!(
            refused,
            "\"/g/web\" means several tasks; name one, or its container:\n    \
             g_web.instance-1._app.1 in container d1\n    g_web.instance-2._app.1 in container d2"
        );
        let refused = selected("batch").unwrap_err();
        assert!(
            refused.contains("e1") && refused.contains("e2"),
            "{refused}"
        );
        assert!(!refused.contains("e3"), "{refused}");
        assert!(selected("hell").unwrap_err().contains("several"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_runs() {
        let refused = selected("web").unwrap_err();
        assert!(refused.starts_with("no task, container or app \"web\" runs there, but:"));
        assert!(refused.contains("batch-2 in container e3"), "{refused}");
        let refused = select(&[], "web", Among::Live).unwrap_err().to_string();
        assert_eq!(refused, "no task runs there");
        let refused = select(&[], "web", Among::Known).unwrap_err().to_string();
        assert_eq!(refused, "no task is known there");
    }

    #[test]
    fn long_lists_are_cut() {
        let many = |n: usize| live(&format!("t{n}"), &format!("c{n}"));
        let tasks: Vec<_> = (0..12).map(many).collect();
        let refused = select(&tasks, "x", Among::Live).unwrap_err().to_string();
        assert!(
            refused.ends_with("t9 in container c9\n    and 2 more"),
            "{refused}"
        );
    }

    #[test]
    fn of_those_that_a_name_fits_a_live_one_is_meant_or_else_the_one_that_ended_last() {
        let tasks = [
            live("web.instance-3._app.1", "c3"),
            ended("web.instance-2._app.1", "c2", 9.0),
            ended("job.instance-2._app.1", "d2", 8.0),
            ended("job.instance-1._app.1", "d1", 7.0),
            ended("web.instance-1._app.1", "c1", 6.0),
        ];
        for (wanted, container) in [
            ("web", "c3"),
            ("web.instance", "c3"),
            ("web.instance-1", "c1"),
            ("c1", "c1"),
            ("/job", "d2"),
            ("job.", "d2"),
        ] {
            let found = select(&tasks, wanted, Among::Known).unwrap();
            assert_eq!(found.container, container, "{wanted}");
        }
        let refused = select(&tasks, "x", Among::Known).unwrap_err().to_string();
        assert!(
            refused.starts_with(
                "no task, container or app \"x\" is known there, but:\n    \
                 web.instance-3._app.1 in container c3\n    \
                 web.instance-2._app.1 in container c2, which has ended\n"
            ),
            "{refused}"
        );
    }

    #[test]
    fn tasks_of_an_agent_are_listed_from_the_live_ones_to_the_oldest() {
        let task = |id: &str, state: &str, at: f64| json!({"id": id, "state": state, "statuses": [{"timestamp": at}]});
        let old = task("a", "TASK_FAILED", 1.5);
        let new = task("b", "TASK_FINISHED", 2.5);
        let state = json!({
            "pid": "slave(1)@127.0.0.1:5051",
            "frameworks": [{
                "completed_executors": [{"container": "c1", "completed_tasks": [old]}],
                "executors": [
                    {"container": "c2", "completed_tasks": [new]},
                    {"container": "c3", "tasks": [task("c", "TASK_RUNNING", 0.5)]},
                ],
            }],
        });
        let all = [
            live("c", "c3"),
            ended("b", "c2", 2.5),
            ended("a", "c1", 1.5),
        ];
        assert_eq!(tasks(&state, Among::Known).unwrap(), all);
        assert_eq!(tasks(&state, Among::Live).unwrap(), all[..1]);
        let masters = json!({"pid": "master@127.0.0.1:5050", "frameworks": []});
        let refused = tasks(&masters, Among::Known).unwrap_err();
        assert!(refused.to_string().contains("5051"));
    }
}
