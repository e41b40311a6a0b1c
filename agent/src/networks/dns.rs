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
struct Default {
    #[serde(default)]
    mesos: Vec<OfNetwork>,
}

#[derive(Deserialize)]
struct OfNetwork {
    network_mode: Option<String>,
    /// All that nothing is said of, when it is missing.
    network_name: Option<String>,
    dns: Names,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    nameservers: Vec<String>,
    domain: Option<String>,
    #[serde(default)]
    search: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
}

/// Of the bridge; `None` when nothing is said of it.
pub fn read(flags: &NetworkFlags) -> Result<Option<Dns>, BadDns> {
    let Some(text) = &flags.default_container_dns else {
        return Ok(None);
    };
    let all: Default = serde_json::from_str(text).map_err(BadDns)?;
    let is_meant = |it: &&OfNetwork| it.network_mode.as_deref() == Some("CNI");
    let of = |name: Option<&str>| {
        let mut meant = all.mesos.iter().filter(is_meant);
        meant.find(|it| it.network_name.as_deref() == name)
    };
    let said = of(Some(&flags.bridge_network)).or_else(|| of(None));
    Ok(said.map(|OfNetwork { dns, .. }| Dns {
        nameservers: dns.nameservers.clone(),
        search: match dns.search.is_empty() {
            true => dns.domain.iter().cloned().collect(),
            false => dns.search.clone(),
        },
        options: dns.options.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    fn said(text: &str) -> Result<Option<Dns>, BadDns> {
        read(&parse(&[&format!("--default_container_dns={text}")]).network)
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
}
