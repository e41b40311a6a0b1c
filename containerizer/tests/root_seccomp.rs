//! Seccomp for real: needs root, cgroups of either version, and perl, which can make any system call.
#![cfg(target_arch = "x86_64")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use containerizer::{
    Config, Container, Containerizer, ExitStatus, KernelWord, LaunchError, Stdio, Stopwatch,
    Termination, Then,
};
use isolators::seccomp::{Answer, Arg, Condition, Machines, Profile, Rule};
use isolators::{
    CapabilitySets, Command, ContainerId, Ipc, Limit, PidNamespace, Request, Seccomp, Share, Swap,
    User,
};
use oci_spec::runtime::{LinuxSeccompAction as Action, LinuxSeccompOperator as Op, Spec};
use tempfile::TempDir;

/// A containerizer of its own, which leaves no cgroups.
struct Host {
    containerizer: Containerizer,
    directory: TempDir,
}

impl Host {
    fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("longshore-")
            .tempdir_in("/var/tmp")
            .expect("a directory");
        let containerizer = Containerizer::open(Config {
            runtime_dir: directory.path().join("run"),
            cgroups_hierarchy: "/sys/fs/cgroup".into(),
            cgroups_root: format!("longshore-test-{}-seccomp-{name}", std::process::id()),
            cgroups_enable_cfs: false,
            cgroups_destroy_timeout: Duration::from_secs(10),
            hidden: vec![],
            seccomp: Profile::builtin(),
        });
        fs::create_dir(directory.path().join("sandbox")).expect("creates");
        Self {
            containerizer: containerizer.expect("opens"),
            directory,
        }
    }

    fn sandbox(&self) -> PathBuf {
        self.directory.path().join("sandbox")
    }

    fn request(&self, seccomp: Seccomp, script: &str) -> Request {
        Request {
            id: ContainerId::try_from("c1".to_owned()).expect("a good id"),
            command: Command::Shell(script.to_owned()),
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
            user: User::resolve("root").expect("root exists"),
            sandbox: self.sandbox(),
            hostname: None,
            cpus: Share {
                request: 0.1,
                limit: Limit::Default,
            },
            memory: Share {
                request: 64 << 20,
                limit: Limit::Default,
            },
            swap: Swap::Unlimited,
            pids: None,
            devices: vec![],
            ipc: Ipc::OwnNamespace,
            pid_namespace: PidNamespace::Own,
            terminal: None,
            volumes: vec![],
            network: isolators::network::Network::Hosts,
            rlimits: vec![],
            capabilities: CapabilitySets::default(),
            seccomp,
            user_namespace: None,
            sysctls: std::collections::BTreeMap::new(),
            stop_signal: None,
            cpuset: Default::default(),
            priority: Default::default(),
            root: None,
        }
    }

    async fn launch(&self, spec: Spec) -> Result<Container, LaunchError> {
        let open = |name: &str| {
            let file = File::options()
                .append(true)
                .create(true)
                .open(self.sandbox().join(name));
            file.expect("a log").into()
        };
        let stdio = Stdio {
            stdin: None,
            stdout: open("stdout"),
            stderr: open("stderr"),
        };
        let id = ContainerId::try_from("c1".to_owned()).expect("a good id");
        let then = Then::Supervise {};
        self.containerizer
            .launch_spec(&id, spec, stdio, then, Stopwatch::start())
            .await
    }

    async fn run(&self, spec: Spec) -> Termination {
        let container = self.launch(spec).await.expect("launches");
        let termination = container.wait().await;
        container.forget();
        termination
    }

    fn spec(&self, seccomp: Seccomp, script: &str) -> Spec {
        let request = self.request(seccomp, script);
        self.containerizer.plan(&request).expect("plans")
    }

    /// What a script that must end with 0 has written.
    async fn output(&self, seccomp: Seccomp, script: &str) -> String {
        self.output_of(self.spec(seccomp, script)).await
    }

    async fn output_of(&self, spec: Spec) -> String {
        let status = self.run(spec).await.status;
        let read = |name| fs::read_to_string(self.sandbox().join(name)).unwrap_or_default();
        let stderr = read("stderr");
        assert_eq!(status, Some(ExitStatus::Exited(0)), "stderr: {stderr}");
        let output = read("stdout");
        fs::remove_file(self.sandbox().join("stdout")).expect("removes");
        output.trim_end().to_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.containerizer.remove_cgroups_root();
    }
}

/// A command that makes a system call and prints the errno, or "ok".
fn call(number: i64, args: &str) -> String {
    format!("perl -e '$r = syscall({number}, {args}); print $r == -1 ? $!+0 : \"ok\", \"\\n\"'; ")
}

/// A profile that allows all but what its rules say.
fn allowing(rules: Vec<Rule>) -> Seccomp {
    Seccomp::Profile(Profile {
        default: Answer {
            action: Action::ScmpActAllow,
            errno: None,
        },
        machines: Machines::Listed(vec![]),
        flags: vec![],
        rules,
    })
}

fn rule(name: &str, action: Action, errno: Option<u32>) -> Rule {
    Rule {
        names: vec![name.to_owned()],
        answer: Answer { action, errno },
        args: vec![],
        includes: Condition::default(),
        excludes: Condition::default(),
    }
}

#[tokio::test]
async fn root_an_ordinary_script_does_not_notice_the_default() {
    let host = Host::new("ordinary");
    let script = "set -e; for i in 1 2 3; do echo $i; done | tail -n 1; (sleep 0.01; echo bg) & wait; \
                  mkdir d; touch d/f; chmod 600 d/f; mv d/f d/g; ls d; rm -r d; \
                  perl -e 'print fork ? wait > 0 ? \"forked\\n\" : \"\" : \"\"'; kill -0 $$; id -u";
    let output = host.output(Seccomp::Default, script).await;
    assert_eq!(output, "3\nbg\ng\nforked\n0");
}

#[tokio::test]
async fn root_the_default_refuses_what_reaches_beyond_the_container() {
    let host = Host::new("refused");
    let table = [
        (libc::SYS_unshare, "0x10000000", "1"),
        (libc::SYS_clone, "0x10000011, 0, 0, 0, 0", "1"),
        (libc::SYS_clone3, "0, 0", "38"),
        (libc::SYS_keyctl, "0, -3, 0", "1"),
        (libc::SYS_add_key, "0, 0, 0, 0, 0", "1"),
        (libc::SYS_mount, "0, 0, 0, 0, 0", "1"),
        (libc::SYS_bpf, "0, 0, 0", "1"),
        (libc::SYS_io_uring_setup, "1, 0", "1"),
        (libc::SYS_userfaultfd, "0", "1"),
        (libc::SYS_perf_event_open, "0, 0, 0, 0, 0", "1"),
        // AF_ALG and AF_VSOCK; AF_UNIX is fine.
        (libc::SYS_socket, "38, 5, 0", "1"),
        (libc::SYS_socket, "40, 1, 0", "1"),
        (libc::SYS_socket, "1, 1, 0", "ok"),
        (libc::SYS_personality, "0x0040000", "1"),
        (libc::SYS_personality, "0xffffffff", "ok"),
        // No kernel has it: programs shall fall back.
        (10_000, "0", "38"),
    ];
    let script: String = table.iter().map(|(n, args, _)| call(*n, args)).collect();
    let wanted: Vec<&str> = table.iter().map(|(_, _, errno)| *errno).collect();
    let output = host.output(Seccomp::Default, &script).await;
    assert_eq!(output.lines().collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn root_a_container_is_filtered_unless_it_is_unconfined() {
    let host = Host::new("status");
    let script = "grep ^Seccomp: /proc/self/status";
    let filtered = host.output(Seccomp::Default, script).await;
    assert_eq!(filtered, "Seccomp:\t2");
    let spec = host.spec(Seccomp::Unconfined, script);
    let said = spec.annotations().clone().unwrap_or_default();
    assert_eq!(said[isolators::seccomp::ANNOTATION], "unconfined");
    assert_eq!(host.output_of(spec).await, "Seccomp:\t0");
}

#[tokio::test]
async fn root_a_call_that_kills_ends_the_task_by_sigsys_and_is_named() {
    let host = Host::new("kill");
    let sigsys = Some(ExitStatus::Signaled(libc::SIGSYS));
    let named = |name: &str| Some(KernelWord::SystemCall(name.to_owned()));
    let script = format!("exec {}", call(libc::SYS_getpgid, "0"));
    for (action, word) in [
        (Action::ScmpActKill, named("getpgid")),
        (Action::ScmpActKillProcess, named("getpgid")),
        // The kernel says nothing of it: a program may handle the signal.
        (Action::ScmpActTrap, Some(KernelWord::Silent)),
    ] {
        let profile = allowing(vec![rule("getpgid", action, None)]);
        let ended = host.run(host.spec(profile, &script)).await;
        assert_eq!(
            (ended.status, ended.death.kernel),
            (sigsys, word),
            "{action}"
        );
    }
    // A call of x32, where the default knows of none.
    let script = format!("exec {}", call(0x4000_0000 + libc::SYS_getpid, "0"));
    let ended = host.run(host.spec(Seccomp::Default, &script)).await;
    assert_eq!(
        (ended.status, ended.death.kernel),
        (sigsys, named("getpid of x32"))
    );
}

#[tokio::test]
async fn root_the_errno_of_a_profile_arrives_for_the_arguments_it_names() {
    let host = Host::new("errno");
    let high = Rule {
        args: vec![Arg {
            index: 0,
            op: Op::ScmpCmpGt,
            value: 1 << 32,
            value_two: None,
        }],
        ..rule("getpgid", Action::ScmpActErrno, Some(libc::EDOM as u32))
    };
    let script = [
        call(libc::SYS_getpgid, "0"),
        call(libc::SYS_getpgid, "1 << 32"),
        call(libc::SYS_getpgid, "(1 << 32) + 1"),
    ];
    let output = host.output(allowing(vec![high]), &script.concat()).await;
    assert_eq!(output, "ok\nok\n33");
}

#[tokio::test]
async fn root_a_long_profile_is_taken_by_the_kernel() {
    let host = Host::new("long");
    let unlucky = |n| Rule {
        args: vec![Arg {
            index: 0,
            op: Op::ScmpCmpEq,
            value: n,
            value_two: None,
        }],
        ..rule("getpgid", Action::ScmpActErrno, Some(libc::EDOM as u32))
    };
    let profile = allowing((1000..1900).map(unlucky).collect());
    let script = [
        call(libc::SYS_getpgid, "0"),
        call(libc::SYS_getpgid, "1000"),
        call(libc::SYS_getpgid, "1899"),
    ];
    assert_eq!(host.output(profile, &script.concat()).await, "ok\n33\n33");
}

#[tokio::test]
async fn root_a_filter_needs_no_no_new_privs_as_long_as_its_profile_lets_the_launch_go_on() {
    let host = Host::new("privileges");
    let script = "grep -E '^(NoNewPrivs|Seccomp|CapEff):' /proc/self/status";
    let with_new_privileges = |seccomp| {
        let mut spec = host.spec(seccomp, script);
        let mut process = spec.process().clone().expect("a process");
        process.set_no_new_privileges(Some(false));
        spec.set_process(Some(process));
        spec
    };
    let output = host.output_of(with_new_privileges(Seccomp::Default)).await;
    let expected = "CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2";
    assert_eq!(output, expected);
    // What the launch itself needed is not asked of the profile, but for the last step.
    let calls = ["setresuid", "chdir", "faccessat2", "accept4", "close_range"];
    let denied = |name: &&str| rule(name, Action::ScmpActErrno, None);
    let strict = allowing(calls.iter().map(denied).collect());
    let output = host.output_of(with_new_privileges(strict)).await;
    assert_eq!(output, expected);
    let stricter = allowing(vec![rule("capset", Action::ScmpActErrno, None)]);
    let error = host.launch(with_new_privileges(stricter)).await;
    let error = error.expect_err("refused").to_string();
    let wanted = "cannot give up the capability that installed the seccomp filter";
    assert_eq!(error, wanted);
}

#[tokio::test]
async fn root_a_profile_without_execve_is_told_as_what_keeps_the_command_from_running() {
    let host = Host::new("execve");
    let profile = allowing(vec![rule("execve", Action::ScmpActErrno, None)]);
    let error = host.launch(host.spec(profile, "true")).await;
    let error = error.expect_err("refused").to_string();
    assert!(
        error.starts_with("cannot run") && error.contains("its seccomp profile forbids execve"),
        "{error}"
    );
}
