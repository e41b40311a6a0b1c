//! Tasks from their launch to their end.

use proto::link::{Reconcile, ShutdownExecutor, reconcile};
use proto::v1::TaskState;
use proto::v1::task_status::{Reason, Source};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_runs_and_its_output_is_read_over_http() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "echo hello {1..3}; pwd; id -u; exit 7")))
        .await;
    let updates = story(&mut link).await;
    let wanted = [
        TaskState::TaskStarting,
        TaskState::TaskRunning,
        TaskState::TaskFailed,
    ];
    assert_eq!(states(&updates), wanted, "{updates:?}");
    assert_eq!(updates[2].message(), "Command exited with status 7");
    assert_eq!(updates[2].source(), Source::Executor);
    let ip = &updates[1].container_status.as_ref().unwrap().network_infos[0].ip_addresses[0];
    assert_eq!(ip.ip_address(), "127.0.0.1");

    let text = output(&handle, "t1").await;
    assert!(
        text.starts_with("hello 1 2 3\n") && text.ends_with("\n0\n"),
        "{text}"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_a_running_task_uses_is_told_under_the_names_that_clients_read() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000 & sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);

    let monitored = get(&handle, "/monitor/statistics").await;
    let contained = get(&handle, "/containers").await;
    let (monitored, contained) = (&monitored[0], &contained[0]);
    for one in [monitored, contained] {
        assert_eq!(one["framework_id"], "F", "{one}");
        assert_eq!(one["executor_id"], "t1", "{one}");
        assert_eq!(one["source"], "t1", "{one}");
        let statistics = &one["statistics"];
        // The executor that its framework believes in has 0.1 cpus and 32 MB of its own.
        assert_eq!(statistics["cpus_limit"], 0.2, "{one}");
        assert_eq!(statistics["mem_limit_bytes"], 64 << 20, "{one}");
        for counted in ["processes", "threads"] {
            // A shell, one or two sleeps by now, and the container's first process.
            let count = statistics[counted].as_u64().unwrap();
            assert!((2..=4).contains(&count), "{counted}: {one}");
        }
        for measured in [
            "timestamp",
            "cpus_user_time_secs",
            "cpus_system_time_secs",
            "mem_total_bytes",
            "mem_rss_bytes",
            "mem_anon_bytes",
            "mem_cache_bytes",
            "mem_file_bytes",
        ] {
            assert!(statistics[measured].is_number(), "{measured}: {one}");
        }
    }
    assert_eq!(
        contained["status"]["container_id"]["value"],
        contained["container_id"]
    );
    assert!(contained["status"]["executor_pid"].as_u64().unwrap() > 1);

    link.say(kill("t1")).await;
    assert_eq!(link.update().await.state(), TaskState::TaskKilled);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_has_the_resource_limits_that_it_asks_for() {
    use v1::r_limit_info::{RLimit, r_limit::Type};
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut limited = task("t1", "ulimit -S -n; ulimit -H -n; ulimit -c");
    let limit = |kind: Type, soft, hard| RLimit {
        r#type: Some(kind as i32),
        soft: Some(soft),
        hard: Some(hard),
    };
    limited.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        rlimit_info: Some(v1::RLimitInfo {
            rlimits: vec![limit(Type::RlmtNofile, 77, 88), limit(Type::RlmtCore, 0, 0)],
        }),
        ..Default::default()
    });
    link.say(run(limited)).await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
    assert_eq!(output(&handle, "t1").await, "77\n88\n0\n");
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_has_the_capabilities_that_it_asks_for_whoever_runs_it() {
    use v1::capability_info::Capability;
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    for (id, user) in [("t1", "root"), ("t2", "nobody")] {
        let mut capable = task(
            id,
            "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f 2",
        );
        capable.command.as_mut().unwrap().user = Some(user.into());
        let set = v1::CapabilityInfo {
            capabilities: vec![Capability::Chown as i32, Capability::NetBindService as i32],
        };
        capable.container = Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Mesos as i32,
            linux_info: Some(v1::LinuxInfo {
                effective_capabilities: Some(set),
                ..Default::default()
            }),
            ..Default::default()
        });
        link.say(run(capable)).await;
        let updates = story(&mut link).await;
        let last = updates.last().unwrap();
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        // Bit 0 and bit 10.
        let set = "0000000000000401\n";
        assert_eq!(output(&handle, id).await, set.repeat(3), "{user}");
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_label_gives_a_task_a_user_namespace_in_which_its_sandbox_is_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let mut node = node().await;
    let open = PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(node.dir.path(), open).unwrap();
    let (handle, mut link) = node.start().await;
    let look = "tr -s ' ' </proc/self/uid_map; echo x >made && stat -c %u:%g made";
    let mut namespaced = task("t1", look);
    namespaced.labels = Some(v1::Labels {
        labels: vec![v1::Label {
            key: "LONGSHORE_USER_NAMESPACE".into(),
            value: Some("true".into()),
        }],
    });
    link.say(run(namespaced.clone())).await;
    let last = story(&mut link).await.pop().unwrap();
    if can_idmap(&node) {
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        let text = output(&handle, "t1").await;
        assert_eq!(text, " 0 1879048192 65536\n0:0\n");
    } else {
        assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
        let why = "map the owners of its files";
        assert!(last.message().contains(why), "{last:?}");
    }
    namespaced.task_id.value = "t2".into();
    namespaced.labels.as_mut().unwrap().labels[0].value = Some("yes".into());
    link.say(run(namespaced)).await;
    let last = story(&mut link).await.pop().unwrap();
    assert!(
        last.message()
            .contains("label LONGSHORE_USER_NAMESPACE is \"yes\""),
        "{last:?}"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_kill_ends_the_task_and_all_its_children() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut stubborn = task("t1", "trap '' TERM; sleep 1000 & sleep 1000; wait");
    stubborn.kill_policy = Some(v1::KillPolicy {
        grace_period: Some(v1::DurationInfo {
            nanoseconds: 200_000_000,
        }),
    });
    link.say(run(stubborn)).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    link.say(kill("t1")).await;
    assert_eq!(link.update().await.state(), TaskState::TaskKilled);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_launch_that_fails_says_why_in_status_and_stderr() {
    // What can be told before anything is fetched, and what only the start itself finds.
    const UNSTARTED: &[TaskState] = &[TaskState::TaskFailed];
    const STARTED: &[TaskState] = &[TaskState::TaskStarting, TaskState::TaskFailed];
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut user = task("user", "true");
    user.command.as_mut().unwrap().user = Some("no-such-user-here".into());
    let mut volume = task("volume", "true");
    volume.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        volumes: vec![v1::Volume {
            container_path: "/mnt".into(),
            host_path: Some("/no/such/volume".into()),
            mode: v1::volume::Mode::Ro as i32,
            ..Default::default()
        }],
        ..Default::default()
    });
    let mut image = task("image", "true");
    image.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Docker as i32,
        docker: Some(v1::container_info::DockerInfo {
            // Nobody listens there.
            image: "127.0.0.1:1/busybox".into(),
            ..Default::default()
        }),
        ..Default::default()
    });
    let mut own_command = image.clone();
    own_command.name = "own-command".into();
    own_command.task_id.value = "own-command".into();
    own_command
        .container
        .as_mut()
        .unwrap()
        .docker
        .as_mut()
        .unwrap()
        .image = "a//b".into();
    own_command.command = Some(v1::CommandInfo {
        shell: Some(false),
        ..Default::default()
    });
    let table = [
        (user, "no-such-user-here", UNSTARTED),
        (volume, "/no/such/volume", STARTED),
        (image, "cannot connect to registry 127.0.0.1:1", UNSTARTED),
        (own_command, "is no repository", UNSTARTED),
    ];
    for (task, why, story_of_it) in table {
        let id = task.name.clone();
        link.say(run(task)).await;
        let updates = story(&mut link).await;
        assert_eq!(states(&updates), story_of_it);
        let last = updates.last().unwrap();
        assert_eq!(last.reason(), Reason::ContainerLaunchFailed);
        let message = last.message();
        assert!(
            message.starts_with("Failed to launch container: "),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
        let path = format!("/frameworks/F/executors/{id}/runs/latest/stderr");
        let read = get(&handle, &format!("/files/read?path={path}&offset=0")).await;
        assert!(
            read["data"].as_str().unwrap().contains(message),
            "{read}: {message}"
        );
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_is_filtered_as_it_asks() {
    let mut node = node().await;
    let profiles = node.dir.path().join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    let deadly = r#"{"defaultAction": "SCMP_ACT_ALLOW",
                     "syscalls": [{"names": ["chdir"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
    std::fs::write(profiles.join("deadly.json"), deadly).unwrap();
    node.flags.seccomp_config_dir = Some(profiles);
    let (handle, mut link) = node.start().await;
    let asking = |id: &str, command: &str, profile_name: Option<&str>, unconfined| {
        let seccomp = v1::SeccompInfo {
            profile_name: profile_name.map(str::to_owned),
            unconfined,
        };
        let linux = v1::LinuxInfo {
            seccomp: Some(seccomp),
            ..Default::default()
        };
        let container = v1::ContainerInfo {
            linux_info: Some(linux),
            ..Default::default()
        };
        v1::TaskInfo {
            container: Some(container),
            ..task(id, command)
        }
    };
    let look = "grep ^Seccomp: /proc/self/status";
    for (id, unconfined, wanted) in [
        ("default", None, "Seccomp:\t2\n"),
        ("unconfined", Some(true), "Seccomp:\t0\n"),
    ] {
        link.say(run(asking(id, look, None, unconfined))).await;
        story(&mut link).await;
        let text = output(&handle, id).await;
        assert!(text.ends_with(wanted), "{text}");
    }
    link.say(run(asking("killed", "cd /", Some("deadly.json"), None)))
        .await;
    let last = story(&mut link).await.pop().unwrap();
    assert_eq!(
        last.message(),
        "Command terminated with signal Bad system call; its seccomp profile kills for the system \
         call that it made: chdir"
    );
    link.say(run(asking("nameless", "true", Some("no.json"), None)))
        .await;
    let last = story(&mut link).await.pop().unwrap();
    assert!(
        last.message().contains("cannot read seccomp profile"),
        "{last:?}"
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_without_memory_says_so() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "head -c 100m /dev/zero | tail")))
        .await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    assert_eq!(last.reason(), Reason::ContainerLimitationMemory, "{last:?}");
    assert!(
        last.message()
            .starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: "),
        "{}",
        last.message()
    );
    // "tail" keeps what it may have to print, and is what grows.
    for words in [
        " (tail); ",
        "its largest processes then: tail (",
        "longshore-init (",
    ] {
        assert!(last.message().contains(words), "{}", last.message());
    }
    assert_eq!(last.limitation.as_ref().unwrap().resources[0].name, "mem");
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_runs_as_the_user_it_names_in_a_sandbox_of_its_own() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut task = task(
        "t1",
        "id -un; id -G; touch mine && stat -c %U . mine stdout",
    );
    task.command.as_mut().unwrap().user = Some("nobody".into());
    link.say(run(task)).await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
    let groups = nix::unistd::User::from_name("nobody").unwrap().unwrap().gid;
    assert_eq!(
        output(&handle, "t1").await,
        format!("nobody\n{groups}\nnobody\nnobody\nnobody\n")
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_that_runs_too_long_is_killed_and_says_so() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut task = task("t1", "trap '' TERM; sleep 1000");
    task.max_completion_time = Some(v1::DurationInfo {
        nanoseconds: 200_000_000,
    });
    link.say(run(task)).await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    assert_eq!(last.reason(), Reason::MaxCompletionTimeReached);
    assert!(last.message().contains("200ms"), "{}", last.message());
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_running_agent_collects_the_sandboxes_of_ended_tasks_only() {
    let mut node = node().await;
    node.flags.gc_delay = Duration::ZERO;
    node.flags.disk_watch_interval = Duration::from_secs(1);
    let (handle, mut link) = node.start().await;
    link.say(run(task("stays", "sleep 1000"))).await;
    while link.update().await.state() != TaskState::TaskRunning {}
    link.say(run(task("ended", "true"))).await;
    let updates = story(&mut link).await;
    assert_eq!(updates.last().unwrap().state(), TaskState::TaskFinished);

    let removals = async {
        loop {
            let metrics = get(&handle, "/metrics/snapshot").await;
            if metrics["gc/path_removals_succeeded"] == 1.0 {
                return metrics["gc/path_removals_failed"].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let failed = tokio::time::timeout(Duration::from_secs(20), removals);
    assert_eq!(failed.await.unwrap(), 0.0);
    let executors = node
        .flags
        .work_dir
        .join("slaves/M-S0/frameworks/F/executors");
    assert!(!executors.join("ended").exists());
    assert!(executors.join("stays/runs/latest/stdout").exists());
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_unknown_and_impossible_tasks_get_an_answer() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let reconcile = Reconcile {
        tasks: vec![reconcile::Task {
            framework: framework(),
            task_id: v1::TaskId {
                value: "ghost".into(),
            },
        }],
    };
    link.say(to_agent::Message::Reconcile(reconcile)).await;
    let lost = link.update().await;
    assert_eq!(
        (lost.state(), lost.reason()),
        (TaskState::TaskLost, Reason::Reconciliation)
    );
    let mut custom = task("custom", "true");
    custom.executor = Some(v1::ExecutorInfo::default());
    link.say(run(custom)).await;
    let refused = link.update().await;
    assert_eq!(
        (refused.state(), refused.reason()),
        (TaskState::TaskError, Reason::TaskInvalid)
    );
    assert!(
        refused.message().contains("bad executor id"),
        "{}",
        refused.message()
    );
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_hundred_tasks_run_at_once() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    for n in 0..100 {
        link.say(run(task(&format!("t{n}"), "sleep 1000"))).await;
    }
    let mut running = 0;
    while running < 100 {
        let update = link.update().await;
        assert!(!proto::task::is_terminal(update.state()), "{update:?}");
        running += u32::from(update.state() == TaskState::TaskRunning);
    }
    // Nobody reads the hundred ends.
    drop(link);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_shutdown_of_an_executor_that_never_was_is_ignored() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "true"))).await;
    story(&mut link).await;
    link.say(to_agent::Message::ShutdownExecutor(ShutdownExecutor {
        framework_id: v1::FrameworkId { value: "F".into() },
        executor_id: v1::ExecutorId {
            value: "invented".into(),
        },
    }))
    .await;
    link.say(run(task("t2", "true"))).await;
    let updates = story(&mut link).await;
    assert!(
        updates.iter().all(|u| u.task_id.value == "t2"),
        "{updates:?}"
    );
    node.end(handle).await;
}
