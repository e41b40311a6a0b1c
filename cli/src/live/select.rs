//! The one task that a few words on the command line mean.

use anyhow::{anyhow, bail};
use serde_json::Value;

use crate::task_id::is_of;

/// Tasks that an error lists at most.
const LISTED: usize = 10;

/// A task that runs on an agent, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub task: String,
    pub container: String,
}

/// Those in an agent's `/state`.
pub fn live(state: &Value) -> anyhow::Result<Vec<Live>> {
    // A master's has frameworks too, but no executors.
    let pid = state["pid"].as_str().unwrap_or_default();
    if !pid.starts_with("slave(") {
        bail!("there is no agent: give the address of one (their usual port is 5051)");
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut live = Vec::new();
    for framework in list(&state["frameworks"]) {
        for executor in list(&framework["executors"]) {
            let container = executor["container"].as_str().unwrap_or_default();
            for task in list(&executor["tasks"]) {
                live.push(Live {
                    task: task["id"].as_str().unwrap_or_default().to_owned(),
                    container: container.to_owned(),
                });
            }
        }
    }
    Ok(live)
}

/// The one that `wanted` names: by its own id or its container's, by its app, or by how one of the
/// ids begins. The first of these that fits any task decides.
pub fn select<'a>(live: &'a [Live], wanted: &str) -> anyhow::Result<&'a Live> {
    let is_named = |it: &Live| it.task == wanted || it.container == wanted;
    let is_of_app = |it: &Live| is_of(&it.task, wanted);
    let begins = |it: &Live| it.task.starts_with(wanted) || it.container.starts_with(wanted);
    let rules: [&dyn Fn(&Live) -> bool; 3] = [&is_named, &is_of_app, &begins];
    let found = rules
        .into_iter()
        .map(|rule| live.iter().filter(|it| rule(it)).collect::<Vec<_>>())
        .find(|found| !found.is_empty());
    match found.as_deref() {
        Some([one]) => Ok(one),
        Some(several) => {
            let several = listed(several.iter().copied());
            Err(anyhow!(
                "{wanted:?} means several tasks; name one, or its container:{several}"
            ))
        }
        None if live.is_empty() => Err(anyhow!("no task runs there")),
        None => {
            let all = listed(live.iter());
            Err(anyhow!(
                "no task, container or app {wanted:?} runs there, but:{all}"
            ))
        }
    }
}

/// A line for each of the first few.
fn listed<'a>(tasks: impl ExactSizeIterator<Item = &'a Live>) -> String {
    let more = tasks.len().saturating_sub(LISTED);
    let line = |it: &Live| format!("\n    {} in container {}", it.task, it.container);
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

    fn cluster() -> Vec<Live> {
        let one = |task: &str, container: &str| Live {
            task: task.into(),
            container: container.into(),
        };
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
        let live = cluster();
        let found = select(&live, wanted).map(|it| it.container.clone());
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
        let refused = select(&[], "web").unwrap_err().to_string();
        assert_eq!(refused, "no task runs there");
    }

    #[test]
    fn long_lists_are_cut() {
        let many = |n: usize| Live {
            task: format!("t{n}"),
            container: format!("c{n}"),
        };
        let live: Vec<_> = (0..12).map(many).collect();
        let refused = select(&live, "x").unwrap_err().to_string();
        assert!(
            refused.ends_with("t9 in container c9\n    and 2 more"),
            "{refused}"
        );
    }

    #[test]
    fn live_tasks_are_those_of_an_agents_executors() {
        let task = |id: &str| json!({"id": id});
        let state = json!({
            "pid": "slave(1)@127.0.0.1:5051",
            "frameworks": [{
                "executors": [
                    {"container": "c1", "tasks": [task("a")], "completed_tasks": []},
                    {"container": "c2", "tasks": [], "completed_tasks": [task("b")]},
                ],
                "completed_executors": [{"container": "c3", "tasks": [], "completed_tasks": [task("c")]}],
            }],
        });
        let only = Live {
            task: "a".into(),
            container: "c1".into(),
        };
        assert_eq!(live(&state).unwrap(), [only]);
        let masters = json!({"pid": "master@127.0.0.1:5050", "frameworks": []});
        assert!(live(&masters).unwrap_err().to_string().contains("5051"));
    }
}
