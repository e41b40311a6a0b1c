//! Who tells names in Docker's networks, where neither the task nor the engine says: `--default_container_dns`.
//! Pure. Source: spec/mesos-agent.md section 2.

use proto::v1::container_info::docker_info::Network;
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub enum BadDns {
    #[error(
        "--default_container_dns: what it says of \"docker\" must be like [{{\"network_mode\": \"BRIDGE\", \
         \"dns\": {{\"nameservers\": [\"10.0.0.53\"]}}}}]"
    )]
    Form(#[from] serde_json::Error),
    #[error("--default_container_dns: of Docker's network {0} it is said twice who tells names")]
    Twice(String),
}

/// What it says of other networks is for others.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    docker: Vec<OfNetwork>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct OfNetwork {
    network_mode: Mode,
    /// All of that mode that nothing is said of, when it is missing.
    network_name: Option<String>,
    dns: Names,
}

/// The host's network has the host's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Bridge,
    User,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Names {
    pub nameservers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultDns(Vec<OfNetwork>);

impl DefaultDns {
    /// `text`: the flag.
    pub fn read(text: Option<&str>) -> Result<DefaultDns, BadDns> {
        let Some(text) = text else {
            return Ok(DefaultDns::default());
        };
        let Said { docker } = serde_json::from_str(text)?;
        for (at, it) in docker.iter().enumerate() {
            let is_same = |other: &OfNetwork| {
                (other.network_mode, &other.network_name) == (it.network_mode, &it.network_name)
            };
            if docker.iter().take(at).any(is_same) {
                let name = it.network_name.as_deref().unwrap_or("of no name");
                return Err(BadDns::Twice(name.to_owned()));
            }
        }
        Ok(DefaultDns(docker))
    }

    /// `name`: as the engine calls it.
    pub fn of(&self, kind: Network, name: &str) -> Option<&Names> {
        let mode = match kind {
            Network::Bridge => Mode::Bridge,
            Network::User => Mode::User,
            Network::Host | Network::None => return None,
        };
        let of = |name: Option<&str>| {
            let is_it =
                |it: &&OfNetwork| it.network_mode == mode && it.network_name.as_deref() == name;
            self.0.iter().find(is_it)
        };
        of(Some(name)).or_else(|| of(None)).map(|it| &it.dns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_network_comes_before_what_is_said_of_all_of_its_kind() {
        let text = r#"{"mesos": [], "docker": [
            {"network_mode": "BRIDGE", "dns": {"nameservers": ["10.0.0.1"]}},
            {"network_mode": "USER", "dns": {"nameservers": ["10.0.0.2"], "search": ["a.example"]}},
            {"network_mode": "USER", "network_name": "web", "dns": {"options": ["ndots:2"]}}
        ]}"#;
        let dns = DefaultDns::read(Some(text)).unwrap();
        let servers = |kind, name| dns.of(kind, name).map(|it| it.nameservers.join(","));
        assert_eq!(
            servers(Network::Bridge, "bridge").as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(servers(Network::User, "other").as_deref(), Some("10.0.0.2"));
        assert_eq!(servers(Network::User, "web").as_deref(), Some(""));
        assert_eq!(servers(Network::Host, "host"), None);
        assert_eq!(
            DefaultDns::read(None)
                .unwrap()
                .of(Network::Bridge, "bridge"),
            None
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let twice = r#"{"docker": [{"network_mode": "BRIDGE", "dns": {}}, {"network_mode": "BRIDGE", "dns": {}}]}"#;
        assert!(matches!(
            DefaultDns::read(Some(twice)),
            Err(BadDns::Twice(_))
        ));
        let host = r#"{"docker": [{"network_mode": "HOST", "dns": {}}]}"#;
        assert!(matches!(DefaultDns::read(Some(host)), Err(BadDns::Form(_))));
    }
}
