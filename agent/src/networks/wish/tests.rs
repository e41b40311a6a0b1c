use super::*;

fn mapping(host_port: u32, protocol: &str) -> v1::network_info::PortMapping {
    v1::network_info::PortMapping {
        host_port,
        container_port: 80,
        protocol: Some(protocol.to_owned()),
    }
}

fn network(name: Option<&str>, mappings: &[v1::network_info::PortMapping]) -> v1::NetworkInfo {
    v1::NetworkInfo {
        name: name.map(str::to_owned),
        port_mappings: mappings.to_vec(),
        ..Default::default()
    }
}

fn wished(networks: &[v1::NetworkInfo], hostname: Option<&str>) -> Result<Wish, BadNetwork> {
    let task = v1::TaskInfo {
        container: Some(v1::ContainerInfo {
            network_infos: networks.to_vec(),
            hostname: hostname.map(str::to_owned),
            ..Default::default()
        }),
        ..Default::default()
    };
    let held = Resources::parse("ports:[31000-31001]", "*").unwrap();
    wish(&task, &held, "mesos-bridge", "c1")
}

#[test]
fn a_task_that_names_no_network_has_the_hosts() {
    assert_eq!(wished(&[], None), Ok(Wish::Hosts(vec![])));
    let unnamed = wished(&[network(None, &[])], None);
    assert_eq!(unnamed, Ok(Wish::Hosts(vec![])));
}

#[test]
fn of_the_hosts_ports_a_task_serves_what_it_says_and_holds() {
    let said = [
        (31000, Some("tcp")),
        (31000, Some("udp")),
        (31001, None),
        (31002, None),
        (31000, Some("sctp")),
        (70000, None),
    ];
    let ports = said.map(|(number, protocol)| v1::Port {
        number,
        protocol: protocol.map(str::to_owned),
        ..Default::default()
    });
    let task = v1::TaskInfo {
        discovery: Some(v1::DiscoveryInfo {
            ports: Some(v1::Ports {
                ports: ports.to_vec(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let held = Resources::parse("ports:[31000-31001]", "*").unwrap();
    let port = |host, protocol| Port {
        protocol,
        host,
        container: host,
    };
    let wanted = vec![
        port(31000, Protocol::Tcp),
        port(31000, Protocol::Udp),
        port(31001, Protocol::Tcp),
    ];
    let wish = wish(&task, &held, "mesos-bridge", "c1");
    assert_eq!(wish, Ok(Wish::Hosts(wanted)));
}

#[test]
fn ports_lead_from_those_that_the_task_holds() {
    let mappings = [mapping(31000, "tcp"), mapping(31000, "UDP")];
    let port = |protocol| Port {
        protocol,
        host: 31000,
        container: 80,
    };
    let wanted = |hostname: &str| {
        Ok(Wish::Own(Box::new(Own {
            bridge: Some(Bridged {
                ports: vec![port(Protocol::Tcp), port(Protocol::Udp)],
                rates: Rates::default(),
                egress: None,
            }),
            named: vec![],
            dns: Dns::default(),
            hostname: hostname.to_owned(),
        })))
    };
    let bridge = [network(Some("mesos-bridge"), &mappings)];
    assert_eq!(wished(&bridge, None), wanted("c1"));
    assert_eq!(wished(&bridge, Some("web")), wanted("web"));
}

#[test]
fn a_task_may_join_several_networks_in_its_order() {
    let mut blue = network(Some("blue"), &[mapping(31000, "UDP")]);
    blue.labels = Some(v1::Labels {
        labels: vec![v1::Label {
            key: "mac".to_owned(),
            value: Some("02:00:00:00:00:01".to_owned()),
        }],
    });
    let plain = network(Some("mesos-bridge"), &[]);
    let unnamed = network(None, &[]);
    let Ok(Wish::Own(own)) = wished(&[plain, unnamed, blue.clone()], None) else {
        panic!("it is refused");
    };
    assert!(own.bridge.is_some());
    assert_eq!(own.named.len(), 1);
    let named = &own.named[0];
    assert_eq!(
        (named.network.as_str(), named.interface.as_str()),
        ("blue", "eth1")
    );
    assert_eq!(named.runtime.mac.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!(named.runtime.port_mappings[0].protocol, "udp");
    assert_eq!(own.ports()[0].protocol, Protocol::Udp);
    assert_eq!(asked(&named.arguments), Some(blue));
}

#[test]
fn a_network_that_leads_nowhere_is_one() {
    let own = Own {
        bridge: None,
        named: vec![],
        dns: Dns::default(),
        hostname: "c1".to_owned(),
    };
    assert_eq!(
        wished(&[network(Some("none"), &[])], None),
        Ok(Wish::Own(Box::new(own)))
    );
}

#[test]
fn plugins_are_told_rates_in_bits() {
    let rates = Rates {
        receives: Some(10 << 20),
        sends: None,
    };
    let wanted = cni::Bandwidth {
        ingress_rate: 80 << 20,
        ingress_burst: 8 << 20,
        ..Default::default()
    };
    assert_eq!(bandwidth(rates), Some(wanted));
    assert_eq!(bandwidth(Rates::default()), None);
}

fn labelled(key: &str, value: &str, names: &[&str]) -> v1::TaskInfo {
    let networks = names.iter().map(|name| network(Some(name), &[]));
    v1::TaskInfo {
        labels: Some(v1::Labels {
            labels: vec![v1::Label {
                key: key.to_owned(),
                value: Some(value.to_owned()),
            }],
        }),
        container: Some(v1::ContainerInfo {
            network_infos: networks.collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn a_label_says_whom_a_task_may_talk_to_and_is_never_passed_over() {
    let of = |value: &str, names: &[&str]| {
        let task = labelled(EGRESS, value, names);
        match wish(&task, &Resources::default(), "mesos-bridge", "c1")? {
            Wish::Own(own) => Ok(own.bridge.and_then(|it| it.egress)),
            Wish::Hosts(_) => Ok(None),
        }
    };
    let bridge = ["mesos-bridge"];
    let policy = "10.0.0.0/8:443/tcp, dns";
    let wanted = policy.parse::<Policy>().unwrap();
    assert_eq!(of(policy, &bridge), Ok(Some(wanted)));
    assert_eq!(of("", &bridge), Ok(Some(Policy::default())));
    // It leads nowhere by itself.
    assert_eq!(of(policy, &["none"]), Ok(None));
    let error = of("example.com", &bridge).unwrap_err();
    assert!(matches!(error, BadNetwork::Egress(_)), "{error:?}");
    for others in [&[][..], &["blue"], &["mesos-bridge", "blue"]] {
        let error = of(policy, others).unwrap_err();
        let wanted = BadNetwork::EgressElsewhere("mesos-bridge".to_owned());
        assert_eq!(error, wanted, "{others:?}");
    }
}

#[test]
fn labels_say_how_fast_a_task_may_be() {
    let task = |value: &str| labelled(SENDS, value, &[]);
    assert_eq!(rate(&task("10MB"), SENDS), Ok(Some(10 << 20)));
    assert_eq!(rate(&task("10MB"), RECEIVES), Ok(None));
    for bad in ["10", "fast", "0B"] {
        let error = rate(&task(bad), SENDS).unwrap_err().to_string();
        assert!(
            error.starts_with("label LONGSHORE_NETWORK_SEND_RATE: "),
            "{error}"
        );
    }
}

#[test]
fn a_task_is_held_to_its_rates_on_a_network_of_its_own_and_none_is_passed_over() {
    let of = |names: &[&str]| {
        let mut task = labelled(SENDS, "2MB", names);
        let receives = labelled(RECEIVES, "1MB", &[]).labels.unwrap_or_default();
        task.labels.as_mut().unwrap().labels.extend(receives.labels);
        wish(&task, &Resources::default(), "mesos-bridge", "c1")
    };
    let Ok(Wish::Own(own)) = of(&["mesos-bridge", "blue"]) else {
        panic!("it is refused");
    };
    let rates = Rates {
        receives: Some(1 << 20),
        sends: Some(2 << 20),
    };
    assert_eq!(own.bridge.unwrap().rates, rates);
    assert_eq!(own.named[0].runtime.bandwidth, bandwidth(rates));
    let wanted = BadNetwork::RateElsewhere("mesos-bridge".to_owned());
    assert_eq!(of(&[]), Err(wanted));
    let bad = wish(
        &labelled(SENDS, "fast", &[]),
        &Resources::default(),
        "b",
        "c1",
    );
    assert!(
        matches!(bad, Err(BadNetwork::Rate { label: SENDS, .. })),
        "{bad:?}"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let bridge = |mappings: &[_]| network(Some("mesos-bridge"), mappings);
    let plain = [bridge(&[])];
    let table = [
        (
            vec![plain[0].clone(), plain[0].clone()],
            "network \"mesos-bridge\" is named twice",
        ),
        (
            vec![network(Some("blue"), &[]), plain[0].clone()],
            "network \"mesos-bridge\" must be the first",
        ),
        (
            vec![network(Some("none"), &[]), plain[0].clone()],
            "\"none\" leads nowhere",
        ),
        (
            vec![network(Some("blue"), &[]), network(Some("none"), &[])],
            "\"none\" leads nowhere",
        ),
        (
            vec![network(Some("none"), &[mapping(31000, "tcp")])],
            "\"none\" leads nowhere",
        ),
        (
            vec![network(Some("blue"), &[mapping(31002, "tcp")])],
            "none of the task's \"ports\"",
        ),
        (
            vec![network(None, &[mapping(31000, "tcp")])],
            "network of the task's own",
        ),
        (
            vec![bridge(&[mapping(31002, "tcp")])],
            "none of the task's \"ports\"",
        ),
        (vec![bridge(&[mapping(0, "tcp")])], "host_port is 0"),
        (vec![bridge(&[mapping(70000, "tcp")])], "host_port is 70000"),
        (vec![bridge(&[mapping(31000, "sctp")])], "\"sctp\""),
    ];
    for (networks, wanted) in table {
        let error = wished(&networks, None).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    for bad in ["", "a b", "a\nb"] {
        let error = wished(&plain, Some(bad)).unwrap_err();
        assert_eq!(error, BadNetwork::Hostname(bad.to_owned()));
    }
}
