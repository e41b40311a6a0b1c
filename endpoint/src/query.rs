//! Query strings, and forms, which are written alike.

use axum::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The parameters of a URL, as leniently read as clients write them: any text is a query.
///
/// Of a name that comes several times the first counts, unless all are asked for. `name[]` is
/// `name`. A name without `=` has an empty value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            let name = name.strip_suffix("[]").unwrap_or(&name).to_owned();
            (name, decode(value))
        });
        Self(pairs.collect())
    }

    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        Self::parse(uri.query().unwrap_or_default())
    }

    /// The first of that name, which may be empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first of that name, unless it is empty.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A bare name is true; python clients write `True` and `False`.
    #[must_use]
    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self.get(name) {
            None => default,
            Some(value) => value.is_empty() || value.eq_ignore_ascii_case("true"),
        }
    }
}

/// All but what needs no encoding in a value, and the slashes of paths, which read better.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'/');

/// `text` as the value of a parameter, for links.
#[must_use]
pub fn query_value(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn decode(part: &str) -> String {
    let spaced = part.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts_and_all_can_be_had() {
        let query = Query::parse("status[]=running&status%5B%5D=staging&&status=x&empty=");
        assert_eq!(query.get("status"), Some("running"));
        let all: Vec<_> = query.all("status").collect();
        assert_eq!(all, ["running", "staging", "x"]);
        assert_eq!((query.get("empty"), query.value("empty")), (Some(""), None));
        assert_eq!(query.get("absent"), None);
    }

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse("p%61th=/a+b%2Fc%26d&x=%ff&y=100%");
        assert_eq!(query.get("path"), Some("/a b/c&d"));
        assert_eq!(query.get("x"), Some("\u{fffd}"));
        assert_eq!(query.get("y"), Some("100%"));
        let uri = Uri::from_static("/files/read?offset=1");
        assert_eq!(Query::of(&uri).get("offset"), Some("1"));
    }

    #[test]
    fn an_encoded_value_is_read_as_it_was() {
        for text in ["/frameworks/f-0/executors/a.b_c", "a+b&c=d%20#e?\"<ü"] {
            let query = Query::parse(&format!("path={}&x=1", query_value(text)));
            assert_eq!(query.get("path"), Some(text));
        }
    }

    #[test]
    fn flags_are_read_in_any_case() {
        let query = Query::parse("force=True&scale=FALSE&wipe");
        assert!(query.flag("force", false) && query.flag("wipe", false));
        assert!(!query.flag("scale", true));
        assert!(query.flag("absent", true));
    }
}
