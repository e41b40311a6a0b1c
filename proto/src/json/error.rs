//! Why JSON is not the message it should be, and where in it.

use std::fmt;

use serde_json::Value;

use crate::path::Path;

/// What is wrong with a JSON input, with the path to it.
#[derive(Debug, thiserror::Error)]
pub struct JsonError {
    path: Path,
    problem: Problem,
}

/// What is wrong at the place that a [`JsonError`] names.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("this is not JSON: {0}")]
    Syntax(serde_json::Error),
    #[error("required field is missing")]
    Missing,
    #[error("expected {expected}, found {found}")]
    Type {
        expected: &'static str,
        found: String,
    },
    #[error("{value} is not {expected}")]
    Number {
        expected: &'static str,
        value: String,
    },
    #[error("{name:?} is not one of {known}")]
    UnknownEnumValue { name: String, known: String },
    #[error("this is not base64: {0}")]
    Base64(base64::DecodeError),
    #[error("this is not a duration: write {{\"seconds\": 600}} or \"10mins\" ({0})")]
    Duration(String),
    #[error("messages are nested more than {max} levels deep")]
    TooDeep { max: usize },
    #[error("this does not fit the schema: {0}")]
    Schema(prost::DecodeError),
}

impl From<Problem> for JsonError {
    fn from(problem: Problem) -> Self {
        Self {
            path: Path::default(),
            problem,
        }
    }
}

impl JsonError {
    /// What is wrong at [`JsonError::path`].
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Where it is wrong, such as `framework_info.roles[2]`; empty for the whole input.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    pub(super) fn syntax(error: serde_json::Error) -> Self {
        Problem::Syntax(error).into()
    }

    pub(super) fn schema(error: prost::DecodeError) -> Self {
        Problem::Schema(error).into()
    }

    pub(super) fn of_type(expected: &'static str, found: &Value) -> Self {
        Problem::Type {
            expected,
            found: describe(found),
        }
        .into()
    }

    pub(super) fn within(mut self, field: &str) -> Self {
        self.path.enter_field(field);
        self
    }

    pub(super) fn within_item(mut self, item: usize) -> Self {
        self.path.enter_item(item);
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path().as_str() {
            "" => write!(f, "{}", self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

/// Names a value in an error without repeating all of it.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.chars().count() <= 40 => format!("the text {s:?}"),
        Value::String(s) => format!("a text of {} bytes", s.len()),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
