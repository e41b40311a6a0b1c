//! What a container may be called.

use crate::error::Error;

/// A name that is safe as one component of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(String);

impl Id {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Id {
    type Error = Error;

    fn try_from(id: &str) -> Result<Self, Error> {
        let valid = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        match id {
            _ if id.contains('/') => Err(Error::SlashInId(id.to_owned())),
            "" | "." | ".." => Err(Error::BadId(id.to_owned())),
            _ if id.len() > 255 || !id.chars().all(valid) => Err(Error::BadId(id.to_owned())),
            _ => Ok(Self(id.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_safe_component_of_a_path() {
        for bad in ["", ".", "..", "a/b", "/", "a b", "ä", "a\0", "a:b"] {
            assert!(Id::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(Id::try_from("x".repeat(256).as_str()).is_err());
        for good in ["c1", "a.b", "A_+-.1", "..a"] {
            assert!(Id::try_from(good).is_ok(), "{good:?}");
        }
    }
}
