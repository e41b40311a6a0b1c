//! What plugins answer, of each version, in one form. Pure.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::version::Version;

/// What a container has in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In the plugin's order.
    pub addresses: Vec<Address>,
    pub dns: Dns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dns {
    pub nameservers: Vec<String>,
    pub domain: Option<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadOutcome {
    #[error("it printed nothing")]
    Nothing,
    #[error("what it printed is no result: {0:?}")]
    Json(String, #[source] serde_json::Error),
    #[error("it answered in version {0:?}, and was asked in {1}")]
    Version(String, Version),
    #[error("its address {0:?} is none: write it like 10.0.0.2/24")]
    Address(String),
}

/// 0.1.0 and 0.2.0 have `ip4` and `ip6`, all others `ips`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    cni_version: Option<String>,
    ip4: Option<Ip>,
    ip6: Option<Ip>,
    #[serde(default)]
    ips: Option<Vec<Ip>>,
    #[serde(default)]
    dns: Option<Dns>,
}

#[derive(Deserialize)]
struct Ip {
    #[serde(alias = "ip")]
    address: String,
    gateway: Option<String>,
}

/// Longer words are cut where they are shown.
const SHOWN: usize = 200;

/// As the next plugin is to get it, once it is known to be a result.
pub fn read(text: &[u8], asked: Version) -> Result<Value, BadOutcome> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(BadOutcome::Nothing);
    }
    let bad = |error| BadOutcome::Json(shown(text), error);
    let value: Value = serde_json::from_slice(text).map_err(bad)?;
    understood(&value, asked)?;
    Ok(value)
}

/// Of a result that was `read`, or kept.
pub fn understood(value: &Value, asked: Version) -> Result<Outcome, BadOutcome> {
    let bad = |error| BadOutcome::Json(shown(value.to_string().as_bytes()), error);
    let said = Said::deserialize(value).map_err(bad)?;
    if let Some(text) = &said.cni_version {
        let version = Version::parse(text);
        let is_like = |it: Version| it.has_one_address_each() == asked.has_one_address_each();
        if !version.is_some_and(is_like) {
            return Err(BadOutcome::Version(text.clone(), asked));
        }
    }
    let lists = said.ips.into_iter().flatten();
    let all = said.ip4.into_iter().chain(said.ip6).chain(lists);
    Ok(Outcome {
        addresses: all.map(|ip| address(&ip)).collect::<Result<_, _>>()?,
        dns: said.dns.unwrap_or_default(),
    })
}

fn address(said: &Ip) -> Result<Address, BadOutcome> {
    let bad = || BadOutcome::Address(shown(said.address.as_bytes()));
    let (ip, prefix) = said.address.split_once('/').ok_or_else(bad)?;
    let ip: IpAddr = ip.parse().map_err(|_no_address| bad())?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most);
    Ok(Address {
        ip,
        prefix: prefix.ok_or_else(bad)?,
        // Nobody here needs it.
        gateway: said.gateway.as_ref().and_then(|text| text.parse().ok()),
    })
}

/// What others wrote, so that it can stand in a sentence.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let plain = text.trim().chars().map(|c| match c.is_control() {
        true => ' ',
        false => c,
    });
    let mut plain: String = plain.take(SHOWN + 1).collect();
    if plain.chars().count() > SHOWN {
        plain.pop();
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(text: &str, asked: Version) -> Vec<String> {
        let value = read(text.as_bytes(), asked).unwrap();
        let outcome = understood(&value, asked).unwrap();
        let all = outcome.addresses.iter();
        all.map(|it| format!("{}/{}", it.ip, it.prefix)).collect()
    }

    #[test]
    fn a_result_of_each_version_says_the_same() {
        let table = [
            (
                Version::V020,
                r#"{"ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1"}, "ip6": {"ip": "fd00::2/64"}}"#,
            ),
            (
                Version::V031,
                r#"{"cniVersion": "0.3.1", "interfaces": [{"name": "eth0"}], "ips": [
                    {"version": "4", "address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 0},
                    {"version": "6", "address": "fd00::2/64"}], "dns": {}}"#,
            ),
            (
                Version::V110,
                r#"{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1"},
                    {"address": "fd00::2/64"}], "routes": [{"dst": "0.0.0.0/0", "mtu": 1400}]}"#,
            ),
        ];
        for (version, text) in table {
            assert_eq!(addresses(text, version), ["10.0.0.2/24", "fd00::2/64"]);
        }
        assert_eq!(addresses("{}", Version::V100), [] as [&str; 0]);
    }

    #[test]
    fn who_knows_names_is_told() {
        let text = br#"{"ips": [], "dns": {"nameservers": ["10.0.0.53"], "domain": "x", "options": ["a"]}}"#;
        let value = read(text, Version::V100).unwrap();
        let dns = understood(&value, Version::V100).unwrap().dns;
        assert_eq!(
            (dns.nameservers, dns.domain.as_deref()),
            (vec!["10.0.0.53".to_owned()], Some("x"))
        );
    }

    #[test]
    fn nonsense_is_told_in_one_line() {
        let table = [
            ("", "it printed nothing"),
            (" \n", "it printed nothing"),
            ("hello\nworld", "no result: \"hello world\""),
            ("[1]", "no result: \"[1]\""),
            (r#"{"ips": 1}"#, "no result"),
            (r#"{"ips": [{"address": "10.0.0.2"}]}"#, "like 10.0.0.2/24"),
            (
                r#"{"ips": [{"address": "10.0.0.2/33"}]}"#,
                "like 10.0.0.2/24",
            ),
            (r#"{"ips": [{"address": "x/1"}]}"#, "like 10.0.0.2/24"),
            (
                r#"{"cniVersion": "0.2.0"}"#,
                "it answered in version \"0.2.0\", and was asked in 1.0.0",
            ),
            (r#"{"cniVersion": "9"}"#, "it answered in version \"9\""),
        ];
        for (text, wanted) in table {
            let error = read(text.as_bytes(), Version::V100)
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let long = shown("x".repeat(1000).as_bytes());
        assert_eq!(long.chars().count(), SHOWN + 1);
    }

    proptest! {
        #[test]
        fn no_answer_confuses_the_reader(text in ".{0,200}", address in ".{0,20}") {
            let _ = read(text.as_bytes(), Version::V110);
            let text = serde_json::json!({"ips": [{"address": address}]}).to_string();
            let _ = read(text.as_bytes(), Version::V110);
        }
    }
}
