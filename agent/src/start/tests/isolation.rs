//! What flags and tasks say of a container's surroundings, seen from inside and from the kernel.

use std::fs;
use std::path::PathBuf;

use proto::v1::TaskState;
use proto::v1::linux_info::IpcMode;

use super::*;

fn in_container(command: &str, linux: v1::LinuxInfo) -> v1::TaskInfo {
    let mut task = task("t1", command);
    task.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        linux_info: Some(linux),
        ..Default::default()
    });
    task
}

/// The task's last status, and what it wrote.
async fn ended(mut node: Node, task: v1::TaskInfo) -> (TaskStatus, String) {
    let (handle, mut link) = node.start().await;
    link.say(run(task)).await;
    let last = story(&mut link).await.pop().unwrap();
    let said = output(&handle, "t1").await;
    node.end(handle).await;
    (last, said)
}

/// What the task writes; it must end well.
async fn said(node: Node, task: v1::TaskInfo) -> String {
    let (last, said) = ended(node, task).await;
    assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
    said
}

/// Its IPC namespace, and the uppermost mount on its /dev/shm.
const LOOK: &str = "readlink /proc/self/ns/ipc; grep ' /dev/shm ' /proc/self/mounts | tail -n 1";

fn hosts_ipc() -> String {
    let link = fs::read_link("/proc/self/ns/ipc").unwrap();
    link.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_has_a_dev_shm_of_its_own_as_large_as_it_asks_for() {
    let linux = v1::LinuxInfo {
        ipc_mode: Some(IpcMode::Private as i32),
        shm_size: Some(8),
        ..Default::default()
    };
    let said = said(node().await, in_container(LOOK, linux)).await;
    let (namespace, shm) = said.split_once('\n').unwrap();
    assert_ne!(namespace, hosts_ipc());
    assert!(
        shm.contains(" tmpfs ") && shm.contains("size=8192k"),
        "{shm}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_shares_the_agents_ipc_when_it_asks_for_it_and_the_agent_does_not_refuse() {
    let linux = v1::LinuxInfo {
        ipc_mode: Some(IpcMode::ShareParent as i32),
        ..Default::default()
    };
    let asking = in_container(LOOK, linux);
    let said = said(node().await, asking.clone()).await;
    assert!(said.starts_with(&format!("{}\n", hosts_ipc())), "{said}");

    let mut node = node().await;
    node.flags.disallow_sharing_agent_ipc_namespace = true;
    let (handle, mut link) = node.start().await;
    link.say(run(asking)).await;
    let updates = story(&mut link).await;
    let last = updates.last().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
    let flag = "--disallow_sharing_agent_ipc_namespace";
    assert!(last.message().contains(flag), "{last:?}");
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_sees_the_hosts_processes_when_it_asks_for_it_and_can() {
    let linux = v1::LinuxInfo {
        share_pid_namespace: Some(true),
        ..Default::default()
    };
    let asking = in_container("readlink /proc/self/ns/pid", linux);
    let said = said(node().await, asking.clone()).await;
    let ours = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_eq!(said, format!("{}\n", ours.display()));

    let mut refusing = node().await;
    refusing.flags.disallow_sharing_agent_pid_namespace = true;
    let mut namespacing = node().await;
    namespacing.flags.user_namespaces = true;
    for (node, why) in [
        (refusing, "--disallow_sharing_agent_pid_namespace"),
        (namespacing, "a user namespace of its own cannot have"),
    ] {
        let (last, _) = ended(node, asking.clone()).await;
        assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
        assert!(last.message().contains(why), "{last:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_has_a_terminal_as_large_as_it_asks_for_and_its_output_is_kept() {
    let mut asking = task("t1", "stty size; tty; echo bad >&2");
    let window_size = v1::tty_info::WindowSize {
        rows: 40,
        columns: 100,
    };
    asking.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        tty_info: Some(v1::TtyInfo {
            window_size: Some(window_size),
        }),
        ..Default::default()
    });
    let said = said(node().await, asking).await;
    assert_eq!(said, "40 100\r\n/dev/pts/0\r\nbad\r\n");
}

/// A control file of the only container, wherever the hierarchy with that file is.
fn control_file(node: &Node, controller: &str, name: &str) -> Option<String> {
    let top = PathBuf::from("/sys/fs/cgroup");
    let roots = [top.join(controller), top].map(|dir| dir.join(&node.flags.cgroups_root));
    let containers = roots.iter().flat_map(fs::read_dir).flatten().flatten();
    let mut files = containers.map(|container| container.path().join(name));
    files.find_map(|file| fs::read_to_string(file).ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_the_operator_limits_is_limited_for_every_task() {
    let mut node = node().await;
    node.flags.pids_limit = Some(30);
    node.flags.cgroups_limit_swap = true;
    let (handle, mut link) = node.start().await;
    link.say(run(task("t1", "sleep 1000"))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    // One for the first process, which is ours.
    let pids = control_file(&node, "pids", "pids.max");
    assert_eq!(pids.as_deref(), Some("31\n"));
    let with_swap = control_file(&node, "memory", "memory.memsw.limit_in_bytes");
    let alone = control_file(&node, "memory", "memory.swap.max");
    let limit = format!("{}\n", 64 << 20);
    match (with_swap, alone) {
        (Some(with_swap), None) => assert_eq!(with_swap, limit),
        (None, Some(alone)) => assert_eq!(alone, "0\n"),
        // A kernel without swap has none to go on in.
        (None, None) => assert!(!std::path::Path::new("/proc/swaps").exists()),
        both => panic!("{both:?}"),
    }
    link.say(kill("t1")).await;
    assert_eq!(link.update().await.state(), TaskState::TaskKilled);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_uses_a_device_only_when_the_operator_allows_it() {
    // To open it for writing takes no capability, and nothing is written.
    let open = || task("t1", "(: > /dev/kmsg) && echo opened || echo refused");
    assert_eq!(said(node().await, open()).await, "refused\n");
    let mut node = node().await;
    let allowed =
        r#"{"allowed_devices": [{"device": {"path": "/dev/kmsg"}, "access": {"write": true}}]}"#;
    node.flags.allowed_devices = Some(allowed.to_owned());
    assert_eq!(said(node, open()).await, "opened\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_with_a_user_namespace_has_or_shares_ipc_like_any_other() {
    for (mode, own) in [(IpcMode::Private, true), (IpcMode::ShareParent, false)] {
        let linux = v1::LinuxInfo {
            ipc_mode: Some(mode as i32),
            ..Default::default()
        };
        let mut node = node().await;
        node.flags.user_namespaces = true;
        node.flags.default_container_shm_size = Some(4 << 20);
        // The sandbox's file system decides whether there can be such a task at all.
        let can = can_idmap(&node);
        let (last, said) = ended(node, in_container(LOOK, linux)).await;
        if !can {
            assert_eq!(last.state(), TaskState::TaskFailed, "{last:?}");
            let message = last.message();
            assert!(message.contains("map the owners of its files"), "{message}");
            continue;
        }
        assert_eq!(last.state(), TaskState::TaskFinished, "{last:?}");
        let (namespace, shm) = said.split_once('\n').unwrap();
        assert_eq!(namespace != hosts_ipc(), own, "{said}");
        assert_eq!(shm.contains("size=4096k"), own, "{said}");
    }
}
