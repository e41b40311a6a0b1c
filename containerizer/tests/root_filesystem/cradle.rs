//! What lies behind a container's root.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::thread;

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::json;

use crate::support::Bundle;

/// As root of the host, who could also do what no container is allowed to.
#[tokio::test]
async fn root_who_takes_a_containers_root_away_finds_nothing_of_the_host_behind_it() {
    let bundle = Bundle::new("cradle");
    let container = bundle
        .started(bundle.spec(json!({}), "exec sleep 1000"))
        .await;
    let namespace = File::open(format!("/proc/{}/ns/mnt", container.pid())).expect("its mounts");
    let names = || -> Vec<_> {
        let entries = fs::read_dir("/").expect("lists");
        entries
            .map(|entry| entry.expect("lists").file_name())
            .collect()
    };
    let look = || -> nix::Result<_> {
        // A thread has its directory from the others.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        let before = names();
        umount2("/", MntFlags::MNT_DETACH)?;
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        let written = fs::write("/x", "").map_err(|error| error.kind());
        Ok((before, names(), written))
    };
    let seen = thread::scope(|scope| scope.spawn(look).join().expect("looks"));
    bundle.end(container).await;
    let (before, after, written) = seen.expect("enters");
    assert!(before.iter().any(|name| name == "proc"), "{before:?}");
    assert!(after.is_empty(), "{after:?}");
    assert_eq!(written, Err(ErrorKind::ReadOnlyFilesystem));
}

/// Its hidden files are the host's null device all the same, and nothing else is missing.
#[tokio::test]
async fn root_a_container_that_cannot_begin_empty_is_like_one_that_can() {
    let bundle = Bundle::new("like");
    // Without what is the file system's own: what hides directories may be one for all containers.
    let script = "cut -d' ' -f4- /proc/self/mountinfo | sed 's/master:[0-9]*/slave/; s/ tmpfs .*//' | sort; \
                  ls -l /hidden /dev/null | cut -d' ' -f1-6; ls -A /covered; ls /";
    fs::write(bundle.rootfs().join("hidden"), "x").expect("writes");
    bundle.directory("rootfs/covered");
    let masked = json!({"linux": {"maskedPaths": ["/hidden", "/covered", "/proc/kcore"]}});
    let beside = |options: &[&str]| {
        let mut spec = bundle.spec(masked.clone(), script);
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        let mount = json!({"destination": "/empty", "type": "tmpfs", "source": "tmpfs", "options": options});
        mounts.push(serde_json::from_value(mount).expect("a mount"));
        spec.set_mounts(Some(mounts));
        spec
    };
    let empty = bundle.output_of(beside(&["mode=755"])).await;
    // What was there is copied, which takes paths.
    let copied = bundle.output_of(beside(&["mode=755", "tmpcopyup"])).await;
    assert!(empty.contains("/hidden"), "{empty}");
    assert_eq!(empty, copied);
}
