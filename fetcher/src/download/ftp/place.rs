//! Where a file is, as a URL says it. Pure.

use percent_encoding::percent_decode_str;
use reqwest::Url;

/// One file of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    pub port: u16,
    /// From the directory in which one is after logging in.
    pub path: String,
    pub login: Option<(String, String)>,
    pub security: Security,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    None,
    /// From the first byte on.
    Implicit,
    /// Asked for in the clear, before anything is said that matters.
    Explicit,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    #[error("it is not a URL")]
    Url,
    #[error("it names no host")]
    NoHost,
    #[error("it contains a control character, which could be taken for another command")]
    Control,
    #[error("it is not text: percent-encode UTF-8")]
    NoText,
}

/// Where servers expect TLS from the first byte on.
const IMPLICIT_PORT: u16 = 990;

impl Place {
    pub fn parse(text: &str) -> Result<Self, BadPlace> {
        let url = Url::parse(text).map_err(|_bad| BadPlace::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(BadPlace::NoHost)?.to_owned();
        let (security, port) = match (url.scheme(), url.port()) {
            ("ftps", None | Some(IMPLICIT_PORT)) => (Security::Implicit, IMPLICIT_PORT),
            ("ftps", Some(port)) => (Security::Explicit, port),
            (_, port) => (Security::None, port.unwrap_or(21)),
        };
        let path = decoded(url.path().strip_prefix('/').unwrap_or(url.path()))?;
        let login = match url.username() {
            "" => None,
            user => Some((decoded(user)?, decoded(url.password().unwrap_or_default())?)),
        };
        Ok(Self {
            host,
            port,
            path,
            login,
            security,
        })
    }
}

impl Place {
    pub fn is_secret(&self) -> bool {
        self.security != Security::None
    }
}

fn decoded(text: &str) -> Result<String, BadPlace> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_bad| BadPlace::NoText)?;
    match text.contains(char::is_control) {
        true => Err(BadPlace::Control),
        false => Ok(text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_as_whom_and_how_safely() {
        let place = Place::parse("ftp://me:p%40ss@h/a%20b/c.tgz").unwrap();
        let login = Some(("me".to_owned(), "p@ss".to_owned()));
        assert_eq!((place.path.as_str(), place.login), ("a b/c.tgz", login));
        for (url, security, port) in [
            ("ftp://h/x", Security::None, 21),
            ("ftp://h:2121/x", Security::None, 2121),
            ("ftps://h/x", Security::Implicit, 990),
            ("ftps://h:990/x", Security::Implicit, 990),
            ("ftps://h:21/x", Security::Explicit, 21),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!((place.security, place.port), (security, port), "{url}");
        }
        // From the root of the server's files.
        assert_eq!(Place::parse("ftp://h/%2Fetc/x").unwrap().path, "/etc/x");
    }

    #[test]
    fn a_url_cannot_hold_a_second_command() {
        for url in [
            "ftp://h/x%0d%0aDELE%20y",
            "ftp://a%0ab@h/x",
            "ftp://a:%0d@h/x",
        ] {
            assert_eq!(Place::parse(url), Err(BadPlace::Control), "{url}");
        }
        assert_eq!(Place::parse("ftp://h/%ff"), Err(BadPlace::NoText));
    }
}
