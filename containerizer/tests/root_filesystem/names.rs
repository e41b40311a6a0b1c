//! Names, kernel parameters, the working directory, and how the kernel runs the command.

use serde_json::json;

use crate::support::Bundle;

#[tokio::test]
async fn root_names_and_kernel_parameters_are_the_containers_own() {
    let bundle = Bundle::new("names");
    let patch = json!({
        "hostname": "inside",
        "domainname": "example.org",
        "linux": {"sysctl": {
            "net.ipv4.ip_forward": "1",
            "net/core/somaxconn": "77",
            "kernel.shmmax": "65536",
            "fs.mqueue.msg_max": "5",
        }},
    });
    let script = "hostname; cd /proc/sys; cat kernel/domainname net/ipv4/ip_forward \
                  net/core/somaxconn kernel/shmmax fs/mqueue/msg_max";
    assert_eq!(
        bundle.output(patch, script).await,
        "inside\nexample.org\n1\n77\n65536\n5"
    );
}

#[tokio::test]
async fn root_what_would_change_the_host_is_refused() {
    let bundle = Bundle::new("hosts");
    let own =
        |kinds: &[&str]| -> Vec<_> { kinds.iter().map(|kind| json!({"type": kind})).collect() };
    let refusal = bundle
        .refusal(json!({"linux": {"sysctl": {"vm.swappiness": "1"}}}))
        .await;
    assert_eq!(
        refusal,
        "linux.sysctl.vm.swappiness: sysctl vm/swappiness is not the container's own, but the whole \
         host's: set it on the host"
    );
    let namespaces = own(&["mount", "pid", "ipc"]);
    let sysctl = json!({"net.ipv4.ip_forward": "1"});
    let refusal = bundle
        .refusal(json!({"linux": {"sysctl": sysctl, "namespaces": namespaces}}))
        .await;
    assert_eq!(
        refusal,
        "linux.sysctl.net.ipv4.ip_forward: sysctl net/ipv4/ip_forward needs a network namespace of the container's own"
    );
    let refusal = bundle
        .refusal(json!({"hostname": "x", "linux": {"namespaces": namespaces}}))
        .await;
    assert_eq!(
        refusal,
        "hostname: a name of its own needs a uts namespace of the container's own"
    );
    let refusal = bundle
        .refusal(json!({"linux": {"namespaces": own(&["pid"])}}))
        .await;
    assert_eq!(
        refusal,
        "linux.namespaces: the spec asks for the host's mount namespace, which this build cannot do"
    );
}

#[tokio::test]
async fn root_a_missing_working_directory_is_made_inside() {
    let bundle = Bundle::new("cwd");
    let link = bundle.rootfs().join("link");
    std::os::unix::fs::symlink("/var/../../tmp", link).expect("links");
    let patch = json!({"process": {"cwd": "/link/a/b"}, "root": {"readonly": true}});
    assert_eq!(bundle.output(patch, "pwd -P").await, "/tmp/a/b");
    assert!(bundle.rootfs().join("tmp/a/b").is_dir());
}

#[tokio::test]
async fn root_personality_and_priorities_are_the_commands() {
    let bundle = Bundle::new("priorities");
    let patch = json!({
        "process": {
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
            "scheduler": {"policy": "SCHED_BATCH", "nice": 5},
        },
        "linux": {"personality": {"domain": "LINUX32"}},
    });
    // Fields 19 and 41 of proc_pid_stat(5): nice, policy.
    let script = "uname -m; cut -d' ' -f19,41 /proc/self/stat; cut -d' ' -f41 /proc/1/stat; \
                  perl -e 'printf \"%x\\n\", syscall(252, 1, 0)'";
    let machine = if cfg!(target_arch = "x86_64") {
        "i686"
    } else {
        "armv8l"
    };
    // What perl asks is ioprio_get(2).
    assert_eq!(
        bundle.output(patch, script).await,
        format!("{machine}\n5 3\n0\n4006")
    );
}

#[tokio::test]
async fn root_what_the_kernel_refuses_of_scheduling_is_named() {
    let bundle = Bundle::new("refused");
    let patch = json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 9}}});
    assert_eq!(
        bundle.refusal(patch).await,
        "process.ioPriority.priority: 9 is no level: write 0, the highest, to 7"
    );
    let patch = json!({"process": {"scheduler": {"policy": "SCHED_RR", "priority": 1000}}});
    let refusal = bundle.refusal(patch).await;
    assert!(
        refusal.starts_with("cannot set Scheduler { policy: 2, "),
        "{refusal}"
    );
    let patch = json!({"linux": {"personality": {"domain": "LINUX", "flags": ["x"]}}});
    assert_eq!(
        bundle.refusal(patch).await,
        "linux.personality.flags: the spec asks for flags of a personality, which this build cannot do"
    );
}
