//! Names of images: `[registry/]repository[:tag][@digest]`.
//!
//! Source: the grammar of Docker's "reference" package, which every tool of the field shares.

use std::fmt;
use std::str::FromStr;

use crate::digest::{BadDigest, Digest};

/// What a name without a registry means.
pub const DOCKER_HUB: &str = "docker.io";
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;
const LATEST: &str = "latest";

/// An image of one registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// `host` or `host:port`.
    registry: String,
    repository: String,
    version: Version,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    Tag(String),
    /// A tag beside it says nothing that counts.
    Digest(Digest),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    #[error("the image's name is empty: name it as in busybox:1.36")]
    Empty,
    #[error(
        "image {name:?}: {registry:?} is no registry: give a host, as in registry.example:5000"
    )]
    Registry { name: String, registry: String },
    #[error(
        "image {name:?}: {repository:?} is no repository: use lower case letters, digits, and single '.', \
         '_' or '-' between them"
    )]
    Repository { name: String, repository: String },
    #[error("image {name:?}: {tag:?} is no tag: use up to 128 letters, digits, '_', '.' and '-'")]
    Tag { name: String, tag: String },
    #[error("image {name:?}: it has a digest that is none")]
    Digest { name: String, source: BadDigest },
}

impl Reference {
    /// `registry` is that of names which say none.
    pub fn parse_in(text: &str, registry: &str) -> Result<Reference, BadReference> {
        let name = plain(text);
        if name.is_empty() {
            return Err(BadReference::Empty);
        }
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (name, None),
        };
        let digest = digest.map(str::parse).transpose();
        let digest = digest.map_err(|source| BadReference::Digest {
            name: name.to_owned(),
            source,
        })?;
        let (host, rest) = match rest.split_once('/') {
            Some((first, path)) if is_host(first) => (Some(first), path),
            _ => (None, rest),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let registry = host.unwrap_or(registry);
        if !is_registry(registry) {
            return Err(BadReference::Registry {
                name: name.to_owned(),
                registry: registry.to_owned(),
            });
        }
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        let repository = match path.contains('/') {
            false if registry == DOCKER_HUB => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if repository.len() > LONGEST_REPOSITORY || !path.split('/').all(is_component) {
            return Err(BadReference::Repository {
                name: name.to_owned(),
                repository: path.to_owned(),
            });
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(BadReference::Tag {
                name: name.to_owned(),
                tag: tag.to_owned(),
            });
        }
        let tag = || Version::Tag(tag.unwrap_or(LATEST).to_owned());
        Ok(Reference {
            registry: registry.to_owned(),
            repository,
            version: digest.map_or_else(tag, Version::Digest),
        })
    }

    /// Whether `text` says which registry is meant.
    pub fn has_registry(text: &str) -> bool {
        let first = plain(text).split_once('/');
        first.is_some_and(|(first, _)| is_host(first))
    }

    pub fn registry(&self) -> &str {
        &self.registry
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Reference, BadReference> {
        Reference::parse_in(text, DOCKER_HUB)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reference {
            registry,
            repository,
            version,
        } = self;
        match version {
            Version::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
            Version::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Tag(tag) => f.write_str(tag),
            Version::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Old apps write more.
fn plain(text: &str) -> &str {
    let name = text.trim();
    let name = name.strip_prefix("docker://").unwrap_or(name);
    name.trim_start_matches('/')
}

/// Whether the first part of a name is where it is, and not what it is.
fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.contains(|c: char| c.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((v6, port)) => {
            let is_v6 = v6.parse::<std::net::Ipv6Addr>().is_ok();
            return is_v6 && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        let ends = label.starts_with('-') || label.ends_with('-');
        let is_odd = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
        !label.is_empty() && !ends && !label.contains(is_odd)
    };
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port != 0) && !text.starts_with('+')
}

/// Letters and digits, with one '.', one or two '_', or any number of '-' between them.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(is_word) && text.ends_with(is_word);
    let mut separators = text.split(is_word).filter(|between| !between.is_empty());
    let known = |between: &str| {
        matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
    };
    ends && separators.all(known)
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_odd = |c: char| !(is_word(c) || matches!(c, '.' | '-'));
    text.starts_with(is_word) && text.len() <= LONGEST_TAG && !text.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn names_mean_what_they_mean_to_docker() {
        for (text, whole) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("user/app:v1.0", "docker.io/user/app:v1.0"),
            ("docker:///user/app", "docker.io/user/app:latest"),
            ("index.docker.io/app", "docker.io/library/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("h:5000/app", "h:5000/app:latest"),
            ("h:5000/a/b-c__d.e:T_1", "h:5000/a/b-c__d.e:T_1"),
            ("r.example/app", "r.example/app:latest"),
            ("[::1]:5000/app:x", "[::1]:5000/app:x"),
        ] {
            let found = text.parse::<Reference>().map(|it| it.to_string());
            assert_eq!(found.as_deref(), Ok(whole), "{text}");
            // What is written of it is read as the same.
            assert_eq!(
                whole
                    .parse::<Reference>()
                    .map(|it| it.to_string())
                    .as_deref(),
                Ok(whole)
            );
        }
    }

    #[test]
    fn a_digest_decides_whatever_tag_stands_beside_it() {
        let text = format!("busybox:1.36@sha256:{HEX}");
        let found: Reference = text.parse().unwrap();
        assert_eq!(
            found.to_string(),
            format!("docker.io/library/busybox@sha256:{HEX}")
        );
    }

    #[test]
    fn an_operators_registry_is_that_of_names_without_one() {
        let found = Reference::parse_in("app", "r.example:5000").unwrap();
        assert_eq!(found.to_string(), "r.example:5000/app:latest");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "docker:///",
            ":tag",
            "a b",
            "App",
            "a//b",
            "a/../b",
            "../a",
            "a/.",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "app:",
            "app:-x",
            "app:a/b",
            "app@sha256:12",
            "app@md5:00",
            "h:0/app",
            "h:70000/app",
            "h_x.y/app",
            "-h.x/app",
            "[::1/app",
            "[::z]/app",
            "h:5000/a\u{e9}",
        ] {
            let found = text.parse::<Reference>();
            assert!(found.is_err(), "{text:?} -> {found:?}");
        }
        assert!(
            format!("a:{}", "x".repeat(129))
                .parse::<Reference>()
                .is_err()
        );
        assert!("x".repeat(256).parse::<Reference>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_names_no_other_place_of_a_url(text in "\\PC{0,40}|[a-z0-9:/@._-]{0,40}") {
            if let Ok(found) = text.parse::<Reference>() {
                let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c));
                assert!(!found.repository().contains(odd));
                assert!(!found.repository().split('/').any(|part| matches!(part, "" | "." | "..")));
                assert_eq!(found.to_string().parse(), Ok(found));
            }
        }
    }
}
