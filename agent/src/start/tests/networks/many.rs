//! Many tasks with a network each.

use super::*;

/// The lane `networks` wants more.
fn count() -> u32 {
    let wanted = std::env::var("LONGSHORE_BRIDGED").ok();
    wanted.map_or(6, |text| text.parse().unwrap())
}

/// Names of the links of this thread's network.
fn links() -> Vec<String> {
    let ip = std::process::Command::new("busybox")
        .args(["ip", "-o", "link"])
        .output()
        .unwrap();
    let text = String::from_utf8(ip.stdout).unwrap();
    let name = |line: &str| line.split(": ").nth(1).unwrap().to_owned();
    text.lines().map(name).collect()
}

/// A namespace ends, and its links with it, a moment after its last process.
fn only_the_bridge_is_left() -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if links() == ["lo", "longshore0"] {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn root_tasks_on_the_bridge_come_and_go_and_leave_nothing() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        let ids: Vec<_> = (0..count()).map(|at| format!("t{at}")).collect();
        for (at, id) in ids.iter().enumerate() {
            let task = bridged(id, at as u32, "exec sleep 100000");
            let policy = [("LONGSHORE_NETWORK_EGRESS", "10.0.0.0/8:443/tcp, dns")];
            let task = match at % 2 {
                0 => egress::labelled(task, &policy),
                _ => task,
            };
            link.say(run(task)).await;
            runs(&mut link).await;
        }
        assert_eq!(leases(&node).len(), ids.len());
        assert_eq!(links().len(), ids.len() + 2);
        for id in &ids {
            link.say(kill(id)).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskKilled, "{last:?}");
        }
        assert!(only_the_bridge_is_left(), "{:?}", links());
        // No lease, no element of a set, and no port of the bridge.
        let settings = Settings::try_from(&node.flags.network).unwrap();
        let directory = crate::paths::network(&node.flags.runtime_dir);
        let gone = |_: &str| network::audit::Presence::Gone;
        let differences = network::audit::audit(&settings, &directory, gone).unwrap();
        assert_eq!(differences, []);
        assert_eq!(leases(&node), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        handle.destroy().await;
    });
}
