//! Who tells a task names: who it says itself, or else who `--default_container_dns` says, in Mesos' form, or
//! else who tells the host. Source: spec/mesos-agent.md sections 2 and 26.

use std::net::IpAddr;

use network::Dns;
use proto::v1;
use serde::Deserialize;

use super::flags::NetworkFlags;

#[derive(Debug, thiserror::Error)]
pub enum BadDns {
    #[error(transparent)]
    Form(#[from] BadForm),
    #[error(
        "network_mode is {0:?}: of tasks' networks it must be \"CNI\", for the host's has the host's names"
    )]
    Mode(String),
    #[error("of {0} it is said twice who tells names")]
    Twice(String),
    #[error(transparent)]
    Word(#[from] BadWord),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it must be like {{\"mesos\": [{{\"network_mode\": \"CNI\", \"dns\": {{\"nameservers\": [\"10.0.0.53\"]}}}}]}}"
)]
pub struct BadForm(#[source] serde_json::Error);

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

const SERVERS: &str = "LONGSHORE_DNS_SERVERS";
const SEARCH: &str = "LONGSHORE_DNS_SEARCH";
const OPTIONS: &str = "LONGSHORE_DNS_OPTIONS";

/// By which a task says it itself.
pub const LABELS: [&str; 3] = [SERVERS, SEARCH, OPTIONS];

/// Of each network apart, and of all others.
#[derive(Debug, Default)]
pub struct DefaultDns(Vec<OfNetwork>);

pub fn read(flags: &NetworkFlags) -> Result<DefaultDns, BadDns> {
    let Some(text) = &flags.default_container_dns else {
        return Ok(DefaultDns::default());
    };
    let all: Said = serde_json::from_str(text).map_err(BadForm)?;
    check(&all.mesos)?;
    Ok(DefaultDns(all.mesos))
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

fn check(all: &[OfNetwork]) -> Result<(), BadDns> {
    for (at, it) in all.iter().enumerate() {
        let mode = it.network_mode.as_deref().unwrap_or_default();
        if mode != "CNI" {
            return Err(BadDns::Mode(mode.to_owned()));
        }
        let same = |other: &OfNetwork| other.network_name == it.network_name;
        if all.iter().take(at).any(same) {
            let name = it.network_name.as_ref();
            let name = name.map_or("all networks".to_owned(), |name| {
                format!("network {name:?}")
            });
            return Err(BadDns::Twice(name));
        }
        for server in &it.dns.nameservers {
            Kind::Server.check(server)?;
        }
    }
    Ok(())
}

/// Parts of what a task says itself: a label, and the parameters of Docker that mean the same.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Server,
    Search,
    Option,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}: {wanted}")]
pub struct BadWord {
    text: String,
    kind: &'static str,
    wanted: &'static str,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Server => SERVERS,
            Self::Search => SEARCH,
            Self::Option => OPTIONS,
        }
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["dns"],
            Self::Search => &["dns-search"],
            Self::Option => &["dns-option", "dns-opt"],
        }
    }

    /// What it is given becomes a word of a line.
    fn check(self, text: &str) -> Result<(), BadWord> {
        let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let (kind, is_one, wanted) = match self {
            Self::Server => (
                "name server",
                text.parse::<IpAddr>().is_ok(),
                "give its address",
            ),
            Self::Search => (
                "domain",
                text.len() <= 253 && text.chars().all(of_names),
                "give letters, digits, '-' and '.'",
            ),
            Self::Option => (
                "option of resolv.conf",
                text.chars().all(|c| of_names(c) || c == ':'),
                "give one such as ndots:2",
            ),
        };
        match is_one {
            true => Ok(()),
            false => Err(BadWord {
                text: text.to_owned(),
                kind,
                wanted,
            }),
        }
    }

    fn of(self, task: &v1::TaskInfo) -> Result<Vec<String>, BadWord> {
        let labels = task.labels.iter().flat_map(|labels| &labels.labels);
        let labels = labels.filter(|label| label.key == self.label());
        let container = task.container.as_ref();
        let docker = container.and_then(|container| container.docker.as_ref());
        let parameters = docker.iter().flat_map(|docker| &docker.parameters);
        let parameters = parameters.filter(|it| self.parameters().contains(&it.key.as_str()));
        let texts = labels.map(v1::Label::value);
        let texts = texts.chain(parameters.map(|it| it.value.as_str()));
        let words = texts.flat_map(|text| text.split(|c: char| c == ',' || c.is_whitespace()));
        let words = words.filter(|word| !word.is_empty()).map(|word| {
            self.check(word)?;
            Ok(word.to_owned())
        });
        words.collect()
    }
}

/// What a task says itself; what it does not say is empty.
pub fn of_task(task: &v1::TaskInfo) -> Result<Dns, BadWord> {
    Ok(Dns {
        nameservers: Kind::Server.of(task)?,
        search: Kind::Search.of(task)?,
        options: Kind::Option.of(task)?,
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
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let cni = |more: &str| format!(r#"{{"network_mode": "CNI", "dns": {{{more}}}}}"#);
        let table = [
            (r#"{"mesos": 1}"#.to_owned(), "it must be like"),
            (
                format!(r#"{{"mesos": [{}, {}]}}"#, cni(""), cni("")),
                "of all networks it is said twice",
            ),
            (
                r#"{"mesos": [{"network_mode": "HOST", "dns": {}}]}"#.to_owned(),
                "network_mode is \"HOST\"",
            ),
            (
                format!(
                    r#"{{"mesos": [{}]}}"#,
                    cni(r#""nameservers": ["ns.example"]"#)
                ),
                "\"ns.example\" is no name server: give its address",
            ),
        ];
        for (text, wanted) in table {
            let error = said(&text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    fn task(labels: &[(&str, &str)], parameters: &[(&str, &str)]) -> v1::TaskInfo {
        let labels = labels.iter().map(|(key, value)| v1::Label {
            key: (*key).to_owned(),
            value: Some((*value).to_owned()),
        });
        let parameters = parameters.iter().map(|(key, value)| v1::Parameter {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        });
        v1::TaskInfo {
            labels: Some(v1::Labels {
                labels: labels.collect(),
            }),
            container: Some(v1::ContainerInfo {
                docker: Some(v1::container_info::DockerInfo {
                    parameters: parameters.collect(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn what_a_task_says_comes_before_all_else_part_by_part() {
        let labels = [("LONGSHORE_DNS_SERVERS", "10.0.0.1, fd00::1")];
        let parameters = [
            ("dns", "10.0.0.2"),
            ("dns-opt", "ndots:2"),
            ("cap-add", "X"),
        ];
        let own = of_task(&task(&labels, &parameters)).unwrap();
        assert_eq!(own.nameservers, ["10.0.0.1", "fd00::1", "10.0.0.2"]);
        let all = Dns {
            nameservers: vec!["10.9.9.9".to_owned()],
            search: vec!["example.com".to_owned()],
            options: vec!["rotate".to_owned()],
        };
        let text = all.but(own).resolv_conf();
        let wanted = "nameserver 10.0.0.1\nnameserver fd00::1\nnameserver 10.0.0.2\n\
                      search example.com\noptions ndots:2\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_would_be_more_than_a_word_is_refused() {
        for (label, value, wanted) in [
            ("LONGSHORE_DNS_SERVERS", "ns.example", "is no name server"),
            ("LONGSHORE_DNS_SEARCH", "a;b", "is no domain"),
            ("LONGSHORE_DNS_OPTIONS", "#", "is no option"),
        ] {
            let error = of_task(&task(&[(label, value)], &[])).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
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
