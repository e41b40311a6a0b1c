//! What differs from version to version of the protocol, in the life of one container.

use super::*;

/// When it connects, it says in which version it answers.
fn answers_in(version: &str) -> String {
    GOOD.replace("1.0.0", version)
}

impl Stage {
    fn list(&self, version: &str) {
        let plugins = json!([{"type": "first"}, {"type": "second"}]);
        let text = json!({"cniVersion": version, "name": "blue", "plugins": plugins}).to_string();
        fs::write(self.path("conf").join("blue.conflist"), text).unwrap();
        for plugin in ["first", "second"] {
            self.plugin(plugin, &answers_in(version));
        }
    }
}

#[test]
fn root_from_0_4_on_plugins_are_asked_again_and_told_at_the_end_what_they_said() {
    #[rustfmt::skip] // A version a row.
    let table = [
        ("0.3.0", false),
        ("0.3.1", false),
        ("0.4.0", true),
        ("1.0.0", true),
        ("1.1.0", true),
    ];
    for (version, keeps_results) in table {
        apart(|stage, namespace| {
            stage.list(version);
            let node = stage.node();
            let outcomes = node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")]);
            let outcome = &outcomes.unwrap()[0];
            let address = outcome.addresses[0];
            assert_eq!(address.ip.to_string(), "10.9.0.2", "{version}");
            assert_eq!(outcome.dns.nameservers, ["10.9.0.1"], "{version}");
            let calls = ["ADD first c1 eth0", "ADD second c1 eth0"];
            assert_eq!(stage.calls(), calls, "{version}");

            node.check("c1").unwrap();
            let calls: &[&str] = match keeps_results {
                true => &["CHECK first c1 eth0", "CHECK second c1 eth0"],
                false => &[],
            };
            assert_eq!(stage.calls(), calls, "{version}");

            node.release("c1").unwrap();
            let calls = ["DEL second c1 eth0", "DEL first c1 eth0"];
            assert_eq!(stage.calls(), calls, "{version}");

            // In a chain who comes later is told of who was before it, in each version.
            let said = json!({"cniVersion": version, "ips": [{"address": "10.9.0.2/24"}],
                "dns": {"nameservers": ["10.9.0.1"]}});
            let again = keeps_results.then_some(&said);
            let mut told = vec![
                ("ADD.first", None),
                ("ADD.second", Some(&said)),
                ("DEL.second", again),
                ("DEL.first", again),
            ];
            if keeps_results {
                told.extend([("CHECK.first", again), ("CHECK.second", again)]);
            }
            for (call, previous) in told {
                let told = stage.told(call);
                assert_eq!(told["cniVersion"], version, "{call}");
                assert_eq!(told.get("prevResult"), previous, "{version}: {call}");
            }
        });
    }
}
