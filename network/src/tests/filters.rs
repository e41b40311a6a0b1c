//! Packet filters of others, before us and after.

use super::world::{
    Place, Refuses, apart, asked, container, delete_filter, is_silent, make_filter,
};
use super::{answers, node};
use crate::Watch;
use crate::netlink::{Protocol as Family, Socket};
use crate::nftables::foreign;

#[test]
fn root_containers_are_reached_beside_a_filter_that_drops_what_it_does_not_know() {
    let directory = tempfile::tempdir().expect("a directory");
    apart(|| {
        let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
        outside.serve("outside", 80);
        let iptables = || {
            let iptables = std::process::Command::new("iptables").arg("-V").output();
            iptables.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains("nf_tables"))
        };
        let mut filter = Socket::open(Family::Netfilter).expect("a socket");
        make_filter(&mut filter, 2, "filter", "FORWARD", Refuses::ByPolicy);
        let node = node(&directory);
        let (web, _) = container(&node, "web", &[31000]);
        web.serve("web", 80);
        assert_eq!(
            outside.within(|| asked("192.0.2.1:31000")),
            answers("web", "192.0.2.2")
        );
        assert_eq!(
            web.within(|| asked("192.0.2.2:80")),
            answers("outside", "192.0.2.1")
        );
        node.mend().expect("mends");
        let ours = |filter: &mut Socket| foreign::ours(filter, "longshore0").expect("rules").len();
        assert_eq!(ours(&mut filter), 2);
        if iptables() {
            let shown = std::process::Command::new("iptables")
                .args(["-S", "FORWARD"])
                .output();
            let shown = String::from_utf8(shown.expect("it starts").stdout).expect("text");
            assert!(
                shown
                    .contains("-A FORWARD -i longshore0 -m comment --comment longshore0 -j ACCEPT"),
                "{shown}"
            );
        }
        node.release("web").expect("releases");
        node.remove().expect("removes");
        assert_eq!(ours(&mut filter), 0);
    });
}

#[test]
fn root_filters_that_refuse_by_their_last_rule_and_come_again_are_passed_as_well() {
    for (family, table, chain) in [(1, "firewalld", "filter_FORWARD"), (2, "filter", "FORWARD")] {
        let directory = tempfile::tempdir().expect("a directory");
        apart(|| {
            let outside = Place::neighbour("cable", "192.0.2.1", "192.0.2.2");
            outside.serve("outside", 80);
            let mut filter = Socket::open(Family::Netfilter).expect("a socket");
            let mut make = |how| make_filter(&mut filter, family, table, chain, how);
            let node = node(&directory);
            let (web, _) = container(&node, "web", &[31000]);
            web.serve("web", 80);
            let watch = Watch::open("longshore0").expect("watches");
            make(Refuses::ByLastRule);
            assert!(watch.has_seen_a_loss());
            assert!(outside.within(|| is_silent("192.0.2.1:31000")));
            let mends = || {
                node.mend().expect("mends");
                let reached = outside.within(|| asked("192.0.2.1:31000"));
                assert_eq!(reached, answers("web", "192.0.2.2"));
                let reached = web.within(|| asked("192.0.2.2:80"));
                assert_eq!(reached, answers("outside", "192.0.2.1"));
            };
            mends();
            // Until nothing is left to be seen of what we have done.
            while watch.has_seen_a_loss() {}
            // As it is loaded anew.
            delete_filter(&mut filter, family, table);
            assert!(watch.has_seen_a_loss());
            make_filter(&mut filter, family, table, chain, Refuses::ByLastRule);
            assert!(watch.has_seen_a_loss());
            mends();
            let ours = foreign::ours(&mut filter, "longshore0").expect("rules");
            assert_eq!(ours.len(), 2);
            node.release("web").expect("releases");
            node.remove().expect("removes");
            let ours = foreign::ours(&mut filter, "longshore0").expect("rules");
            assert_eq!(ours.len(), 0);
        });
    }
}
