//! Containers in a mount namespace that is others', too.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::mount::{MntFlags, umount2};
use serde_json::{Value, json};

use crate::support::Bundle;

const SCRIPT: &str = "busybox readlink /proc/self/ns/mnt; busybox ls -d /bin/busybox; busybox pwd";

/// With the namespaces of others, and this one of mounts.
fn bundle(name: &str, mounts: &[Value]) -> Bundle {
    let bundle = Bundle::new(name, SCRIPT);
    let own = ["pid", "ipc", "uts"].map(|kind| json!({"type": kind}));
    let namespaces: Vec<_> = own.iter().chain(mounts).collect();
    bundle.set("linux/namespaces", json!(namespaces));
    bundle.set("process/env", json!(["PATH=/bin"]));
    bundle
}

/// What this process sees mounted below the container's root.
fn mounted(bundle: &Bundle) -> usize {
    let root = bundle.path("rootfs").display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("reads");
    mounts.lines().filter(|line| line.contains(&root)).count()
}

/// What is mounted there goes when this is dropped.
struct Mounts(PathBuf);

impl Drop for Mounts {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// A mount namespace with a process in it, until this is dropped.
struct Namespace(Child);

impl Namespace {
    #[expect(
        clippy::expect_used,
        reason = "a test that cannot be set up has failed"
    )]
    fn new() -> Self {
        let mut command = Command::new("unshare");
        // It ends with its input.
        command.args(["-m", "sh", "-c", "echo; read line"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("unshares");
        let output = child.stdout.as_mut().expect("piped");
        output.read_exact(&mut [0]).expect("reads");
        Self(child)
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/mnt", self.0.id()).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn name_of(path: &str) -> String {
    fs::read_link(path).expect("reads").display().to_string()
}

#[test]
fn root_without_a_mount_namespace_a_container_has_the_hosts_and_still_a_root_of_its_own() {
    let bundle = bundle("hostmnt", &[]);
    let _mounts = Mounts(bundle.path("rootfs"));
    let output = bundle.output(&["run", &bundle.id]);
    let expected = format!("{}\n/bin/busybox\n/\n", name_of("/proc/self/ns/mnt"));
    assert_eq!(output, expected);
    // Where runc leaves them, too.
    assert!(mounted(&bundle) > 1);
}

#[test]
fn root_what_fails_in_the_hosts_mount_namespace_leaves_no_mount() {
    let bundle = bundle("hostfail", &[]);
    let _mounts = Mounts(bundle.path("rootfs"));
    bundle.add_mount(json!({"destination": "/none", "type": "nosuchfs", "source": "none"}));
    bundle
        .call(&["run", &bundle.id])
        .refuses("cannot use file system nosuchfs");
    assert_eq!(mounted(&bundle), 0);
}

#[test]
fn root_a_mount_namespace_that_is_joined_keeps_its_root_and_the_host_sees_nothing() {
    let namespace = Namespace::new();
    let joined = json!({"type": "mount", "path": namespace.path()});
    let bundle = bundle("joinmnt", &[joined]);
    let output = bundle.output(&["run", &bundle.id]);
    let expected = format!(
        "{}\n/bin/busybox\n/\n",
        name_of(namespace.path().to_str().expect("utf-8"))
    );
    assert_eq!(output, expected);
    assert_eq!(mounted(&bundle), 0);
    let root = format!("/proc/{}/root/etc", namespace.0.id());
    assert!(fs::read_dir(root).expect("is the host's still").count() > 0);
}

#[test]
fn root_no_other_process_enters_a_container_that_shares_its_mounts() {
    let bundle = bundle("hostexec", &[]);
    let _mounts = Mounts(bundle.path("rootfs"));
    bundle.set("process/args", json!(["sleep", "1000"]));
    bundle.run_detached();
    bundle
        .call(&["exec", &bundle.id, "true"])
        .refuses("a container whose mount namespace is not its own");
}
