//! A JSON document, and where in it one is: every error names the place.

use serde_json::Value;

use super::parse::BadProfile;

/// A value and its path, such as `syscalls[3].args[0].op`.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    pub path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    /// The value of a key; `None` also for null, which Docker writes for what is not there.
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            above => format!("{above}.{key}"),
        };
        Some(Node { path, value })
    }

    pub fn required(&self, key: &str) -> Result<Node<'a>, BadProfile> {
        self.get(key).ok_or_else(|| BadProfile::Missing {
            path: self.path.clone(),
            key: key.to_owned(),
        })
    }

    /// Refuses other keys than these: one that is misspelt would leave out what it was to say.
    pub fn object(self, known: &[&str]) -> Result<Node<'a>, BadProfile> {
        let fields = self
            .value
            .as_object()
            .ok_or_else(|| self.wrong("an object"))?;
        let strange = fields.keys().find(|key| !known.contains(&key.as_str()));
        match strange {
            None => Ok(self),
            Some(key) => Err(BadProfile::Unknown {
                path: self.path.clone(),
                key: key.clone(),
                known: known.join(", "),
            }),
        }
    }

    pub fn list(&self, key: &str) -> Result<Vec<Node<'a>>, BadProfile> {
        let Some(list) = self.get(key) else {
            return Ok(Vec::new());
        };
        let items = list.value.as_array().ok_or_else(|| list.wrong("a list"))?;
        let items = items.iter().enumerate().map(|(n, value)| Node {
            path: format!("{}[{n}]", list.path),
            value,
        });
        Ok(items.collect())
    }

    pub fn text(&self) -> Result<&'a str, BadProfile> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    /// A word of a closed set, as `parse` knows it.
    pub fn word<T>(
        &self,
        wanted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BadProfile> {
        let parsed = self.value.as_str().and_then(parse);
        parsed.ok_or_else(|| self.wrong(wanted))
    }

    pub fn number(&self, wanted: &'static str, most: u64) -> Result<u64, BadProfile> {
        let number = self.value.as_u64().filter(|number| *number <= most);
        number.ok_or_else(|| self.wrong(wanted))
    }

    fn wrong(&self, wanted: &'static str) -> BadProfile {
        let mut found = self.value.to_string();
        if found.len() > 60 {
            found = format!("{}…", found.chars().take(60).collect::<String>());
        }
        BadProfile::Wrong {
            path: self.path.clone(),
            wanted,
            found,
        }
    }
}
