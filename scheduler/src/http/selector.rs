//! Label selectors: `key`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, joined by
//! commas. For every operator the label must exist. A backslash takes a character as it is.

use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Eq)]
pub struct Selector(Vec<Condition>);

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    key: String,
    test: Test,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    Exists,
    In(Vec<String>),
    NotIn(Vec<String>),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Can not parse label selector {selector:?}: {problem}; write conditions like key, key==value, \
     key!=value, key in (a,b) or key notin (a,b), separated by commas"
)]
pub struct BadSelector {
    selector: String,
    problem: &'static str,
}

impl Selector {
    pub fn parse(text: &str) -> Result<Self, BadSelector> {
        let bad = |problem| BadSelector {
            selector: text.to_owned(),
            problem,
        };
        let tokens = tokens(text).ok_or_else(|| bad("it ends with a backslash"))?;
        let mut rest = tokens.as_slice();
        let mut conditions = Vec::new();
        loop {
            let (condition, after) = condition(rest).map_err(bad)?;
            conditions.push(condition);
            match after {
                [] => return Ok(Self(conditions)),
                [Token::Mark(","), after @ ..] => rest = after,
                _ => return Err(bad("a comma is missing between conditions")),
            }
        }
    }

    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| {
            labels
                .get(&condition.key)
                .is_some_and(|value| match &condition.test {
                    Test::Exists => true,
                    Test::In(values) => values.contains(value),
                    Test::NotIn(values) => !values.contains(value),
                })
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Mark(&'static str),
}

const MARKS: &[&str] = &["==", "!=", ",", "(", ")"];

/// None: the text ends with a backslash.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut rest = text;
    let flush = |word: &mut String, tokens: &mut Vec<Token>| {
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(word)));
        }
    };
    while let Some(next) = rest.chars().next() {
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            flush(&mut word, &mut tokens);
            tokens.push(Token::Mark(mark));
            rest = &rest[mark.len()..];
        } else if next == '\\' {
            let escaped = rest[1..].chars().next()?;
            word.push(escaped);
            rest = &rest[1 + escaped.len_utf8()..];
        } else {
            if next.is_whitespace() {
                flush(&mut word, &mut tokens);
            } else {
                word.push(next);
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    flush(&mut word, &mut tokens);
    Some(tokens)
}

fn condition(tokens: &[Token]) -> Result<(Condition, &[Token]), &'static str> {
    let [Token::Word(key), rest @ ..] = tokens else {
        return Err("a key is missing");
    };
    let key = key.clone();
    let (test, rest) = match rest {
        [Token::Mark("=="), Token::Word(value), rest @ ..] => (Test::In(vec![value.clone()]), rest),
        [Token::Mark("!="), Token::Word(value), rest @ ..] => {
            (Test::NotIn(vec![value.clone()]), rest)
        }
        [Token::Word(word), rest @ ..] if word == "in" || word == "notin" => {
            let (values, rest) = set(rest)?;
            (
                if word == "in" {
                    Test::In(values)
                } else {
                    Test::NotIn(values)
                },
                rest,
            )
        }
        [Token::Mark("==" | "!="), ..] => return Err("a value is missing"),
        rest => (Test::Exists, rest),
    };
    Ok((Condition { key, test }, rest))
}

fn set(tokens: &[Token]) -> Result<(Vec<String>, &[Token]), &'static str> {
    let [Token::Mark("("), rest @ ..] = tokens else {
        return Err("a set begins with (");
    };
    let mut rest = rest;
    let mut values = Vec::new();
    loop {
        match rest {
            [Token::Word(value), Token::Mark(","), after @ ..] => {
                values.push(value.clone());
                rest = after;
            }
            [Token::Word(value), Token::Mark(")"), after @ ..] => {
                values.push(value.clone());
                return Ok((values, after));
            }
            _ => return Err("a set looks like (a,b)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(selector: &str) -> bool {
        let labels = [("tier", "web"), ("a,b", "c d")];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Selector::parse(selector).unwrap().holds(&labels)
    }

    #[test]
    fn every_condition_must_hold_and_every_key_exist() {
        let table = [
            ("tier", true),
            ("tier==web", true),
            ("tier == db", false),
            ("tier!=db", true),
            ("other!=db", false),
            ("tier in (db, web)", true),
            ("tier notin (db,web)", false),
            ("tier==web, other", false),
            (r"a\,b==c\ d,tier", true),
        ];
        for (selector, expected) in table {
            assert_eq!(holds(selector), expected, "{selector}");
        }
    }

    #[test]
    fn bad_syntax_says_what_and_how_to_mend_it() {
        for selector in [
            "",
            "tier==",
            "tier in web",
            "tier in (a",
            "tier web",
            r"tier\",
        ] {
            let error = Selector::parse(selector).unwrap_err().to_string();
            assert!(error.starts_with("Can not parse label selector"), "{error}");
        }
    }
}
