//! Files to fetch into the sandbox.

/// Endings that are unpacked when an app lists plain `uris`.
const ARCHIVES: &[&str] = &[
    ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".gz", ".tgz", ".tbz2", ".txz", ".zip",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub uri: String,
    pub extract: bool,
    pub executable: bool,
    pub cache: bool,
    /// Name relative to the sandbox.
    pub dest_path: Option<String>,
}

impl Fetch {
    /// The meaning of one of the old plain `uris`: unpacked if its name says that it is an archive.
    pub fn from_uri(uri: &str) -> Fetch {
        let path = uri.split(['?', '#']).next().unwrap_or(uri);
        Fetch {
            uri: uri.to_owned(),
            extract: ARCHIVES.iter().any(|ending| path.ends_with(ending)),
            executable: false,
            cache: false,
            dest_path: None,
        }
    }
}

/// Whether the text can be a URI, or a path on the agent.
pub(super) fn is_uri(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_uris_are_unpacked_by_their_ending() {
        assert!(Fetch::from_uri("http://host/app.tar.gz?token=1").extract);
        assert!(Fetch::from_uri("/srv/PlayHello.zip").extract);
        assert!(!Fetch::from_uri("http://host/hello.sh").extract);
        assert!(!Fetch::from_uri("http://host/get?name=a.zip").extract);
    }
}
