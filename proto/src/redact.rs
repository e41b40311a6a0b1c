//! URIs as others may read them: logs, statuses and errors show no password and no token.

const HIDDEN: &str = "***";

/// Parts of the names of parameters that hold secrets, in lower case: of S3, GCS and Azure, and of people.
const SECRETS: &[&str] = &[
    "auth",
    "credential",
    "key",
    "pass",
    "pwd",
    "secret",
    "sig",
    "token",
    "jwt",
];

/// `uri` with its password, a user name that stands alone, and the values of suspicious parameters hidden.
pub fn redacted(uri: &str) -> String {
    let (rest, fragment) = match uri.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (uri, None),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let mut shown = without_password(place);
    if let Some(query) = query {
        shown = shown + "?" + &parameters(query);
    }
    match fragment {
        Some(fragment) => shown + "#" + &parameters(fragment),
        None => shown,
    }
}

fn parameters(text: &str) -> String {
    let parameters: Vec<String> = text.split('&').map(parameter).collect();
    parameters.join("&")
}

fn without_password(place: &str) -> String {
    let Some((scheme, rest)) = place.split_once("://") else {
        return place.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        None => place.to_owned(),
        Some((user, host)) => {
            // Alone it may be a token.
            let shown = match user.split_once(':') {
                Some((user, _)) => format!("{user}:{HIDDEN}"),
                None => HIDDEN.to_owned(),
            };
            format!("{scheme}://{shown}@{host}{path}")
        }
    }
}

fn parameter(parameter: &str) -> String {
    let Some((name, _)) = parameter.split_once('=') else {
        return parameter.to_owned();
    };
    let lower = name.to_ascii_lowercase();
    match SECRETS.iter().any(|secret| lower.contains(secret)) {
        true => format!("{name}={HIDDEN}"),
        false => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_are_hidden_and_the_rest_is_shown() {
        for (uri, shown) in [
            ("http://h/a.tgz?x=1#part", "http://h/a.tgz?x=1#part"),
            ("/opt/a@b:c", "/opt/a@b:c"),
            ("https://me:pw@h:1/a@b", "https://me:***@h:1/a@b"),
            ("https://tok@en@h/a", "https://***@h/a"),
            ("https://me:p@w@h/a", "https://me:***@h/a"),
            ("http://h/a#sha256:ab", "http://h/a#sha256:ab"),
            (
                "http://h/a#x=1&access_token=t",
                "http://h/a#x=1&access_token=***",
            ),
            (
                "https://h/a?X-Amz-Signature=abc&v=2&access_token=t",
                "https://h/a?X-Amz-Signature=***&v=2&access_token=***",
            ),
            ("https://h/a?sig=a%2F&se=1", "https://h/a?sig=***&se=1"),
        ] {
            assert_eq!(redacted(uri), shown);
        }
    }
}
