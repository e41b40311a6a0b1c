//! Reads typed values out of a JSON document and notes everything that is wrong, each with its
//! path, instead of stopping at the first error.
//!
//! A reader answers `None` for a value that is absent and for one that was noted as wrong. Callers
//! go on with a default: [`Problems::check`] refuses the document in the end.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::app::Invalid;

/// What is wrong with a document so far.
#[derive(Debug, Default)]
pub(in crate::app) struct Problems {
    syntax: RefCell<Vec<(String, Vec<String>)>>,
    rules: RefCell<Vec<(String, Vec<String>)>>,
}

impl Problems {
    /// A key is missing or a value has the wrong type; `word` is one of the known error words.
    fn syntax(&self, path: &str, word: &str) {
        note(&mut self.syntax.borrow_mut(), path, word);
    }

    /// The value is well-formed but breaks a rule.
    pub(in crate::app) fn rule(&self, path: &str, says: impl AsRef<str>) {
        note(&mut self.rules.borrow_mut(), path, says.as_ref());
    }

    /// Rules are judged only on documents that could be read.
    pub(in crate::app) fn check(self) -> Result<(), Invalid> {
        let (syntax, rules) = (self.syntax.into_inner(), self.rules.into_inner());
        match (syntax.is_empty(), rules.is_empty()) {
            (false, _) => Err(Invalid::syntax(syntax)),
            (true, false) => Err(Invalid::rules(rules)),
            (true, true) => Ok(()),
        }
    }
}

fn note(notes: &mut Vec<(String, Vec<String>)>, path: &str, says: &str) {
    let path = if path.is_empty() { "/" } else { path };
    match notes.iter_mut().find(|(known, _)| known == path) {
        Some((_, errors)) if errors.iter().any(|e| e == says) => {}
        Some((_, errors)) => errors.push(says.to_owned()),
        None => notes.push((path.to_owned(), vec![says.to_owned()])),
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub value: &'a Value,
    pub path: String,
    pub problems: &'a Problems,
}

/// A value as its author wrote it, as far as it helps to find it.
fn shortened(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Something that can be read from JSON.
pub(super) trait Read: Sized {
    fn read(at: &At<'_>) -> Option<Self>;
}

impl<'a> At<'a> {
    pub fn root(value: &'a Value, problems: &'a Problems) -> At<'a> {
        At {
            value,
            path: String::new(),
            problems,
        }
    }

    pub fn wrong<T>(&self, word: &str) -> Option<T> {
        self.problems.syntax(&self.path, word);
        None
    }

    /// The same, and what would be right, for words that do not say it.
    fn wrong_unless<T>(&self, word: &str, expected: impl std::fmt::Display) -> Option<T> {
        self.problems.syntax(&self.path, word);
        let says = format!("got {}, expected {expected}", shortened(self.value));
        self.problems.syntax(&self.path, &says);
        None
    }

    pub fn breaks<T>(&self, says: impl AsRef<str>) -> Option<T> {
        self.problems.rule(&self.path, says);
        None
    }

    pub fn object(&self) -> Option<Fields<'a>> {
        match self.value {
            Value::Object(map) => Some(Fields {
                map,
                path: self.path.clone(),
                problems: self.problems,
            }),
            _ => self.wrong("error.expected.jsobject"),
        }
    }

    pub fn items(&self) -> Option<Vec<At<'a>>> {
        let Value::Array(items) = self.value else {
            return self.wrong("error.expected.jsarray");
        };
        let at = |(i, value)| At {
            value,
            path: format!("{}({i})", self.path),
            problems: self.problems,
        };
        Some(items.iter().enumerate().map(at).collect())
    }

    /// A whole number within bounds; `2.0` counts as one.
    pub fn integer(&self, min: u64, max: u64) -> Option<u64> {
        let Value::Number(number) = self.value else {
            return self.wrong("error.expected.jsnumber");
        };
        let value = number.as_f64().unwrap_or(f64::NAN);
        if value.fract() != 0.0 {
            return self.wrong_unless("error.expected.jsnumber", "a whole number");
        }
        // Exact: no bound that is asked for is beyond 2^53, so neither is what lies between.
        if value < min as f64 {
            return self.wrong_unless("error.min", format_args!("{min} or more"));
        }
        if value > max as f64 {
            return self.wrong_unless("error.max", format_args!("{max} or less"));
        }
        Some(value as u64)
    }

    /// One of a few words, in any case.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let Value::String(text) = self.value else {
            return self.wrong("error.expected.jsstring");
        };
        match words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
        {
            Some((_, meaning)) => Some(*meaning),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let expected = format!("one of {}", known.join(", "));
                self.wrong_unless("error.unknown.enum.literal", expected)
            }
        }
    }

    /// A string, or the text of a number or boolean.
    pub fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(self.noting_nul(text)),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => self.wrong("error.expected.jsstring"),
        }
    }

    /// Most texts of an app become paths, words of a program or its environment, and there NUL
    /// would end them.
    fn noting_nul(&self, text: &str) -> String {
        if text.contains('\0') {
            self.problems.rule(&self.path, "must not contain NUL");
        }
        text.to_owned()
    }
}

/// The keys of an object. `null` is the same as absent; unknown keys are ignored.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    pub path: String,
    pub problems: &'a Problems,
}

impl<'a> Fields<'a> {
    pub fn path_of(&self, key: &str) -> String {
        format!("{}/{key}", self.path)
    }

    pub fn get(&self, key: &str) -> Option<At<'a>> {
        let value = self.map.get(key).filter(|v| !v.is_null())?;
        Some(At {
            value,
            path: self.path_of(key),
            problems: self.problems,
        })
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn object(&self, key: &str) -> Option<Fields<'a>> {
        self.get(key)?.object()
    }

    pub fn optional<T: Read>(&self, key: &str) -> Option<T> {
        T::read(&self.get(key)?)
    }

    pub fn required<T: Read>(&self, key: &str) -> Option<T> {
        let Some(at) = self.get(key) else {
            self.missing(key);
            return None;
        };
        T::read(&at)
    }

    pub fn missing(&self, key: &str) {
        self.problems
            .syntax(&self.path_of(key), "error.path.missing");
    }

    pub fn or<T: Read>(&self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    pub fn list<T: Read>(&self, key: &str) -> Vec<T> {
        self.optional(key).unwrap_or_default()
    }

    pub fn map<T: Read>(&self, key: &str) -> BTreeMap<String, T> {
        self.optional(key).unwrap_or_default()
    }

    pub fn breaks(&self, key: &str, says: impl AsRef<str>) {
        self.problems.rule(&self.path_of(key), says);
    }
}

impl Read for String {
    fn read(at: &At<'_>) -> Option<String> {
        match at.value {
            Value::String(text) => Some(at.noting_nul(text)),
            _ => at.wrong("error.expected.jsstring"),
        }
    }
}

impl Read for bool {
    fn read(at: &At<'_>) -> Option<bool> {
        match at.value {
            Value::Bool(value) => Some(*value),
            _ => at.wrong("error.expected.jsboolean"),
        }
    }
}

/// All fractional numbers of an app are amounts: none is below 0.
impl Read for f64 {
    fn read(at: &At<'_>) -> Option<f64> {
        match at.value.as_f64() {
            None => at.wrong("error.expected.jsnumber"),
            Some(value) if value < 0.0 => at.wrong_unless("error.min", "0 or more"),
            // -0 would be written as `-0.0`.
            Some(value) => Some(value.abs()),
        }
    }
}

impl Read for u32 {
    fn read(at: &At<'_>) -> Option<u32> {
        // The reference counts in signed 32 bits, and so do its clients.
        at.integer(0, i32::MAX.unsigned_abs().into())?
            .try_into()
            .ok()
    }
}

impl Read for u16 {
    fn read(at: &At<'_>) -> Option<u16> {
        at.integer(0, u64::from(u16::MAX))?.try_into().ok()
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(at: &At<'_>) -> Option<Vec<T>> {
        Some(at.items()?.iter().filter_map(T::read).collect())
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(at: &At<'_>) -> Option<BTreeMap<String, T>> {
        let fields = at.object()?;
        for key in fields.map.keys().filter(|key| key.contains('\0')) {
            fields.breaks(key, "a name must not contain NUL");
        }
        let entry = |key: &String| Some((key.clone(), fields.optional(key)?));
        Some(fields.map.keys().filter_map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::Details;

    fn errors_of<T: Read>(value: Value) -> Vec<(String, Vec<String>)> {
        let problems = Problems::default();
        T::read(&At::root(&value, &problems));
        match problems.check() {
            Ok(()) => Vec::new(),
            Err(Invalid {
                details: Details::Paths(paths),
                ..
            }) => paths,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
        let problems = Problems::default();
        let value: Value = serde_json::from_str("2.000000").unwrap();
        assert_eq!(u32::read(&At::root(&value, &problems)), Some(2));
    }

    #[test]
    fn wrong_types_have_the_known_words() {
        let word = |errors: Vec<(String, Vec<String>)>| errors[0].1[0].clone();
        assert_eq!(
            word(errors_of::<u32>(json!("2"))),
            "error.expected.jsnumber"
        );
        assert_eq!(
            word(errors_of::<u32>(json!(2.5))),
            "error.expected.jsnumber"
        );
        assert_eq!(word(errors_of::<u32>(json!(-1))), "error.min");
        assert_eq!(word(errors_of::<u16>(json!(70000))), "error.max");
        assert_eq!(
            word(errors_of::<String>(json!(1))),
            "error.expected.jsstring"
        );
        assert_eq!(
            word(errors_of::<bool>(json!("x"))),
            "error.expected.jsboolean"
        );
        assert_eq!(word(errors_of::<f64>(json!(-0.1))), "error.min");
    }

    #[test]
    fn a_value_is_shown_shortened() {
        let long = shortened(&json!("ä".repeat(100)));
        assert_eq!(long, format!("\"{}…", "ä".repeat(59)));
        assert_eq!(shortened(&json!(2.5)), "2.5");
    }

    #[test]
    fn every_error_is_noted_with_its_path() {
        let errors = errors_of::<BTreeMap<String, Vec<u16>>>(json!({"a": [1, "x", -1], "b": 3}));
        assert_eq!(
            errors,
            [
                (
                    "/a(1)".to_owned(),
                    vec!["error.expected.jsnumber".to_owned()]
                ),
                (
                    "/a(2)".to_owned(),
                    vec![
                        "error.min".to_owned(),
                        "got -1, expected 0 or more".to_owned()
                    ]
                ),
                ("/b".to_owned(), vec!["error.expected.jsarray".to_owned()]),
            ]
        );
    }
}
