//! A container that two are at work with.

use super::*;

#[test]
fn root_a_container_that_ends_while_it_is_looked_at_is_disconnected_when_that_is_over() {
    apart(|stage, namespace| {
        stage.plugin("slow", &waits_for("CHECK"));
        stage.plugin("other", GOOD);
        stage.network("blue", &[json!({"type": "slow"})]);
        stage.network("red", &[json!({"type": "other"})]);
        let node = stage.node();
        let wishes = vec![wish("blue", "eth0"), wish("red", "eth1")];
        node.attach("c1", namespace.as_fd(), wishes).unwrap();
        stage.calls();
        std::thread::scope(|scope| {
            let checking = scope.spawn(|| node.check("c1"));
            stage.is_left("begun");
            let releasing = scope.spawn(|| node.release("c1"));
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(stage.calls(), [] as [&str; 0]);
            fs::write(stage.path("logs/go"), "").unwrap();
            checking.join().unwrap().unwrap();
            releasing.join().unwrap().unwrap();
        });
        // Of the other network nobody asks any more.
        let calls = [
            "CHECK slow c1 eth0",
            "DEL other c1 eth1",
            "DEL slow c1 eth0",
        ];
        assert_eq!(stage.calls(), calls);
        assert_eq!(stage.told("DEL.slow")["name"], "blue");
        assert_eq!(stage.told("CHECK.slow")["name"], "blue");
        assert!(node.containers().is_empty());
    });
}

#[test]
fn root_a_container_that_somebody_is_at_work_with_is_not_looked_at() {
    apart(|stage, namespace| {
        stage.plugin("slow", &waits_for("DEL"));
        stage.network("blue", &[json!({"type": "slow"})]);
        let node = stage.node();
        let wishes = vec![wish("blue", "eth0")];
        node.attach("c1", namespace.as_fd(), wishes).unwrap();
        stage.calls();
        std::thread::scope(|scope| {
            let releasing = scope.spawn(|| node.release("c1"));
            stage.is_left("begun");
            node.check("c1").unwrap();
            assert!(matches!(node.release("c1"), Err(ReleaseError::Busy)));
            fs::write(stage.path("logs/go"), "").unwrap();
            releasing.join().unwrap().unwrap();
        });
        assert_eq!(stage.calls(), ["DEL slow c1 eth0"]);
    });
}
