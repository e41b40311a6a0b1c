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
    /// What its content must be, as in `sha256:…`. Ours: Marathon has no such field.
    pub checksum: Option<String>,
    /// The agent's cache keeps what an archive unpacks to, instead of the archive. Ours as well.
    pub unpacked: bool,
}

impl Fetch {
    /// The meaning of one of the old plain `uris`: unpacked if its name says that it is an archive.
    pub fn from_uri(uri: &str) -> Fetch {
        Fetch {
            uri: uri.to_owned(),
            extract: ARCHIVES.iter().any(|end| without_query(uri).ends_with(end)),
            executable: false,
            cache: false,
            dest_path: None,
            checksum: None,
            unpacked: false,
        }
    }

    /// As agents take it, with all of that at the end.
    pub fn value(&self) -> String {
        let unpacked = self.unpacked.then_some("unpacked");
        let said = unpacked.into_iter().chain(self.checksum.as_deref());
        said.fold(self.uri.clone(), |uri, word| format!("{uri}#{word}"))
    }

    /// What it is called in the sandbox, where that is not the end of its URI as an agent takes it:
    /// with the query of a URL. Source: spec/marathon-api.md section 4.5.
    pub fn output_file(&self) -> Option<String> {
        let stripped = || {
            let path = without_query(&self.uri);
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_url = self.uri.contains("://") && !self.uri.starts_with("file:");
            (is_url && path != self.uri && !name.is_empty()).then(|| name.to_owned())
        };
        self.dest_path.clone().or_else(stripped)
    }
}

/// Algorithms that agents know, and how many hexadecimal digits they give.
const DIGESTS: &[(&str, usize)] = &[("sha256:", 64), ("sha512:", 128)];

pub(super) fn is_checksum(text: &str) -> bool {
    DIGESTS.iter().any(|(name, digits)| {
        let hex = text.strip_prefix(name);
        hex.is_some_and(|hex| hex.len() == *digits && hex.bytes().all(|it| it.is_ascii_hexdigit()))
    })
}

/// Whether a URI says by itself what its content must be.
pub(super) fn has_checksum(uri: &str) -> bool {
    let fragment = uri.rsplit_once('#').map(|(_, fragment)| fragment);
    fragment.is_some_and(|it| DIGESTS.iter().any(|(name, _)| it.starts_with(name)))
}

fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or(uri)
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

    #[test]
    fn a_checksum_is_one_that_agents_know_and_stands_at_the_end_of_the_uri() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert!(is_checksum(&digest) && is_checksum(&format!("sha512:{}", "F".repeat(128))));
        for bad in [
            "",
            "sha256:",
            "md5:0a",
            &digest[..70],
            &digest.replace('0', "g"),
        ] {
            assert!(!is_checksum(bad), "{bad}");
        }
        let mut fetch = Fetch::from_uri("http://host/a.zip");
        fetch.checksum = Some(digest.clone());
        assert_eq!(fetch.value(), format!("http://host/a.zip#{digest}"));
        fetch.unpacked = true;
        let value = format!("http://host/a.zip#unpacked#{digest}");
        assert_eq!(fetch.value(), value);
        assert!(has_checksum(&fetch.value()) && !has_checksum("http://host/a#x"));
        assert_eq!(fetch.output_file(), None);
    }

    #[test]
    fn a_files_name_is_that_of_its_url_without_the_query() {
        let name = |uri: &str| Fetch::from_uri(uri).output_file();
        assert_eq!(
            name("http://host/app.tar.gz?token=/1").as_deref(),
            Some("app.tar.gz")
        );
        assert_eq!(name("https://host/a.zip#x").as_deref(), Some("a.zip"));
        for as_it_is in [
            "http://host/a.zip",
            "/srv/a?b",
            "file:///srv/a#b",
            "http://host/?q",
        ] {
            assert_eq!(name(as_it_is), None, "{as_it_is}");
        }
        let mut named = Fetch::from_uri("http://host/app.tar.gz?token=1");
        named.dest_path = Some("lib/app.tgz".into());
        assert_eq!(named.output_file().as_deref(), Some("lib/app.tgz"));
    }
}
