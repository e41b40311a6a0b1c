//! What an image is asked for by: a name that a registry knows, or a place of this host in skopeo's words. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::reference::{BadReference, DOCKER_HUB, Reference};

const LONGEST: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    Registry(Reference),
    /// In a directory that stands for a registry: each image is an archive there.
    Archived {
        name: Reference,
        directory: PathBuf,
    },
    Local(Local),
    /// An archive of a root file system, at an http or https URL.
    Remote(Remote),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Remote(Url);

impl Remote {
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// Where names are looked for that say no registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// A host.
    Registry(String),
    Directory(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Local {
    pub kind: LocalKind,
    pub path: PathBuf,
    /// Which of those that are there; it need not be said where there is one.
    pub version: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LocalKind {
    /// A directory of blobs, and an index of them.
    Layout,
    /// The same, packed.
    LayoutArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// Just a root file system: a directory, or an archive of one.
    Files,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadImageName {
    #[error(transparent)]
    Reference(#[from] BadReference),
    #[error(
        "image {name:?}: {path:?} is no path: it must be absolute, without \"..\" and control characters"
    )]
    Path { name: String, path: PathBuf },
    #[error("image {0:?}: its tag is empty or has control characters")]
    Version(String),
    #[error(
        "image {name:?} is no URL of an archive: {why} (an image of a registry has no http:// before it)"
    )]
    Url { name: String, why: &'static str },
}

#[rustfmt::skip]
const KINDS: &[(&str, LocalKind)] = &[
    ("oci:", LocalKind::Layout),
    ("oci-archive:", LocalKind::LayoutArchive),
    ("docker-archive:", LocalKind::DockerArchive),
    ("file://", LocalKind::Files),
];

impl Name {
    /// `here`: what relative paths begin at; they are refused where there is nothing.
    pub fn parse(text: &str, home: &Home, here: Option<&Path>) -> Result<Name, BadImageName> {
        let text = text.trim();
        for (prefix, kind) in KINDS {
            if let Some(rest) = text.strip_prefix(prefix) {
                return Local::parse(text, *kind, rest, here).map(Name::Local);
            }
        }
        if ["http://", "https://"]
            .iter()
            .any(|it| text.starts_with(it))
        {
            return Remote::parse(text).map(Name::Remote);
        }
        match home {
            Home::Directory(directory) if !Reference::has_registry(text) => {
                let name = Reference::parse_in(text, DOCKER_HUB)?;
                let directory = directory.clone();
                Ok(Name::Archived { name, directory })
            }
            Home::Directory(_) => Ok(Name::Registry(Reference::parse_in(text, DOCKER_HUB)?)),
            Home::Registry(host) => Ok(Name::Registry(Reference::parse_in(text, host)?)),
        }
    }

    /// What credentials are for.
    pub fn registry(&self) -> Option<&str> {
        match self {
            Name::Registry(name) => Some(name.registry()),
            Name::Archived { .. } | Name::Local(_) | Name::Remote(_) => None,
        }
    }
}

impl Remote {
    fn parse(text: &str) -> Result<Remote, BadImageName> {
        let bad = |why| BadImageName::Url {
            // What may be a password is told to nobody.
            name: text.split('@').next_back().unwrap_or(text).to_owned(),
            why,
        };
        if text.len() > LONGEST || text.contains(char::is_control) {
            return Err(bad("it is too long, or has control characters"));
        }
        let url = Url::parse(text).map_err(|_why| bad("it cannot be read"))?;
        if !url.username().is_empty() || url.password().is_some() {
            // The name of an image is shown to everybody.
            return Err(bad("it has credentials in it"));
        }
        if url.fragment().is_some() || url.path() == "/" {
            return Err(bad("it names no file"));
        }
        Ok(Remote(url))
    }
}

impl Local {
    fn parse(
        text: &str,
        kind: LocalKind,
        rest: &str,
        here: Option<&Path>,
    ) -> Result<Local, BadImageName> {
        let (path, version) = match (kind, rest.split_once(':')) {
            (LocalKind::Files, _) | (_, None) => (rest, None),
            (_, Some((path, version))) => (path, Some(version)),
        };
        let is_odd = |text: &str| text.is_empty() || text.contains(char::is_control);
        if version.is_some_and(is_odd) {
            return Err(BadImageName::Version(text.to_owned()));
        }
        let bad = || BadImageName::Path {
            name: text.to_owned(),
            path: path.into(),
        };
        if is_odd(path) || text.len() > LONGEST {
            return Err(bad());
        }
        let whole = here.map_or_else(|| PathBuf::from(path), |here| here.join(path));
        let leaves = Path::new(path)
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        if !whole.is_absolute() || (leaves && here.is_none()) {
            return Err(bad());
        }
        Ok(Local {
            kind,
            path: whole,
            version: version.map(str::to_owned),
        })
    }
}

impl From<Reference> for Name {
    fn from(name: Reference) -> Name {
        Name::Registry(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Registry(name) | Name::Archived { name, .. } => name.fmt(f),
            Name::Local(local) => local.fmt(f),
            Name::Remote(Remote(url)) => url.fmt(f),
        }
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KINDS.iter().find(|(_, kind)| *kind == self.kind);
        let prefix = known.map_or("", |(prefix, _)| prefix);
        write!(f, "{prefix}{}", self.path.display())?;
        match &self.version {
            Some(version) => write!(f, ":{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Home {
        Home::Registry(DOCKER_HUB.to_owned())
    }

    #[test]
    fn a_name_says_where_the_image_is() {
        let local = |kind, path: &str, version: Option<&str>| {
            Name::Local(Local {
                kind,
                path: path.into(),
                version: version.map(str::to_owned),
            })
        };
        let registry = |name: &str| Name::Registry(name.parse().unwrap());
        for (text, name) in [
            ("busybox", registry("busybox")),
            ("docker:///u/a:1", registry("u/a:1")),
            ("oci:/i", local(LocalKind::Layout, "/i", None)),
            ("oci:/i:v1", local(LocalKind::Layout, "/i", Some("v1"))),
            (
                "oci-archive:/i.tar",
                local(LocalKind::LayoutArchive, "/i.tar", None),
            ),
            (
                "docker-archive:/i.tar:h:5000/app:1",
                local(LocalKind::DockerArchive, "/i.tar", Some("h:5000/app:1")),
            ),
            ("file:///r/a:b", local(LocalKind::Files, "/r/a:b", None)),
        ] {
            let found = Name::parse(text, &hub(), None).unwrap();
            assert_eq!(found, name, "{text}");
            // What is written of it is read as the same.
            assert_eq!(Name::parse(&found.to_string(), &hub(), None), Ok(found));
        }
    }

    #[test]
    fn a_url_names_an_archive_and_no_one_s_password() {
        let found = Name::parse("https://h.example/a/root.tar.gz?x=1", &hub(), None).unwrap();
        assert!(matches!(&found, Name::Remote(it) if it.url().path() == "/a/root.tar.gz"));
        assert_eq!(Name::parse(&found.to_string(), &hub(), None), Ok(found));
        for bad in [
            "https://h.example",
            "http://",
            "https://h/a#b",
            "https://who:geheim@h/a.tar",
        ] {
            let error = Name::parse(bad, &hub(), None).unwrap_err().to_string();
            assert!(error.contains("no URL of an archive"), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn a_directory_has_what_names_no_registry() {
        let home = Home::Directory("/images".into());
        let found = Name::parse("busybox:1", &home, None).unwrap();
        let Name::Archived { name, directory } = &found else {
            panic!("{found:?}")
        };
        assert_eq!(directory, Path::new("/images"));
        assert_eq!(name.to_string(), "docker.io/library/busybox:1");
        let elsewhere = Name::parse("r.example/a", &home, None).unwrap();
        assert_eq!(elsewhere.registry(), Some("r.example"));
    }

    #[test]
    fn a_path_is_whole_or_begins_where_one_is() {
        for bad in [
            "oci:",
            "oci:i",
            "oci:/a/../b",
            "file://",
            "file://a",
            "oci:/a:",
            "oci:/a\nb",
        ] {
            assert!(Name::parse(bad, &hub(), None).is_err(), "{bad:?}");
        }
        let here = Some(Path::new("/here"));
        let found = Name::parse("oci:i", &hub(), here).unwrap();
        assert_eq!(found.to_string(), "oci:/here/i");
    }
}
