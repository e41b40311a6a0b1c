//! What a container's network counts of its protocols, as Mesos' `SNMPStatistics`.

use containerizer::ProtocolCounters;
use proto::v1;
use serde_json::{Map, Value};

/// The message calls the kernel's protocols by these names, and its counters as the kernel does.
const PROTOCOLS: [(&str, &str); 4] = [
    ("Ip", "ip_stats"),
    ("Icmp", "icmp_stats"),
    ("Tcp", "tcp_stats"),
    ("Udp", "udp_stats"),
];

/// Counters that came after Mesos' are left out. `None` where nothing is counted.
pub fn snmp(counted: &[ProtocolCounters]) -> Option<v1::SnmpStatistics> {
    let section = |(kernels, ours): &(&str, &str)| {
        let of = counted.iter().find(|it| it.protocol == *kernels)?;
        let counters = of.counters.iter();
        let counters = counters.map(|(name, number)| (name.clone(), Value::from(*number)));
        Some(((*ours).to_owned(), Value::Object(counters.collect())))
    };
    let sections: Map<_, _> = PROTOCOLS.iter().filter_map(section).collect();
    if sections.is_empty() {
        return None;
    }
    proto::json::from_value(&Value::Object(sections)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(protocol: &str, counters: &[(&str, i64)]) -> ProtocolCounters {
        let counters = counters.iter();
        ProtocolCounters {
            protocol: protocol.to_owned(),
            counters: counters
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
        }
    }

    #[test]
    fn counters_are_told_by_their_names() {
        let told = snmp(&[
            counted("Ip", &[("DefaultTTL", 64), ("OutTransmits", 3)]),
            counted("IcmpMsg", &[("InType3", 7)]),
            counted("Tcp", &[("MaxConn", -1), ("CurrEstab", 2)]),
            counted("Udp", &[("NoPorts", 4)]),
        ]);
        let told = told.expect("some");
        assert_eq!(told.ip_stats.and_then(|it| it.default_ttl), Some(64));
        assert_eq!(told.icmp_stats, None);
        let tcp = told.tcp_stats.expect("tcp");
        assert_eq!((tcp.max_conn, tcp.curr_estab), (Some(-1), Some(2)));
        assert_eq!(told.udp_stats.and_then(|it| it.no_ports), Some(4));
        assert_eq!(snmp(&[]), None);
    }
}
