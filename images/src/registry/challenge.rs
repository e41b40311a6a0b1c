//! What a registry asks of who is not known to it. Pure.
//!
//! Source: RFC 9110, section 11.6.1, and the token authentication of the distribution specification.

/// The first of those that are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// `header`: WWW-Authenticate.
    pub fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer {
            realm: find("realm")?,
            service: find("service"),
            scope: find("scope"),
        })
    }
}

/// `name=value`, where a value may be quoted.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_ascii_lowercase();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
                (value.trim().to_owned(), rest)
            }
        };
        found.push((name, value));
        text = rest;
    }
    found
}

/// Up to the closing quote, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn a_challenge_is_read_as_servers_write_it() {
        let scope = "repository:a/b:pull,push";
        for (header, means) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/t\",service=\"r\",scope=\"repository:a/b:pull,push\"",
                bearer("https://a/t", Some("r"), Some(scope)),
            ),
            (
                "BEARER Realm=https://a/t , service=\"a\\\"b\"",
                bearer("https://a/t", Some("a\"b"), None),
            ),
            ("Bearer service=\"r\"", None),
            ("Negotiate", None),
            (
                "Bearer realm=\"unfinished",
                bearer("unfinished", None, None),
            ),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), means, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_server_writes_is_read(header in "([Bb]earer )?[a-z=\",\\\\ \\PC]{0,60}") {
            let _whatever = Challenge::parse(&header);
        }
    }
}
