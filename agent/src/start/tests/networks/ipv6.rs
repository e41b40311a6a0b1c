//! Tasks that have an address of IPv6, too.

use super::*;

#[test]
fn root_a_task_on_a_bridge_of_both_families_has_an_address_of_each_and_no_router_but_the_host() {
    apart(|| async {
        let mut node = node().await;
        let subnet = "fd00:211::/64".parse().unwrap();
        node.flags.network.bridge_subnet_v6 = Some(subnet);
        let (handle, mut link) = node.start().await;
        link.say(run(bridged("web", 0, &server("web")))).await;
        let running = runs(&mut link).await;
        assert_eq!(addresses(&running), ["10.211.0.2", "fd00:211::2"]);
        // httpd listens by both families.
        assert_eq!(got("[fd00:211::1]:31000"), "web");
        assert_eq!(got("[fd00:211::2]:80"), "web");
        let look = "cat /etc/hosts; busybox wget -q -O - http://[fd00:211::1]:31000/ http://[fd00:211::2]/; \
                    busybox ip -o -6 address show dev eth0; busybox ip -6 route; \
                    cat /proc/sys/net/ipv6/conf/eth0/accept_ra";
        link.say(run(bridged("other", 1, look))).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        let text = output(&handle, "other").await;
        for wanted in [
            "fd00:211::3\t",
            "web\nweb\n",
            "inet6 fd00:211::3/128",
            "default via fd00:211::1 dev eth0",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is not in {text}");
        }
        assert!(text.ends_with("\n0\n"), "{text}");
        assert!(!text.contains("fe80"), "{text}");
        let of_bridge = std::fs::read_to_string("/proc/sys/net/ipv6/conf/longshore0/accept_ra");
        assert_eq!(of_bridge.unwrap().trim(), "0");
        link.say(kill("web")).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskKilled);
        assert_eq!(leases(&node), Vec::<String>::new());
        handle.destroy().await;
    });
}
