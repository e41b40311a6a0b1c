//! What files ask to be run.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::bad_json::BadJson;

/// An app or a group of apps as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// For messages.
    pub file: String,
    pub kind: Kind,
    pub document: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    App,
    Group,
}

/// Seconds that an instance which has ended waits for its successor: it will not be there any more.
const NEVER: u32 = 1_000_000;

const EXAMPLE: &str =
    r#"{"id": "hello", "cmd": "echo hello; sleep 1000", "cpus": 0.1, "mem": 32, "instances": 1}"#;

/// What is in a file: an app, a group, or an array of these. `-` is stdin.
pub fn read(path: &Path) -> anyhow::Result<Vec<Draft>> {
    let (name, text) = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut text)
            .context("cannot read apps from stdin")?;
        ("<stdin>".to_owned(), text)
    } else {
        let name = path.display().to_string();
        let text = std::fs::read(path).with_context(|| {
            format!("cannot read {name}: name a file with an app in JSON, or - for stdin")
        })?;
        (name, text)
    };
    parse(&name, &text)
}

fn parse(file: &str, text: &[u8]) -> anyhow::Result<Vec<Draft>> {
    // Some editors put a byte order mark in front.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let document: Value =
        serde_json::from_slice(text).map_err(|error| BadJson::at(file, text, &error))?;
    let documents = match document {
        Value::Array(documents) => documents,
        document => vec![document],
    };
    if documents.is_empty() {
        bail!("{file} holds no app: write one like {EXAMPLE}");
    }
    documents
        .into_iter()
        .map(|it| Draft::new(file, it))
        .collect()
}

impl Draft {
    fn new(file: &str, document: Value) -> anyhow::Result<Draft> {
        let Value::Object(document) = document else {
            bail!("{file} holds something that is not an app: write an object like {EXAMPLE}");
        };
        let is_group = document.contains_key("groups") || document.contains_key("apps");
        Ok(Draft {
            file: file.to_owned(),
            kind: if is_group { Kind::Group } else { Kind::App },
            document,
        })
    }

    /// The same with a delay before any second task of an instance that will not come to pass: so
    /// what has ended stays ended until its app is deleted.
    pub fn once(mut self) -> Draft {
        match self.kind {
            Kind::App => app_once(&mut self.document),
            Kind::Group => group_once(&mut self.document),
        }
        self
    }
}

fn app_once(app: &mut Map<String, Value>) {
    for key in ["backoffSeconds", "maxLaunchDelaySeconds"] {
        app.insert(key.to_owned(), NEVER.into());
    }
}

fn group_once(group: &mut Map<String, Value>) {
    members(group, "apps").for_each(app_once);
    members(group, "groups").for_each(group_once);
}

fn members<'a>(
    group: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = group.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let drafts = parse("app.json", text.as_bytes()).unwrap();
        drafts.into_iter().map(|draft| draft.kind).collect()
    }

    #[test]
    fn a_file_holds_one_thing_or_several() {
        assert_eq!(kinds(r#"{"id": "a"}"#), [Kind::App]);
        assert_eq!(kinds(r#"{"id": "/g", "groups": []}"#), [Kind::Group]);
        let several = "\u{feff}[{\"id\": \"a\"}, {\"id\": \"g\", \"apps\": []}]";
        assert_eq!(kinds(several), [Kind::App, Kind::Group]);
    }

    #[test]
    fn what_is_no_app_is_refused_with_an_example() {
        let error = |text: &str| parse("app.json", text.as_bytes()).unwrap_err().to_string();
        assert!(error("[]").starts_with("app.json holds no app: write one like {\"id\""));
        assert!(error("3").contains("not an app"));
    }

    #[test]
    fn an_app_that_runs_once_is_not_started_again_in_time() {
        let app = json!({"id": "a", "backoffSeconds": 1});
        let group = json!({"groups": [{"apps": [app.clone()]}]});
        let once = |it: Value| Value::Object(Draft::new("f", it).unwrap().once().document);
        for app in [once(app), once(group)["groups"][0]["apps"][0].clone()] {
            assert_eq!(app["backoffSeconds"], NEVER);
            assert_eq!(app["maxLaunchDelaySeconds"], NEVER);
        }
    }
}
