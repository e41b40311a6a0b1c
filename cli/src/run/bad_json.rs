//! Files that are not JSON: where the mistake is, and how to mend it.

use std::fmt;

/// One mistake.
#[derive(Debug, PartialEq)]
pub struct BadJson {
    file: String,
    /// From 1.
    line: usize,
    column: usize,
    what: String,
    /// The line itself.
    excerpt: String,
}

impl BadJson {
    pub fn at(file: &str, text: &[u8], error: &serde_json::Error) -> BadJson {
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
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        BadJson::at("app.json", text.as_bytes(), &error).to_string()
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
}
