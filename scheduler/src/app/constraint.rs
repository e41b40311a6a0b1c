//! Placement constraints: which agents an instance may run on.

use std::fmt;

/// One constraint. Source: spec/marathon-api.md section 8.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// `hostname`, `@hostname`, `@region`, `@zone`, or the name of an agent attribute.
    pub field: String,
    pub operator: Operator,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// No two instances share a value.
    Unique,
    /// All instances have this value; without one, the value of the first.
    Cluster(Option<String>),
    /// The whole value matches.
    Like(Pattern),
    /// The whole value does not match, or there is none.
    Unlike(Pattern),
    /// Spread evenly over so many values; over all when `None`.
    GroupBy(Option<u32>),
    /// Fewer than so many instances share a value.
    MaxPer(u32),
    /// The value is equal; numbers are compared as numbers.
    Is(String),
}

/// A regular expression that is held against a whole value.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: regex::Regex,
}

/// Why a constraint was refused, each as clients know the sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConstraint {
    #[error("Each constraint must have either 2 or 3 fields")]
    Arity,
    #[error(
        "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE \
         or IS"
    )]
    Operator,
    #[error("field must not be empty: name 'hostname', '@region', '@zone' or an agent attribute")]
    Field,
    #[error("UNIQUE does not accept a value")]
    UniqueValue,
    #[error("LIKE and UNLIKE require a non-empty, regular expression value")]
    NoPattern,
    #[error("'{0}' is not a valid regular expression")]
    Pattern(String),
    #[error("GROUP BY must define an integer value or else no value at all")]
    GroupBy,
    #[error("MAX_PER requires an integer value")]
    MaxPer,
    #[error("IS requires a value that matches '^[a-zA-Z0-9_/.-]*$'")]
    Is,
}

impl Constraint {
    /// Reads `[field, operator]` or `[field, operator, value]`; the operator in any case.
    pub fn parse(words: &[String]) -> Result<Constraint, BadConstraint> {
        let (field, operator, value) = match words {
            [field, operator] => (field, operator, None),
            [field, operator, value] => (field, operator, Some(value.as_str())),
            _ => return Err(BadConstraint::Arity),
        };
        if field.is_empty() {
            return Err(BadConstraint::Field);
        }
        Ok(Constraint {
            field: field.clone(),
            operator: Operator::parse(operator, value)?,
        })
    }

    /// The canonical words, which `parse` reads back.
    pub fn words(&self) -> Vec<String> {
        let (operator, value) = self.operator.words();
        [self.field.clone(), operator.to_owned()]
            .into_iter()
            .chain(value)
            .collect()
    }
}

impl Operator {
    fn parse(name: &str, value: Option<&str>) -> Result<Operator, BadConstraint> {
        // An empty value is what forms in web pages send for none.
        let value = value.filter(|v| !v.is_empty());
        match name.to_ascii_uppercase().as_str() {
            "UNIQUE" => match value {
                None => Ok(Operator::Unique),
                Some(_) => Err(BadConstraint::UniqueValue),
            },
            "CLUSTER" => Ok(Operator::Cluster(value.map(str::to_owned))),
            "LIKE" => Ok(Operator::Like(Pattern::parse(value)?)),
            "UNLIKE" => Ok(Operator::Unlike(Pattern::parse(value)?)),
            "GROUP_BY" => match value.map(str::parse).transpose() {
                Ok(Some(0)) | Err(_) => Err(BadConstraint::GroupBy),
                Ok(groups) => Ok(Operator::GroupBy(groups)),
            },
            "MAX_PER" => match value.unwrap_or_default().parse() {
                Ok(most) => Ok(Operator::MaxPer(most)),
                Err(_) => Err(BadConstraint::MaxPer),
            },
            "IS" => match value {
                Some(value) if value.chars().all(is_attribute_char) => {
                    Ok(Operator::Is(value.to_owned()))
                }
                _ => Err(BadConstraint::Is),
            },
            _ => Err(BadConstraint::Operator),
        }
    }

    fn words(&self) -> (&'static str, Option<String>) {
        match self {
            Operator::Unique => ("UNIQUE", None),
            Operator::Cluster(value) => ("CLUSTER", value.clone()),
            Operator::Like(pattern) => ("LIKE", Some(pattern.text.clone())),
            Operator::Unlike(pattern) => ("UNLIKE", Some(pattern.text.clone())),
            Operator::GroupBy(groups) => ("GROUP_BY", groups.map(|g| g.to_string())),
            Operator::MaxPer(most) => ("MAX_PER", Some(most.to_string())),
            Operator::Is(value) => ("IS", Some(value.clone())),
        }
    }
}

fn is_attribute_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-')
}

impl Pattern {
    fn parse(text: Option<&str>) -> Result<Pattern, BadConstraint> {
        let text = text.ok_or(BadConstraint::NoPattern)?.to_owned();
        match regex::Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Ok(Pattern { text, regex }),
            Err(_) => Err(BadConstraint::Pattern(text)),
        }
    }

    /// Whether the whole `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Constraint, BadConstraint> {
        Constraint::parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn operators_are_read_in_any_case_and_written_upper() {
        for (words, canonical) in [
            (vec!["hostname", "unique"], vec!["hostname", "UNIQUE"]),
            (
                vec!["disk", "Cluster", "hdd"],
                vec!["disk", "CLUSTER", "hdd"],
            ),
            (
                vec!["hostname", "Unlike", "a[Y]"],
                vec!["hostname", "UNLIKE", "a[Y]"],
            ),
            (vec!["rack", "GROUP_BY", "3"], vec!["rack", "GROUP_BY", "3"]),
            (vec!["rack", "GROUP_BY", ""], vec!["rack", "GROUP_BY"]),
            (vec!["rack", "max_per", "2"], vec!["rack", "MAX_PER", "2"]),
            (vec!["rack", "IS", "1.5"], vec!["rack", "IS", "1.5"]),
        ] {
            let constraint = parse(&words).unwrap();
            assert_eq!(constraint.words(), canonical);
            assert_eq!(parse(&canonical), Ok(constraint));
        }
    }

    #[test]
    fn bad_constraints_say_why() {
        for (words, why) in [
            (vec!["hostname"], BadConstraint::Arity),
            (vec!["hostname", "LIKE", "a", "b"], BadConstraint::Arity),
            (vec!["hostname", "EQUALS", "a"], BadConstraint::Operator),
            (vec!["", "UNIQUE"], BadConstraint::Field),
            (vec!["hostname", "UNIQUE", "a"], BadConstraint::UniqueValue),
            (vec!["hostname", "LIKE"], BadConstraint::NoPattern),
            (
                vec!["hostname", "LIKE", "("],
                BadConstraint::Pattern("(".to_owned()),
            ),
            (vec!["rack", "GROUP_BY", "many"], BadConstraint::GroupBy),
            (vec!["rack", "MAX_PER"], BadConstraint::MaxPer),
            (vec!["rack", "IS", "a b"], BadConstraint::Is),
        ] {
            assert_eq!(parse(&words), Err(why), "{words:?}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_values_only() {
        let Operator::Like(pattern) = parse(&["rack", "LIKE", "a|bc"]).unwrap().operator else {
            panic!("not LIKE");
        };
        assert!(pattern.matches("a") && pattern.matches("bc"));
        assert!(!pattern.matches("abc"));
    }
}
