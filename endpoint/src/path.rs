//! Paths as clients write them, and the one name behind their spellings.

use percent_encoding::percent_decode_str;

/// The path with percent-encoding undone and without doubled or trailing slashes; `None` when it is
/// not UTF-8. An encoded slash is a slash like any other.
#[must_use]
pub fn decoded(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let segments: Vec<&str> = decoded.split('/').filter(|it| !it.is_empty()).collect();
    Some(format!("/{}", segments.join("/")))
}

/// The name of an endpoint without what clients may add to it: `part` in front (as in
/// `/master/state` or `/slave(1)/state`) and `.json` at the end.
#[must_use]
pub fn endpoint(path: &str, part: &str) -> Option<String> {
    let path = decoded(path)?;
    let inside = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(part))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let name = inside.unwrap_or(&path);
    let name = match name.strip_suffix(".json") {
        Some(bare) if !bare.is_empty() && !bare.ends_with('/') => bare,
        _ => name,
    };
    Some(if name.is_empty() { "/" } else { name }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_has_many_spellings() {
        for path in [
            "/state",
            "/state/",
            "/state.json",
            "//state",
            "/%73tate",
            "/slave(1)/state",
            "/slave%281%29/state.json/",
            "/slave(1)//state",
        ] {
            assert_eq!(
                endpoint(path, "slave(1)").as_deref(),
                Some("/state"),
                "{path}"
            );
        }
        let table = [
            ("/master", "/"),
            ("/", "/"),
            ("", "/"),
            ("/masterful", "/masterful"),
            ("/master/master/state", "/master/state"),
            ("/slave(1)/state", "/slave(1)/state"),
            ("/system/stats.json", "/system/stats"),
            ("/.json", "/.json"),
        ];
        for (path, name) in table {
            assert_eq!(endpoint(path, "master").as_deref(), Some(name), "{path}");
        }
    }

    #[test]
    fn what_is_not_text_is_no_path() {
        assert_eq!(decoded("/%ff"), None);
        assert_eq!(
            decoded("/v2//apps/%2Fa%2Fb/").as_deref(),
            Some("/v2/apps/a/b")
        );
    }
}
