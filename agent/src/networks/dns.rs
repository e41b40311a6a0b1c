//! `--default_container_dns`, in Mesos' form. Source: spec/mesos-agent.md sections 2 and 26.

use network::Dns;
use serde::Deserialize;

use super::flags::NetworkFlags;

#[derive(Debug, thiserror::Error)]
#[error(
    "it must be like {{\"mesos\": [{{\"network_mode\": \"CNI\", \"dns\": {{\"nameservers\": [\"10.0.0.53\"]}}}}]}}"
)]
pub struct BadDns(#[source] serde_json::Error);

/// What it says of Docker's networks is for who runs them.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    mesos: Vec<OfNetwork>,
}

#[derive(Debug, Deserialize)]
struct OfNetwork {
    network_mode: Option<String>,
    /// All that nothing is said of, when it is missing.
    network_name: Option<String>,
    dns: Names,
}

#[derive(Debug, Deserialize)]
struct Names {
    #[serde(default)]
    nameservers: Vec<String>,
    domain: Option<String>,
    #[serde(default)]
    search: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
}

/// Of each network apart, and of all others.
#[derive(Debug, Default)]
pub struct DefaultDns(Vec<OfNetwork>);

pub fn read(flags: &NetworkFlags) -> Result<DefaultDns, BadDns> {
    let Some(text) = &flags.default_container_dns else {
        return Ok(DefaultDns::default());
    };
    let all: Said = serde_json::from_str(text).map_err(BadDns)?;
    let is_meant = |it: &OfNetwork| it.network_mode.as_deref() == Some("CNI");
    let meant = all.mesos.into_iter().filter(is_meant);
    Ok(DefaultDns(meant.collect()))
}

impl DefaultDns {
    /// `None` when nothing is said of that network.
    pub fn of(&self, network: &str) -> Option<Dns> {
        let of = |name: Option<&str>| self.0.iter().find(|it| it.network_name.as_deref() == name);
        let said = of(Some(network)).or_else(|| of(None));
        said.map(|OfNetwork { dns, .. }| Dns {
            nameservers: dns.nameservers.clone(),
            search: searched(&dns.search, dns.domain.as_ref()),
            options: dns.options.clone(),
        })
    }
}

/// A domain is searched where nothing else is.
fn searched(search: &[String], domain: Option<&String>) -> Vec<String> {
    match search.is_empty() {
        true => domain.into_iter().cloned().collect(),
        false => search.to_vec(),
    }
}

/// Of a plugin, which may have said anything; `None` when it knows no server.
pub fn of_plugin(said: &cni::Dns) -> Option<Dns> {
    let words = |words: &[String]| -> Vec<String> {
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        let words = words
            .iter()
            .filter(|it| !it.is_empty() && !it.contains(is_odd));
        words.cloned().collect()
    };
    let nameservers = words(&said.nameservers);
    (!nameservers.is_empty()).then(|| Dns {
        nameservers,
        search: words(&searched(&said.search, said.domain.as_ref())),
        options: words(&said.options),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    fn said(text: &str) -> Result<Option<Dns>, BadDns> {
        let flags = parse(&[&format!("--default_container_dns={text}")]).network;
        Ok(read(&flags)?.of(&flags.bridge_network))
    }

    #[test]
    fn what_is_said_of_the_bridge_comes_before_what_is_said_of_all() {
        let of = |name: &str, server: &str| {
            format!(r#"{{"network_mode": "CNI"{name}, "dns": {{"nameservers": ["{server}"]}}}}"#)
        };
        let (all, bridge) = (
            of("", "10.0.0.1"),
            of(r#", "network_name": "mesos-bridge""#, "10.0.0.2"),
        );
        let other = of(r#", "network_name": "other""#, "10.0.0.3");
        let server = |list: &[&str]| {
            let said = said(&format!(r#"{{"mesos": [{}]}}"#, list.join(",")));
            said.unwrap().map(|dns| dns.nameservers.join(","))
        };
        assert_eq!(server(&[&all, &bridge]).as_deref(), Some("10.0.0.2"));
        assert_eq!(server(&[&other, &all]).as_deref(), Some("10.0.0.1"));
        assert_eq!(server(&[&other]), None);
        assert_eq!(
            said(r#"{"docker": [{"network_mode": "BRIDGE", "dns": {}}]}"#).unwrap(),
            None
        );
        assert!(said(r#"{"mesos": 1}"#).is_err());
    }

    #[test]
    fn what_a_plugin_says_puts_no_line_of_its_own_into_a_file() {
        let text = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        let said = cni::Dns {
            nameservers: text(&["10.0.0.1", "10.0.0.2\noptions x", ""]),
            domain: Some("example.com".to_owned()),
            search: vec![],
            options: text(&["ndots:2", "a b"]),
        };
        let dns = of_plugin(&said).unwrap();
        assert_eq!(
            dns.resolv_conf(),
            "nameserver 10.0.0.1\nsearch example.com\noptions ndots:2\n"
        );
        assert_eq!(of_plugin(&cni::Dns::default()), None);
    }
}
