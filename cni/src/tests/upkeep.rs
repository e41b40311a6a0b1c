//! What is asked of plugins that is about no container.

use super::*;

impl Stage {
    fn described(&self, name: &str, plugin: &str, more: &str) {
        let text =
            format!(r#"{{"cniVersion": "1.1.0", "name": "{name}", "type": "{plugin}"{more}}}"#);
        fs::write(self.path("conf").join(format!("{name}.conf")), text).unwrap();
    }
}

#[test]
fn root_plugins_are_told_what_their_networks_have_and_take_the_rest_away() {
    apart(|stage, namespace| {
        stage.plugin("first", GOOD);
        stage.plugin("other", GOOD);
        stage.described("blue", "first", "");
        stage.described("shared", "other", r#", "disableGC": true"#);
        stage.network("old", &[json!({"type": "other"})]);
        let node = stage.node();
        let attach = |container: &str, wishes| node.attach(container, namespace.as_fd(), wishes);
        attach("c1", vec![wish("blue", "eth0"), wish("old", "eth1")]).unwrap();
        attach("c2", vec![wish("blue", "eth0")]).unwrap();
        node.release("c2").unwrap();
        stage.calls();
        assert!(node.collect(|| false).unwrap());
        // Of no container.
        assert_eq!(stage.calls(), ["GC first  "]);
        let told = stage.told("GC.first");
        let valid = json!([{"containerID": "c1", "ifname": "eth0"}]);
        assert_eq!(told["cni.dev/valid-attachments"], valid);
        assert_eq!(
            (&told["name"], &told["cniVersion"]),
            (&json!("blue"), &json!("1.1.0"))
        );
        assert!(!node.collect(|| true).unwrap());
        assert_eq!(stage.calls(), [] as [&str; 0]);
        node.release("c1").unwrap();
    });
}

#[test]
fn root_a_network_that_is_not_ready_says_why() {
    apart(|stage, _| {
        stage.plugin("good", GOOD);
        stage.plugin(
            "bad",
            r#"echo '{"code": 50, "msg": "no room for anybody"}'; exit 1"#,
        );
        stage.described("blue", "good", "");
        stage.described("red", "bad", "");
        // It does not know the question.
        stage.network("old", &[json!({"type": "bad"})]);
        let unready = stage.node().unready().unwrap();
        let told: Vec<_> = unready.iter().map(|it| told(it)).collect();
        assert_eq!(
            told,
            [
                "network \"red\": plugin \"bad\" has failed to STATUS: it says: no room for anybody (code 50)"
            ]
        );
        assert_eq!(stage.calls(), ["STATUS good  "]);
    });
}

#[test]
fn root_who_is_to_be_connected_waits_while_plugins_are_asked_what_they_remember() {
    apart(|stage, namespace| {
        stage.plugin(
            "slow",
            &(waits_for("GC") + "\necho \"end $CNI_COMMAND\" >> $LOGS/calls"),
        );
        stage.described("blue", "slow", "");
        let node = stage.node();
        let attach = || node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")]);
        std::thread::scope(|scope| {
            let collecting = scope.spawn(|| node.collect(|| false));
            stage.is_left("begun");
            let attaching = scope.spawn(attach);
            std::thread::sleep(Duration::from_millis(200));
            fs::write(stage.path("logs/go"), "").unwrap();
            assert!(collecting.join().unwrap().unwrap());
            attaching.join().unwrap().unwrap();
        });
        // A plugin that connects says so when it has read what it is told, and one that collects before its end.
        assert_eq!(stage.calls()[..2], ["GC slow  ", "ADD slow c1 eth0"]);
        assert_eq!(
            stage.told("GC.slow")["cni.dev/valid-attachments"],
            json!([])
        );
        node.release("c1").unwrap();
    });
}

#[test]
fn root_a_network_at_which_somebody_is_at_work_is_not_collected() {
    apart(|stage, namespace| {
        stage.plugin("slow", &waits_for("ADD"));
        stage.described("blue", "slow", "");
        let node = stage.node();
        std::thread::scope(|scope| {
            let attaching =
                scope.spawn(|| node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")]));
            stage.is_left("begun");
            assert!(!node.collect(|| false).unwrap());
            fs::write(stage.path("logs/go"), "").unwrap();
            attaching.join().unwrap().unwrap();
        });
        assert_eq!(stage.calls(), ["ADD slow c1 eth0"]);
        assert!(node.collect(|| false).unwrap());
        assert_eq!(stage.calls(), ["GC slow  "]);
        node.release("c1").unwrap();
    });
}
