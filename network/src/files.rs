//! What a container's programs look up in files: names, and who knows more of them. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Where names are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    pub nameservers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl Dns {
    /// Of a host's resolv.conf(5), as far as it is any good elsewhere: what answers at an address of the
    /// host's loopback, or of one of its links, cannot be reached from a container.
    pub fn of_host(text: &str) -> Self {
        let mut dns = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let key = words.next();
            let words = words.map(str::to_owned);
            match key {
                Some("nameserver") => {
                    let first = words.take(1).filter(|server| {
                        let server = server.split('%').next().unwrap_or_default();
                        server.parse().is_ok_and(is_reachable)
                    });
                    dns.nameservers.extend(first);
                }
                // The last one counts.
                Some("search" | "domain") => dns.search = words.collect(),
                Some("options") => dns.options.extend(words),
                _ => {}
            }
        }
        dns
    }

    /// Of each part what `own` says, if it says something.
    pub fn but(self, own: Self) -> Self {
        let of = |all: Vec<String>, own: Vec<String>| if own.is_empty() { all } else { own };
        Self {
            nameservers: of(self.nameservers, own.nameservers),
            search: of(self.search, own.search),
            options: of(self.options, own.options),
        }
    }

    pub fn resolv_conf(&self) -> String {
        let mut text = String::new();
        for server in &self.nameservers {
            let _ = writeln!(text, "nameserver {server}");
        }
        for (key, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                let _ = writeln!(text, "{key} {}", words.join(" "));
            }
        }
        text
    }
}

fn is_reachable(ip: IpAddr) -> bool {
    let is_of_a_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !is_of_a_link
}

pub fn hosts(hostname: &str, addresses: &[IpAddr]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for address in addresses {
        let _ = writeln!(text, "{address}\t{hostname}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_hosts_loopback_are_no_use_to_a_container() {
        let host = "# by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.1 \nnameserver ::1\nnameserver \
                    fe80::1%eth0\nsearch a b\nsearch c d\noptions ndots:2 trust-ad\nnameserver\n";
        let dns = Dns::of_host(host);
        assert_eq!(
            dns.resolv_conf(),
            "nameserver 10.0.0.1\nsearch c d\noptions ndots:2 trust-ad\n"
        );
        assert_eq!(Dns::of_host("").resolv_conf(), "");
    }

    #[test]
    fn a_container_knows_its_own_name() {
        let addresses = ["10.0.0.2".parse().expect("an address")];
        let text = hosts("web", &addresses);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n") && text.ends_with("10.0.0.2\tweb\n"));
    }
}
