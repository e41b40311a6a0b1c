//! What an earlier process has begun.

use super::*;
use crate::run::locked;

#[test]
fn root_a_plugin_that_an_earlier_process_has_started_is_waited_for() {
    apart(|stage, namespace| {
        stage.plugin("good", GOOD);
        stage.network("blue", &[json!({"type": "good"})]);
        let node = stage.node();
        node.attach("c1", namespace.as_fd(), vec![wish("blue", "eth0")])
            .unwrap();
        // As it is when the process dies whose plugin has not ended.
        let told = locked(&node.place("c1").join("told"), b"{}").unwrap();
        drop(node);
        let late = "until test -e $LOGS/go; do sleep 0.05; done; echo late >> $LOGS/calls";
        stage.plugin("late", late);
        let mut late = std::process::Command::new(stage.path("bin/late"))
            .stdin(told)
            .spawn()
            .unwrap();
        let node = stage.node();
        std::thread::scope(|scope| {
            let releasing = scope.spawn(|| node.release("c1"));
            std::thread::sleep(Duration::from_millis(200));
            fs::write(stage.path("logs/go"), "").unwrap();
            releasing.join().unwrap().unwrap();
        });
        late.wait().unwrap();
        assert_eq!(
            stage.calls(),
            ["ADD good c1 eth0", "late", "DEL good c1 eth0"]
        );
        assert!(!node.place("c1").exists());
    });
}
