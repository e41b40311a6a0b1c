//! Sets of texts, such as the names of devices.

use std::collections::BTreeSet;
use std::fmt;

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Set {
    items: BTreeSet<String>,
}

/// Why something is not a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSet {
    #[error("{text:?} is not a set: write {{a,b}}")]
    Syntax { text: String },
    #[error("{item:?} is in the set twice")]
    Twice { item: String },
}

impl Set {
    /// An error if an item comes twice.
    pub(super) fn from_items(items: impl IntoIterator<Item = String>) -> Result<Self, BadSet> {
        let mut set = Self::default();
        for item in items {
            if set.items.contains(&item) {
                return Err(BadSet::Twice { item });
            }
            set.items.insert(item);
        }
        Ok(set)
    }

    /// Reads `{a,b}`. Blanks around items are dropped.
    pub fn parse(text: &str) -> Result<Self, BadSet> {
        let bad = || BadSet::Syntax {
            text: text.to_owned(),
        };
        let inner = text
            .trim()
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.ok_or_else(bad)?.trim();
        if inner.is_empty() {
            return Ok(Self::default());
        }
        let items: Vec<&str> = inner.split(',').map(str::trim).collect();
        if items
            .iter()
            .any(|item| item.is_empty() || item.contains(['{', '}', ';']))
        {
            return Err(bad());
        }
        Self::from_items(items.into_iter().map(str::to_owned))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(String::as_str)
    }

    #[must_use]
    pub(super) fn contains_all(&self, other: &Self) -> bool {
        self.items.is_superset(&other.items)
    }

    #[must_use]
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        !self.items.is_disjoint(&other.items)
    }

    #[must_use]
    pub(super) fn union(&self, other: &Self) -> Self {
        Self {
            items: &self.items | &other.items,
        }
    }

    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        Self {
            items: &self.items - &other.items,
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<&str> = self.iter().collect();
        write!(f, "{{{}}}", items.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_sorted_in_braces() {
        assert_eq!(Set::parse("{ b , a }").unwrap().to_string(), "{a,b}");
        assert!(Set::parse("{}").unwrap().is_empty());
    }

    #[test]
    fn bad_sets_are_explained() {
        let error = |text| Set::parse(text).unwrap_err().to_string();
        assert_eq!(error("{a,b,a}"), "\"a\" is in the set twice");
        assert_eq!(error("a,b"), "\"a,b\" is not a set: write {a,b}");
        assert!(error("{a,}").contains("is not a set"));
    }
}
