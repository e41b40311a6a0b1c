//! Apps from files, with errors that say where and how to mend them.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// An app as it stands in a file, and the file's name for messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub file: String,
    pub app: Value,
}

/// The apps of a file: one, or an array of them. `-` is stdin.
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
            format!("cannot read {name}: name a file with an app in JSON, or -")
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
    let apps = match document {
        Value::Array(apps) => apps,
        app => vec![app],
    };
    if apps.is_empty() {
        bail!("{file} holds no app: write one like {EXAMPLE}");
    }
    apps.into_iter().map(|app| draft(file, app)).collect()
}

const EXAMPLE: &str =
    r#"{"id": "hello", "cmd": "echo hello; sleep 1000", "cpus": 0.1, "mem": 32, "instances": 1}"#;

fn draft(file: &str, app: Value) -> anyhow::Result<Draft> {
    let Value::Object(fields) = &app else {
        bail!("{file} holds something that is not an app: write an object like {EXAMPLE}");
    };
    if fields.contains_key("groups") || fields.contains_key("apps") {
        bail!("{file} holds a group: start its apps one by one, as an array of apps");
    }
    Ok(Draft {
        file: file.to_owned(),
        app,
    })
}

/// A file that is not JSON.
#[derive(Debug, PartialEq)]
struct BadJson {
    file: String,
    /// From 1.
    line: usize,
    column: usize,
    what: String,
    /// The line itself.
    excerpt: String,
}

impl BadJson {
    fn at(file: &str, text: &[u8], error: &serde_json::Error) -> BadJson {
        let message = error.to_string();
        // The parser repeats the position, which stands in front here.
        let what = message
            .split(" at line ")
            .next()
            .unwrap_or(&message)
            .to_owned();
        let text = String::from_utf8_lossy(text);
        let excerpt = text
            .lines()
            .nth(error.line().saturating_sub(1))
            .unwrap_or_default();
        BadJson {
            file: file.to_owned(),
            line: error.line(),
            column: error.column(),
            what,
            excerpt: excerpt.to_owned(),
        }
    }

    fn remedy(&self) -> &'static str {
        REMEDIES
            .iter()
            .find(|(says, _)| self.what.contains(says))
            .map_or(
                "see https://www.json.org for what JSON looks like",
                |(_, remedy)| remedy,
            )
    }
}

/// What the parser says, and what to do about it.
const REMEDIES: &[(&str, &str)] = &[
    ("EOF while parsing a string", "a closing \" is missing"),
    (
        "EOF while parsing a value",
        "the file ends where a value should stand",
    ),
    (
        "EOF",
        "the file ends too early: a closing } or ] is missing",
    ),
    (
        "trailing comma",
        "remove the comma before the closing } or ]",
    ),
    (
        "expected `,` or `}`",
        "put a comma between this and what stands before it",
    ),
    (
        "expected `,` or `]`",
        "put a comma between this and what stands before it, or close the [",
    ),
    ("key must be a string", "put the key in double quotes"),
    ("expected `:`", "put a colon between key and value"),
    (
        "control character",
        "write a line break inside a string as \\n",
    ),
    (
        "invalid escape",
        "write a backslash inside a string as \\\\",
    ),
    (
        "trailing characters",
        "put several apps into one array: [ {…}, {…} ]",
    ),
    ("invalid unicode", "save the file as UTF-8"),
    ("expected value", "put texts in double quotes"),
    ("expected ident", "put texts in double quotes"),
];

impl fmt::Display for BadJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            what,
            excerpt,
        } = self;
        write!(f, "{file}:{line}:{column}: {what}: {}", self.remedy())?;
        if !excerpt.trim().is_empty() && excerpt.len() < 160 {
            let before: String = excerpt.chars().take(column.saturating_sub(1)).collect();
            // Tabs stay tabs, so that the caret stands below its character.
            let indent: String = before
                .chars()
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n    {excerpt}\n    {indent}^")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadJson {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("app.json", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_holds_one_app_or_several() {
        let count = |text: &str| parse("a", text.as_bytes()).unwrap().len();
        assert_eq!(count(r#"{"id": "a"}"#), 1);
        assert_eq!(count("\u{feff}[{\"id\": \"a\"}, {\"id\": \"b\"}]"), 2);
    }

    #[test]
    fn broken_json_is_shown_with_its_place_and_remedy() {
        assert_eq!(
            error("{\n  \"id\": \"a\"\n  \"cmd\": \"b\"\n}"),
            "app.json:3:3: expected `,` or `}`: put a comma between this and what stands before \
             it\n      \"cmd\": \"b\"\n      ^"
        );
        let remedies = [
            ("{\"id\": \"a\",}", "remove the comma"),
            ("{\"id\": \"a\"", "a closing } or ] is missing"),
            ("{id: \"a\"}", "put the key in double quotes"),
            ("{\"id\": a}", "put texts in double quotes"),
            (
                "{\"id\": \"a\"} {\"id\": \"b\"}",
                "put several apps into one array",
            ),
            ("", "the file ends where a value should stand"),
        ];
        for (text, remedy) in remedies {
            assert!(error(text).contains(remedy), "{text}: {}", error(text));
        }
    }

    #[test]
    fn what_is_no_app_is_refused_with_an_example() {
        assert!(error("[]").starts_with("app.json holds no app: write one like {\"id\""));
        assert!(error("3").contains("not an app"));
        assert!(error(r#"{"id": "/g", "apps": []}"#).contains("holds a group"));
    }
}
