//! Tasks that may not talk to everyone, and what they are told of who knows names.

use super::*;

pub fn labelled(mut task: v1::TaskInfo, labels: &[(&str, &str)]) -> v1::TaskInfo {
    let labels = labels.iter().map(|(key, value)| v1::Label {
        key: (*key).to_owned(),
        value: Some((*value).to_owned()),
    });
    task.labels = Some(v1::Labels {
        labels: labels.collect(),
    });
    task
}

/// Until it has written that.
async fn written(handle: &Handle, task: &str, wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = output(handle, task).await;
        if text.contains(wanted) {
            return text;
        }
        assert!(Instant::now() < deadline, "{wanted:?} is not in {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn root_a_task_with_a_policy_is_held_to_it_and_what_it_was_refused_is_told() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = serving(&mut node).await;
        let asks = "busybox wget -q -O - http://10.211.0.2/
                    busybox timeout 2 busybox wget -q -O - http://10.211.0.1:31000/ || echo refused
                    exec sleep 1000";
        let policy = [("LONGSHORE_NETWORK_EGRESS", "10.211.0.2:80/tcp")];
        link.say(run(labelled(bridged("bound", 1, asks), &policy)))
            .await;
        runs(&mut link).await;
        let text = written(&handle, "bound", "refused").await;
        assert_eq!(text, "web\nrefused\n");

        let denied = |containers: &Value, id: &str| {
            let all = containers.as_array().unwrap().iter();
            let mut own = all.filter(|it| it["executor_id"] == id);
            let statistics = &own.next().unwrap()["statistics"];
            let told = &statistics["net_traffic_control_statistics"][0];
            assert_eq!(told["id"], "denied", "{statistics}");
            told["drops"].as_u64().unwrap()
        };
        let containers = get(&handle, "/containers").await;
        assert_eq!(denied(&containers, "web"), 0);
        let of_bound = denied(&containers, "bound");
        assert!(of_bound > 0, "{containers}");
        // What has gone over a link of its own, the other's answer at least.
        for told in containers.as_array().unwrap() {
            for key in [
                "net_rx_bytes",
                "net_tx_bytes",
                "net_rx_packets",
                "net_tx_packets",
            ] {
                let count = told["statistics"][key].as_u64();
                assert!(count.is_some_and(|count| count > 0), "{key} of {told}");
            }
        }
        let metrics = get(&handle, "/metrics/snapshot").await;
        let told = metrics["containerizer/network/packets_denied"].as_f64();
        assert!(told.unwrap() >= of_bound as f64, "{metrics}");
        for id in ["web", "bound"] {
            link.say(kill(id)).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskKilled);
        }
        handle.destroy().await;
    });
}

#[test]
fn root_an_executor_with_a_policy_is_held_to_it_with_all_that_it_runs() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = serving(&mut node).await;
        let asks = "busybox wget -q -O - http://10.211.0.2/
                    busybox timeout 2 busybox wget -q -O - http://10.211.0.1:31000/ || echo refused
                    exec busybox httpd -f -p 80";
        let policy = [("LONGSHORE_NETWORK_EGRESS", "10.211.0.2:80/tcp")];
        let like = labelled(bridged("like", 1, ""), &policy);
        let mut hosted = executors::hosted("t1", asks);
        let executor = hosted.executor.as_mut().unwrap();
        executor.resources = Resources::parse("cpus:0.1;mem:64;ports:[31001-31001]", "*")
            .unwrap()
            .to_protos();
        executor.container = like.container;
        executor.labels = like.labels;
        link.say(run(hosted)).await;
        let place = "slaves/M-S0/frameworks/F/executors/E/runs/latest/stdout";
        let stdout = node.flags.work_dir.join(place);
        let said = || std::fs::read_to_string(&stdout).unwrap_or_default();
        while !said().ends_with("refused\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(said(), "web\nrefused\n");
        // It is there, though it knows no such page.
        let answer = || TcpStream::connect("127.0.0.1:31001");
        while answer().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        link.say(executors::shutdown()).await;
        executors::exited(&mut link).await;
        assert_eq!(leases(&node).len(), 1);
        link.say(kill("web")).await;
        handle.destroy().await;
    });
}

#[test]
fn root_a_label_that_cannot_be_kept_fails_its_task_and_leaves_nothing() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        let mut on_the_host = bridged("open", 0, "true");
        on_the_host.container = None;
        let table = [
            (
                labelled(
                    bridged("odd", 0, "true"),
                    &[("LONGSHORE_NETWORK_EGRESS", "example.com:443")],
                ),
                "\"example.com:443\" is nobody to talk to",
            ),
            (
                labelled(on_the_host, &[("LONGSHORE_NETWORK_EGRESS", "10.0.0.0/8")]),
                "which is done on network \"mesos-bridge\" alone",
            ),
            (
                labelled(
                    bridged("names", 0, "true"),
                    &[("LONGSHORE_DNS_SERVERS", "ns.example")],
                ),
                "\"ns.example\" is no name server: give its address",
            ),
        ];
        for (task, wanted) in table {
            link.say(run(task)).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
            assert!(last.message().contains(wanted), "{last:?}");
            assert_eq!(leases(&node), Vec::<String>::new());
        }
        node.end(handle).await;
    });
}

#[test]
fn root_a_task_is_told_who_knows_names_by_itself_or_by_its_agent() {
    apart(|| async {
        let mut node = node().await;
        let dns = r#"{"mesos": [{"network_mode": "CNI",
            "dns": {"nameservers": ["192.0.2.53"], "search": ["example.com"], "options": ["rotate"]}}]}"#;
        node.flags.network.default_container_dns = Some(dns.to_owned());
        let (handle, mut link) = node.start().await;
        let own = [
            ("LONGSHORE_DNS_SERVERS", "192.0.2.1 192.0.2.2"),
            ("LONGSHORE_DNS_OPTIONS", "ndots:2"),
        ];
        let shows = |id, at| bridged(id, at, "cat /etc/resolv.conf");
        for (task, wanted) in [
            (
                shows("plain", 0),
                "nameserver 192.0.2.53\nsearch example.com\noptions rotate\n",
            ),
            (
                labelled(shows("own", 1), &own),
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch example.com\noptions ndots:2\n",
            ),
        ] {
            let id = task.task_id.value.clone();
            link.say(run(task)).await;
            let last = story(&mut link).await.pop().unwrap();
            assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
            assert_eq!(output(&handle, &id).await, wanted);
        }
        node.end(handle).await;
    });
}
