//! The same with plugins that everybody has: Debian's containernetworking-plugins.

use super::named::{Described, connected, joining, nothing_is_connected};
use super::*;

/// Where Debian's are.
const PLUGINS: &str = "/usr/lib/cni";

fn rules() -> String {
    let saved = std::process::Command::new("iptables-save")
        .output()
        .unwrap();
    String::from_utf8_lossy(&saved.stdout).into_owned()
}

#[test]
fn with_cni_plugins_tasks_are_reached_by_their_addresses_and_ports() {
    apart(|| async {
        let mut node = node().await;
        let described = Described::of(&mut node);
        node.flags.network.cni_plugins_dir = Some(PLUGINS.to_owned());
        let leases = described.dir.join("leases");
        let list = serde_json::json!({
            "cniVersion": "1.0.0", "name": "blue", "plugins": [
                {"type": "bridge", "bridge": "cni-test0", "isDefaultGateway": true, "ipMasq": true,
                 "hairpinMode": true,
                 "ipam": {"type": "host-local", "dataDir": leases, "ranges": [
                    [{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        described.network("10-blue.conflist", &list.to_string());
        // Of another version, and without an address.
        let loopback = r#"{"cniVersion": "0.3.1", "name": "lo", "type": "loopback"}"#;
        described.network("20-lo.conf", loopback);
        let (handle, mut link) = node.start().await;
        let mut web = joining("web", &["blue", "lo"], &server("web"));
        let infos = &mut web.container.as_mut().unwrap().network_infos;
        infos[0].port_mappings = vec![mapping(31000, "tcp")];
        link.say(run(web)).await;
        let running = runs(&mut link).await;
        let all = addresses(&running);
        assert_eq!(all[..2], ["10.88.0.2", "fd00:88::2"]);
        assert_eq!(got("10.88.0.2:80"), "web");
        assert_eq!(got("127.0.0.1:31000"), "web");
        assert!(rules().contains("CNI-DN-"));

        let look = "busybox wget -q -O - http://10.88.0.2/; busybox ip -o address show eth0; exec sleep 1000";
        link.say(run(joining("other", &["blue"], look))).await;
        assert_eq!(addresses(&runs(&mut link).await)[0], "10.88.0.3");
        loop {
            let text = output(&handle, "other").await;
            if text.contains("web\n") && text.contains("10.88.0.3/24") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        stop(handle, link).await;
        let flags = &node.flags;
        let settings = flags.network.named(&flags.runtime_dir, &flags.work_dir);
        let networks = cni::Node::recover(settings).unwrap();
        // Ports of both families are more than portmap 1.1 can check.
        let has_ports = |id: &String| {
            let attachments = &networks.record(id).unwrap().attachments;
            !attachments[0].runtime.port_mappings.is_empty()
        };
        let connected = connected(&node);
        let other = connected.iter().find(|it| !has_ports(it)).unwrap();
        networks.check(other).unwrap();
        let (handle, mut link) = node.start().await;
        assert_eq!(got("127.0.0.1:31000"), "web");
        for id in ["web", "other"] {
            link.say(kill(id)).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskKilled);
        }
        nothing_is_connected(&node).await;
        let left = rules();
        assert!(!left.contains("10.88.0.2"), "{left}");
        let leased = std::fs::read_dir(leases.join("blue")).unwrap().flatten();
        let leased: Vec<_> = leased.map(|it| it.file_name()).collect();
        let is_address = |it: &std::ffi::OsString| it.to_string_lossy().starts_with(['1', 'f']);
        assert!(!leased.iter().any(is_address), "{leased:?}");
        node.end(handle).await;
    });
}
