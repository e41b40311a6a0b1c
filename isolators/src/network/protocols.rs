//! What a network namespace counts of its protocols, as RFC 1213 names them.
//!
//! Source: proc_pid_net(5), `/proc/<pid>/net/snmp`: each protocol has a line of names and one of numbers.

use std::fs::File;

use crate::pseudo_file::read_text;

/// Of one protocol, in the kernel's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtocolCounters {
    /// `Ip`, `Icmp`, `Tcp`, `Udp` and others.
    pub protocol: String,
    /// Some can be negative: -1 is how many connections there may be, where there is no limit.
    pub counters: Vec<(String, i64)>,
}

impl ProtocolCounters {
    /// Of the network that process `pid` is in; none when it is gone. Who asks knows whose network that is.
    pub fn of(pid: u32) -> Vec<Self> {
        let text = File::open(format!("/proc/{pid}/net/snmp")).and_then(read_text);
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// What cannot be understood counts nothing.
    pub(crate) fn parse(text: &str) -> Vec<Self> {
        let lines: Vec<_> = text.lines().collect();
        lines.chunks_exact(2).filter_map(pair).collect()
    }
}

fn pair(lines: &[&str]) -> Option<ProtocolCounters> {
    let [names, numbers] = lines else {
        return None;
    };
    let (protocol, names) = names.split_once(':')?;
    let numbers = numbers.strip_prefix(protocol)?.strip_prefix(':')?;
    let numbers = numbers.split_whitespace().map(|number| number.parse().ok());
    let counters = names.split_whitespace().zip(numbers);
    let counters = counters.filter_map(|(name, number)| Some((name.to_owned(), number?)));
    Some(ProtocolCounters {
        protocol: protocol.to_owned(),
        counters: counters.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_told_in_pairs() {
        let text = "\
Ip: Forwarding DefaultTTL
Ip: 1 64
IcmpMsg: InType3
IcmpMsg: 7
Tcp: MaxConn Odd Huge ActiveOpens More
Tcp: -1 odd 99999999999999999999 12
";
        let counters = |all: &[(&str, i64)]| {
            let owned = all
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number));
            owned.collect::<Vec<_>>()
        };
        let told = ProtocolCounters::parse(text);
        let told: Vec<_> = (told.iter())
            .map(|it| (it.protocol.as_str(), it.counters.clone()))
            .collect();
        let wanted = [
            ("Ip", counters(&[("Forwarding", 1), ("DefaultTTL", 64)])),
            ("IcmpMsg", counters(&[("InType3", 7)])),
            ("Tcp", counters(&[("MaxConn", -1), ("ActiveOpens", 12)])),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn numbers_of_another_protocol_are_nobodys() {
        assert_eq!(ProtocolCounters::parse("Ip: Forwarding\nTcp: 1\n"), []);
        assert_eq!(ProtocolCounters::parse("Ip: Forwarding\n"), []);
    }

    #[test]
    fn this_kernel_counts_what_comes_in() {
        let told = ProtocolCounters::of(std::process::id());
        let ip = told.iter().find(|it| it.protocol == "Ip");
        let is_there =
            |it: &ProtocolCounters| it.counters.iter().any(|(name, _)| name == "InReceives");
        assert!(ip.is_some_and(is_there), "{told:?}");
    }
}
