//! Networks that cannot be: the task's status says why and what to do, nothing is left, and the agent lives.

use super::*;

fn ip(words: &[&str]) {
    let status = std::process::Command::new("busybox")
        .arg("ip")
        .args(words)
        .status();
    assert!(status.unwrap().success(), "{words:?}");
}

/// Another bridge than the agent's, with an address.
fn bridge(name: &str, address: &str) {
    ip(&["link", "add", "name", name, "type", "bridge"]);
    ip(&["addr", "add", address, "dev", name]);
    ip(&["link", "set", name, "up"]);
}

async fn fails(link: &mut FakeLink, task: v1::TaskInfo, wanted: &str) {
    link.say(run(task)).await;
    let last = story(link).await.pop().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    assert!(last.message().contains(wanted), "{last:?}");
}

#[test]
fn root_a_bridge_that_cannot_be_made_fails_tasks_with_what_to_do_until_it_can() {
    for (name, address, wanted) in [
        (
            "other",
            "10.211.5.1/24",
            "subnet 10.211.0.0/16 overlaps 10.211.5.0/24, which this host reaches by link other: give the agent \
             another --bridge_subnet",
        ),
        (
            "longshore0",
            "10.5.0.1/24",
            "bridge longshore0 has the address 10.5.0.1/24, and this agent's would have 10.211.0.1/16: delete it",
        ),
    ] {
        apart(|| async {
            bridge(name, address);
            let mut node = node().await;
            let (handle, mut link) = node.start().await;
            // With a port, and with none.
            fails(&mut link, bridged("web", 0, &server("web")), wanted).await;
            let mut plain = bridged("plain", 1, "true");
            let container = plain.container.as_mut().unwrap();
            container.network_infos[0].port_mappings.clear();
            fails(&mut link, plain, wanted).await;
            assert_eq!(leases(&node), Vec::<String>::new());
            // Tasks that want no such network are none the worse.
            link.say(run(task("hosts", "true"))).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
            ip(&["link", "delete", name]);
            link.say(run(bridged("next", 0, "true"))).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
            node.end(handle).await;
        });
    }
}

#[test]
fn root_a_task_for_which_no_address_is_left_is_told_so_and_the_next_one_gets_it() {
    apart(|| async {
        let mut node = node().await;
        node.flags.network.bridge_subnet = "10.211.0.0/30".parse().unwrap();
        let (handle, mut link) = node.start().await;
        link.say(run(bridged("only", 0, "exec sleep 100000"))).await;
        assert_eq!(addresses(&runs(&mut link).await), ["10.211.0.2"]);
        let wanted =
            "all 1 addresses of 10.211.0.0/30 are taken: give the agent a larger --bridge_subnet";
        fails(&mut link, bridged("late", 1, "true"), wanted).await;
        assert_eq!(leases(&node).len(), 1);
        link.say(kill("only")).await;
        story(&mut link).await;
        link.say(run(bridged("next", 1, "true"))).await;
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        assert_eq!(leases(&node), Vec::<String>::new());
        node.end(handle).await;
    });
}
