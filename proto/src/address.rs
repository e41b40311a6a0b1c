//! Where a master is, as the flag `--master` of agents and schedulers says it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the master is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Master {
    /// `host:port`
    At(String),
    /// A file whose content says so; it is read at every attempt, since the master may move.
    In(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot find a master at {0:?}: give host:port, or file:///path of a file that holds host:port"
)]
pub struct BadMaster(String);

impl Master {
    pub fn parse(text: &str) -> Result<Self, BadMaster> {
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Self::In(path.into())),
            Some(_) => Err(BadMaster(text.to_owned())),
            None => host_and_port(text).map(Self::At),
        }
    }
}

impl FromStr for Master {
    type Err = BadMaster;

    fn from_str(text: &str) -> Result<Self, BadMaster> {
        Self::parse(text)
    }
}

impl From<SocketAddr> for Master {
    fn from(address: SocketAddr) -> Self {
        Self::At(address.to_string())
    }
}

/// As the flag writes it.
impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => f.write_str(address),
            Self::In(file) => write!(f, "file://{}", file.display()),
        }
    }
}

/// Reads `host:port`, the content of a [`Master::In`]; space around it does not count. An IPv6
/// address stands in brackets.
pub fn host_and_port(text: &str) -> Result<String, BadMaster> {
    let text = text.trim();
    let bad = || BadMaster(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(bad)?,
        None if host.contains(':') => return Err(bad()),
        None => host,
    };
    let is_port = !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port != 0);
    let stray = |c: char| matches!(c, '/' | '@' | ',' | '?' | '#' | '[' | ']') || c.is_whitespace();
    match is_port && !name.is_empty() && !name.contains(stray) {
        true => Ok(text.to_owned()),
        false => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_at_an_address_or_in_a_file() {
        let at = |text: &str| Ok(Master::At(text.to_owned()));
        assert_eq!(Master::parse("10.0.0.1:5050"), at("10.0.0.1:5050"));
        assert_eq!(
            Master::parse(" master.example:5050\n"),
            at("master.example:5050")
        );
        assert_eq!(Master::parse("[::1]:5050"), at("[::1]:5050"));
        assert_eq!(
            Master::parse("file:///etc/longshore/master"),
            Ok(Master::In("/etc/longshore/master".into()))
        );
    }

    #[test]
    fn the_flag_is_shown_as_it_was_given() {
        for text in ["localhost:5050", "file:///etc/master"] {
            assert_eq!(Master::parse(text).unwrap().to_string(), text);
        }
        let address: SocketAddr = "[::1]:5050".parse().unwrap();
        assert_eq!(Master::parse("[::1]:5050"), Ok(Master::from(address)));
    }

    #[test]
    fn anything_else_is_refused_with_what_to_give() {
        for text in [
            "",
            "5050",
            ":5050",
            "host",
            "host:0",
            "host:+1",
            "host:99999",
            "host:port",
            "::1:5050",
            "[::1:5050",
            "http://host:5050",
            "zk://a:2181,b:2181/mesos",
            "a b:1",
            "file://relative",
        ] {
            let error = Master::parse(text).unwrap_err().to_string();
            assert!(
                error.contains("host:port") && error.contains("file:///"),
                "{error}"
            );
        }
    }
}
