//! Launching for real: needs root, and cgroups of either version.

mod audit;
mod cgroups;
mod death;
mod exec;
mod namespaces;
mod nested;
mod pids;
mod records;
mod support;
mod terminal;
mod volumes;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::time::Duration;

use containerizer::{Container, Containerizer, ExitStatus};
use isolators::{Access, Command, ContainerId, PidNamespace, Request, User, Volume};
use support::{Host, cgroups, exited, until_output};

#[tokio::test]
async fn root_one_that_has_ended_is_resized_to_nothing() {
    let host = Host::new("resized");
    let mut request = host.request("true");
    let container = host.launch(&request).await.expect("launches");
    container.wait().await;
    request.memory.request *= 2;
    let resized = host.containerizer.resize(&container, &request);
    resized.expect("nobody needs it any more");
    container.forget();
    host.finish();
}

#[tokio::test]
async fn root_output_and_exit_status_come_back() {
    let host = Host::new("status");
    assert_eq!(
        host.output(&host.request("for i in {1..3}; do echo $i; done"))
            .await,
        "1\n2\n3"
    );
    assert_eq!(host.run(&host.request("exit 7")).await.status, exited(7));
    let killed = host.run(&host.request("kill -9 $$")).await.status;
    assert_eq!(killed, Some(ExitStatus::Signaled(9)));
    host.finish();
}

#[tokio::test]
async fn root_a_command_without_a_shell_gets_its_arguments_untouched() {
    let host = Host::new("exec");
    let argv = ["printf", "%s|", "a b", "$HOME", "{1..2}"]
        .map(str::to_owned)
        .to_vec();
    let command = Command::Exec {
        path: "printf".into(),
        argv,
    };
    let request = Request {
        command,
        ..host.request("")
    };
    assert_eq!(host.output(&request).await, "a b|$HOME|{1..2}|");
    host.finish();
}

#[tokio::test]
async fn root_the_container_sees_only_its_own_processes_and_names() {
    let host = Host::new("namespaces");
    let script = "ls /proc | grep -c '^[0-9]'; cat /proc/1/comm; readlink /proc/self/ns/net; \
                  cat /proc/self/cgroup | grep -v ':/$'; hostname";
    let request = Request {
        hostname: Some("inside".into()),
        ..host.request(script)
    };
    let output = host.output(&request).await;
    let lines: Vec<_> = output.lines().collect();
    let processes: u32 = lines[0].parse().expect("a number");
    assert!(processes <= 5, "{output}");
    assert!(
        lines[1].starts_with("longshore-init") || lines[1].starts_with("init"),
        "{output}"
    );
    let network = fs::read_link("/proc/self/ns/net").expect("reads");
    assert_eq!(lines[2], network.to_str().expect("utf-8"));
    // Every cgroup of the container looks like the root; other hierarchies are the host's business.
    let ours = |line: &&&str| line.contains("longshore-test");
    assert_eq!(
        lines[3..lines.len() - 1].iter().filter(ours).count(),
        0,
        "{output}"
    );
    assert_eq!(lines.last(), Some(&"inside"));
    assert_ne!(nix::unistd::gethostname().expect("a name"), "inside");
    host.finish();
}

#[tokio::test]
async fn root_privileges_are_reduced_and_descriptors_closed() {
    let host = Host::new("privileges");
    let script = "grep -E '^(CapBnd|CapInh|NoNewPrivs|SigBlk|SigIgn):' /proc/self/status; \
                  ls /proc/self/fd | wc -l";
    let output = host.output(&host.request(script)).await;
    let expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n\
                    CapInh:\t0000000000000000\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\n";
    // ls itself has the directory open besides 0, 1 and 2.
    assert_eq!(output, format!("{expected}4"));
    host.finish();
}

#[tokio::test]
async fn root_the_command_runs_as_its_user_in_its_sandbox() {
    let host = Host::new("user");
    let user = User::resolve("nobody").expect("nobody exists");
    std::os::unix::fs::chown(host.sandbox(), Some(user.uid), Some(user.gid)).expect("chowns");
    let request = Request {
        user: user.clone(),
        ..host.request("id -u; id -g; pwd; echo x > f")
    };
    let expected = format!("{}\n{}\n{}", user.uid, user.gid, host.sandbox().display());
    assert_eq!(host.output(&request).await, expected);
    assert_eq!(
        fs::metadata(host.sandbox().join("f"))
            .expect("exists")
            .uid(),
        user.uid
    );
    host.finish();
}

#[tokio::test]
async fn root_a_script_whose_interpreter_is_missing_says_which() {
    let host = Host::new("interpreter");
    let script = host.sandbox().join("a-script");
    fs::write(&script, "#!/opt/no-such-python -u\n").expect("writes");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("opens up");
    for path in ["./a-script".to_owned(), "a-script".to_owned()] {
        let mut request = host.request("");
        let place = host.sandbox().display().to_string();
        request.env = vec![("PATH".into(), format!("/bin:{place}"))];
        request.command = Command::Exec {
            path: path.clone(),
            argv: vec![path],
        };
        let refusal = host.refusal(&request).await;
        assert!(
            refusal.contains("with /opt/no-such-python: the program is there"),
            "{refusal}"
        );
    }
    host.finish();
}

#[tokio::test]
async fn root_a_missing_command_says_so_and_leaves_nothing() {
    let host = Host::new("missing");
    let command = Command::Exec {
        path: "no-such-program".into(),
        argv: vec!["x".into()],
    };
    let refusal = host
        .refusal(&Request {
            command,
            ..host.request("")
        })
        .await;
    assert!(
        refusal.starts_with("cannot run \"no-such-program\" in /"),
        "{refusal}"
    );
    assert!(refusal.contains("command not found"), "{refusal}");
    let directory = Command::Exec {
        path: "/etc".into(),
        argv: vec!["/etc".into()],
    };
    let refusal = host
        .refusal(&Request {
            command: directory,
            ..host.request("")
        })
        .await;
    assert!(
        refusal.contains("it is not executable for this user"),
        "{refusal}"
    );
    host.finish();
}

#[tokio::test]
async fn root_terminate_reaches_every_process_and_kill_ends_them() {
    let host = Host::new("kill");
    let polite =
        host.request("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done");
    let container = host.launch(&polite).await.expect("launches");
    until_output(&host, "up").await;
    container.terminate();
    assert_eq!(container.wait().await.status, exited(3));
    container.forget();
    let stubborn = host.request("trap '' TERM; echo deaf; sleep 1000 & wait");
    let container = host.launch(&stubborn).await.expect("launches");
    until_output(&host, "deaf").await;
    container.terminate();
    assert!(
        tokio::time::timeout(Duration::from_millis(100), container.wait())
            .await
            .is_err()
    );
    container.kill();
    let status = container.wait().await.status;
    assert_eq!(status, Some(ExitStatus::Signaled(9)));
    container.forget();
    host.finish();
}

#[tokio::test]
async fn root_statistics_come_from_the_containers_cgroup() {
    let host = Host::new("statistics");
    let container = host
        .launch(&host.request("for i in {1..30000}; do :; done; echo up; sleep 1000"))
        .await
        .expect("launches");
    until_output(&host, "up").await;
    let statistics = container.snapshot().expect("statistics").cgroup;
    assert_eq!(statistics.mem_limit, Some(32 << 20));
    assert!(
        statistics.mem_total > 0 && statistics.mem_total < 32 << 20,
        "{statistics:?}"
    );
    assert!(statistics.cpus_user + statistics.cpus_system > Duration::ZERO);
    container.kill();
    container.wait().await;
    container.forget();
    host.finish();
}

#[tokio::test]
async fn root_a_later_containerizer_finds_the_living_and_the_dead() {
    let host = Host::new("recover");
    let container = host
        .launch(&host.request("echo up; sleep 1000"))
        .await
        .expect("launches");
    until_output(&host, "up").await;
    let other = Containerizer::open(host.config.clone()).expect("opens");
    let found = other.recover().await.expect("recovers").containers;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id(), found[0].pid()),
        (container.id(), container.pid())
    );
    let spec = |container: &Container| container.spec().expect("it is in the record");
    assert_eq!(spec(&found[0]), spec(&container));
    found[0].kill();
    found[0].wait().await;
    container.wait().await;
    // Not forgotten: a third one still learns that it has ended.
    let dead = other.recover().await.expect("recovers").containers;
    assert_eq!(dead.len(), 1);
    dead[0].wait().await;
    dead[0].forget();
    assert_eq!(other.recover().await.expect("recovers").containers.len(), 0);

    let ended = host
        .launch(&host.request("exit 5"))
        .await
        .expect("launches");
    ended.wait().await;
    let dead = other.recover().await.expect("recovers").containers;
    assert_eq!(dead[0].wait().await.status, exited(5));
    dead[0].forget();
    host.finish();
}

#[tokio::test]
async fn root_a_launch_that_is_given_up_leaves_nothing_whenever_that_is() {
    let host = Host::new("giveup");
    let (mut given_up, mut too_late) = (0, 0);
    // Ever later, until the launch wins: every moment of it was then cut short once.
    for step in 0..10_000 {
        let patience = Duration::from_micros(100 * step);
        let id = ContainerId::try_from(format!("c{step}")).expect("a good id");
        let request = Request {
            id,
            ..host.request("sleep 1000")
        };
        match tokio::time::timeout(patience, host.launch(&request)).await {
            Err(_elapsed) => given_up += 1,
            Ok(launched) => {
                let container = launched.expect("launches");
                container.kill();
                container.wait().await;
                container.forget();
                too_late += 1;
            }
        }
        if too_late == 3 {
            break;
        }
    }
    until_no_records(&host).await;
    assert!(
        given_up > 0 && too_late == 3,
        "{given_up} given up, {too_late} too late"
    );
    host.finish();
}

/// Given-up containers are put away by tasks of their own.
async fn until_no_records(host: &Host) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let containers = host.config.runtime_dir.join("containers");
    while fs::read_dir(&containers).expect("lists").count() > 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the container is still there"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn root_a_task_cannot_change_its_cgroups_or_see_the_agents_records() {
    let mut host = Host::new("confined");
    let meta = host.directory.path().join("meta");
    fs::create_dir(&meta).expect("creates");
    fs::write(meta.join("secret"), "x").expect("writes");
    host.config.hidden = vec![meta.clone()];
    host.containerizer = Containerizer::open(host.config.clone()).expect("opens");
    let script = format!(
        "for f in /sys/fs/cgroup/memory/tasks /sys/fs/cgroup/cgroup.procs; do \
         [ -e $f ] && (echo $$ > $f) 2>&1 | grep -o 'Read-only'; done; \
         ls {run} {meta} /mnt/meta | grep -E 'secret|containers'; \
         for d in {meta} /mnt/meta; do (echo > $d/x) 2>/dev/null && echo written; done; true",
        run = host.config.runtime_dir.display(),
        meta = meta.display(),
    );
    let around = Volume {
        source: host.directory.path().to_owned(),
        target: "/mnt".into(),
        access: Access::ReadWrite,
    };
    let request = Request {
        volumes: vec![around],
        ..host.request(&script)
    };
    assert_eq!(host.output(&request).await, "Read-only");
    host.finish();
}

#[tokio::test]
async fn root_another_user_cannot_run_what_is_closed_to_it() {
    let host = Host::new("closed");
    let closed = host.directory.path().join("closed");
    fs::create_dir(&closed).expect("creates");
    fs::copy("/bin/true", closed.join("true")).expect("copies");
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).expect("closes");
    let path = closed.join("true").display().to_string();
    let command = Command::Exec {
        path: path.clone(),
        argv: vec![path],
    };
    let user = User::resolve("nobody").expect("nobody exists");
    let refusal = host
        .refusal(&Request {
            command,
            user,
            ..host.request("")
        })
        .await;
    assert!(
        refusal.contains("it is not executable for this user"),
        "{refusal}"
    );
    host.finish();
}

#[tokio::test]
async fn root_cgroups_made_inside_do_not_outlive_the_container() {
    let host = Host::new("nested");
    let container = host
        .launch(&host.request("echo up; sleep 1000"))
        .await
        .expect("launches");
    until_output(&host, "up").await;
    for root in cgroups(&host.config.cgroups_root) {
        fs::create_dir_all(root.join("c1/made/deeper")).expect("creates");
    }
    container.kill();
    assert_eq!(container.wait().await.leftovers, [""; 0]);
    container.forget();
    host.finish();
}

#[tokio::test]
async fn root_the_phases_of_a_launch_are_measured_and_outlive_the_agent() {
    let host = Host::new("timings");
    let started = std::time::Instant::now();
    let container = host
        .launch(&host.request("sleep 1000"))
        .await
        .expect("launches");
    let took = started.elapsed();
    let timings = container.timings().expect("it was launched");
    let names: Vec<_> = timings.phases().map(|(phase, _)| phase).collect();
    assert_eq!(
        names,
        [
            "plan", "queue", "compile", "record", "cgroup", "spawn", "setup", "exec"
        ]
    );
    assert!(timings.total() <= took, "{timings:?} of {took:?}");
    let setup = timings.phases().find(|(phase, _)| *phase == "setup");
    assert!(setup.is_some_and(|(_, taken)| taken > Duration::ZERO));

    // They are written when there is time for that.
    let next = Containerizer::open(host.config.clone()).expect("opens");
    let mut known = None;
    for _ in 0..1000 {
        let found = next.recover().await.expect("recovers").containers;
        known = found[0].timings().cloned();
        if known.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(known.as_ref(), Some(timings));
    container.kill();
    container.wait().await;
    container.forget();
    host.finish();
}

#[tokio::test]
async fn root_a_command_is_told_of_every_signal_the_first_that_is_free_included() {
    for pid_namespace in [PidNamespace::Own, PidNamespace::Hosts] {
        let host = Host::new("rtmin");
        let script = "trap 'exit 7' RTMIN; echo up; while :; do sleep 0.01; done";
        let request = Request {
            pid_namespace,
            ..host.request(script)
        };
        let container = host.launch(&request).await.expect("launches");
        until_output(&host, "up").await;
        // SIGRTMIN of glibc; to musl it is one of its own.
        let pid = container.pid().to_string();
        let told = std::process::Command::new("kill")
            .args(["-34", &pid])
            .status();
        assert!(told.expect("kill").success());
        let ended = tokio::time::timeout(Duration::from_secs(60), container.wait()).await;
        container.kill();
        container.wait().await;
        container.forget();
        assert_eq!(ended.expect("ends").status, exited(7), "{pid_namespace:?}");
        host.finish();
    }
}
