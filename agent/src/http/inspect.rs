//! `/inspect`: what one container was made of, and how long that took.

use containerizer::Timings;
use endpoint::Query;
use serde_json::{Value, json};

use super::reply::Failure;
use super::{secrets, timings};
use crate::book::{Book, Executor, Kind};
use crate::container::Container;
use crate::quota::{Quotas, Use};

const SELECTION: &str = "select one container, by task_id alone or by container_id alone";

/// Reads the container's record, and so blocks.
pub fn inspect(book: &Book, query: &Query, quotas: Option<&Quotas>) -> Result<Value, Failure> {
    let found = select(book, query)?;
    let container = found.container();
    let container = container.ok_or_else(|| Failure::NoContainer(found.task.to_owned()))?;
    let disk = quotas.and_then(|quotas| quotas.of(&found.executor.sandbox));
    let mut explained = found.explain(container.spec(), container.timings(), disk);
    if let Some(inspected) = container.inspected() {
        explained["docker"] = without_secrets(inspected, "/Config/Env");
    }
    Ok(explained)
}

/// A task and the executor that runs it.
#[derive(Debug)]
struct Found<'a> {
    task: &'a str,
    executor: &'a Executor,
}

/// Pure: the one that the query names.
fn select<'a>(book: &'a Book, query: &Query) -> Result<Found<'a>, Failure> {
    let (task, container) = (query.value("task_id"), query.value("container_id"));
    let ((Some(id), None) | (None, Some(id))) = (task, container) else {
        return Err(Failure::Selection(SELECTION));
    };
    let all = book.executors().flat_map(|(_, executor)| {
        let of_task = move |task: &'a String| Found { task, executor };
        executor.tasks.keys().map(of_task)
    });
    let is_wanted = |found: &Found<'_>| match task {
        Some(id) => found.task == id,
        None => found.id() == id,
    };
    let mut found: Vec<_> = all.filter(is_wanted).collect();
    if found.len() > 1 {
        let choices: Vec<_> = found.iter().map(Found::choice).collect();
        return Err(Failure::Ambiguous {
            id: id.to_owned(),
            choices: choices.join(", "),
        });
    }
    found.pop().ok_or_else(|| Failure::NotHere(id.to_owned()))
}

impl Found<'_> {
    /// Of its container.
    fn id(&self) -> String {
        let nested = self.executor.nested_of(self.task);
        nested.unwrap_or_else(|| self.executor.run.container.clone())
    }

    fn container(&self) -> Option<&Container> {
        match self.executor.kind {
            Kind::Command | Kind::Custom => self.executor.container.as_ref(),
            Kind::Group => self.executor.members.get(self.task),
        }
    }

    /// How to ask for this one and no other.
    fn choice(&self) -> String {
        let run = &self.executor.run;
        format!("container_id={} of framework {}", self.id(), run.framework)
    }

    /// Pure: the answer.
    fn explain(&self, spec: Option<Value>, launch: Option<&Timings>, disk: Option<Use>) -> Value {
        let run = &self.executor.run;
        json!({
            "task_id": self.task,
            "container_id": self.id(),
            "framework_id": run.framework,
            "sandbox": self.executor.sandbox,
            "spec": spec.map(shown),
            "launch": launch.map(timings::launch),
            "disk": disk.map(|disk| json!({
                "used_bytes": disk.used,
                "limit_bytes": disk.limit,
                "project": disk.project,
            })),
        })
    }
}

/// `env`: where the environment is.
fn without_secrets(mut whole: Value, env: &str) -> Value {
    let env = whole.pointer_mut(env).and_then(Value::as_array_mut);
    for entry in env.into_iter().flatten() {
        *entry = Value::from(secrets::shown(entry.as_str().unwrap_or_default()));
    }
    whole
}

/// The spec as it may be shown, and always in the same order.
fn shown(spec: Value) -> Value {
    let mut spec = without_secrets(spec, "/process/env");
    // Capabilities are sets, which have another order each time they are read.
    let sets = spec
        .pointer_mut("/process/capabilities")
        .and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()) {
        let names = set.as_array_mut().map(Vec::as_mut_slice);
        names
            .unwrap_or_default()
            .sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::{add, book};

    /// Task and container, or why there is none.
    fn selected(book: &Book, query: &str) -> Result<(String, String), String> {
        let found = select(book, &Query::parse(query)).map_err(|failure| failure.to_string())?;
        Ok((found.task.to_owned(), found.executor.run.container.clone()))
    }

    /// Task "t" of the frameworks "F" and "G", in the containers "C" and "D".
    fn twins() -> Book {
        let mut book = book("/s".into());
        let mut twin = Executor::clone(&book.frameworks["F"].executors["t"]);
        let mut framework = book.frameworks["F"].info.clone();
        framework.id = Some(proto::v1::FrameworkId { value: "G".into() });
        (twin.run.framework, twin.run.container) = ("G".into(), "D".into());
        book.add_executor(&framework, twin);
        book
    }

    #[test]
    fn a_container_is_found_by_its_own_id_and_by_that_of_its_task() {
        let mut book = book("/s".into());
        add(&mut book, "u", "/u".into());
        let found = Ok(("t".to_owned(), "C".to_owned()));
        assert_eq!(selected(&book, "task_id=t"), found);
        let found = Ok(("t".to_owned(), "D".to_owned()));
        assert_eq!(selected(&twins(), "container_id=D"), found);
    }

    #[test]
    fn a_task_id_of_two_frameworks_is_answered_with_both_containers() {
        let refused = selected(&twins(), "task_id=t").unwrap_err();
        assert_eq!(
            refused,
            "\"t\" is a task of several frameworks, so name its container: container_id=C of \
             framework F, container_id=D of framework G"
        );
    }

    #[test]
    fn one_container_must_be_named_and_known() {
        let book = book("/s".into());
        for query in ["", "task_id=", "task_id=t&container_id=C"] {
            assert_eq!(selected(&book, query), Err(SELECTION.to_owned()), "{query}");
        }
        let refused = selected(&book, "task_id=C").unwrap_err();
        assert!(
            refused.starts_with("no task and no container \"C\""),
            "{refused}"
        );
    }

    #[test]
    fn a_spec_is_shown_as_it_was_executed_but_for_secrets_and_the_order_of_sets() {
        let book = book("/s".into());
        let found = select(&book, &Query::parse("task_id=t")).unwrap();
        let spec = |password: &str, capabilities: [&str; 2]| {
            let env = ["HOST=a".to_owned(), format!("PASSWORD={password}")];
            let capabilities = json!({"bounding": capabilities});
            json!({
                "ociVersion": "1.0.2",
                "process": {"args": ["sh", "-c"], "env": env, "capabilities": capabilities},
            })
        };
        let disk = Use {
            used: Some(5),
            limit: None,
            project: Some(5000),
        };
        let executed = spec("geheim", ["CAP_KILL", "CAP_CHOWN"]);
        assert_eq!(
            found.explain(Some(executed), None, Some(disk)),
            json!({
                "task_id": "t",
                "container_id": "C",
                "framework_id": "F",
                "sandbox": "/s",
                "spec": spec("<hidden>", ["CAP_CHOWN", "CAP_KILL"]),
                "launch": null,
                "disk": {"used_bytes": 5, "limit_bytes": null, "project": 5000},
            })
        );
    }
}
