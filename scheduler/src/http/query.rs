//! Query strings, as leniently read as clients write them.

use percent_encoding::percent_decode_str;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(pairs.collect())
    }

    pub fn get<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    /// Every value of `key`, which may also be written `key[]`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let is_key = move |k: &str| k.strip_suffix("[]").unwrap_or(k) == key;
        self.0
            .iter()
            .filter(move |(k, _)| is_key(k))
            .map(|(_, v)| v.as_str())
    }

    /// A bare key is true; python clients write `True` and `False`.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            None => default,
            Some(value) => value.is_empty() || value.eq_ignore_ascii_case("true"),
        }
    }

    /// Whether `what` is embedded, with or without one of the prefixes clients use.
    pub fn embeds(&self, what: &str) -> bool {
        let bare = |value: &str| {
            let prefixes = ["group.apps.", "apps.", "app."];
            prefixes
                .iter()
                .find_map(|p| value.strip_prefix(p))
                .unwrap_or(value)
                == what
        };
        self.all("embed").any(bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_in_any_case() {
        let query = Query::parse("force=True&scale=FALSE&wipe");
        assert!(query.flag("force", false));
        assert!(!query.flag("scale", true));
        assert!(query.flag("wipe", false));
        assert!(query.flag("partialUpdate", true));
    }

    #[test]
    fn embeds_are_read_in_every_spelling() {
        let query = Query::parse("embed=apps.tasks&embed=app.counts&embed=group.apps.deployments");
        assert!(
            ["tasks", "counts", "deployments"]
                .iter()
                .all(|what| query.embeds(what))
        );
        assert!(!query.embeds("lastTaskFailure"));
    }

    #[test]
    fn repeated_keys_may_have_brackets() {
        let query = Query::parse("status[]=running&status%5B%5D=staging&status=x");
        assert_eq!(
            query.all("status").collect::<Vec<_>>(),
            ["running", "staging", "x"]
        );
    }
}
