//! Mounts of the spec, with their options.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::Bundle;

fn mounts(list: &[Value]) -> Value {
    json!({ "mounts": list })
}

/// The options of the mount on `target` itself, as the kernel tells them.
fn options(target: &str) -> String {
    format!("grep ' {target} ' /proc/self/mountinfo | cut -d' ' -f6")
}

#[tokio::test]
async fn root_a_bind_has_the_options_it_asks_for() {
    let bundle = Bundle::new("options");
    let data = bundle.directory("data");
    let table: [(&[&str], &str); 7] = [
        (&["bind"], "rw,relatime"),
        (&["bind", "ro"], "ro,relatime"),
        (
            &["bind", "nosuid", "nodev", "noexec"],
            "rw,nosuid,nodev,noexec,relatime",
        ),
        (&["bind", "noatime"], "rw,noatime"),
        (&["bind", "strictatime"], "rw"),
        (&["rbind", "rro", "rnosuid"], "ro,nosuid,relatime"),
        (
            &["bind", "ro", "rw", "nosymfollow"],
            "rw,relatime,nosymfollow",
        ),
    ];
    for (asked, expected) in table {
        let mount = json!({"destination": "/to", "type": "bind", "source": data, "options": asked});
        let found = bundle.output(mounts(&[mount]), &options("/to")).await;
        // What the host's own mount has comes along.
        let expected: Vec<_> = expected.split(',').collect();
        let found: Vec<_> = found.split(',').collect();
        let unlike = expected
            .iter()
            .find(|option| !found.contains(option) && **option != "relatime");
        assert_eq!(unlike, None, "{asked:?}: {found:?}");
    }
}

#[tokio::test]
async fn root_read_only_reaches_what_is_mounted_below_only_when_asked() {
    let bundle = Bundle::new("below");
    let tmpfs = json!({"destination": "/top", "type": "tmpfs", "source": "tmpfs"});
    let inner = json!({"destination": "/top/inner", "type": "tmpfs", "source": "tmpfs"});
    let remount =
        |options: &[&str]| json!({"destination": "/top", "type": "none", "options": options});
    let script =
        "touch /top/file 2>/dev/null && echo top; touch /top/inner/file && echo inner; true";
    for (options, writable) in [
        (&["remount", "ro"][..], "inner"),
        (&["remount", "rro"], ""),
        (&["remount", "nosuid"], "top\ninner"),
    ] {
        let list = mounts(&[tmpfs.clone(), inner.clone(), remount(options)]);
        assert_eq!(bundle.output(list, script).await, writable, "{options:?}");
    }
}

#[tokio::test]
async fn root_files_and_directories_are_bound_over_what_is_missing() {
    let bundle = Bundle::new("missing");
    let data = bundle.directory("data");
    let list = mounts(&[
        json!({"destination": "/new/dir", "source": data, "options": ["rbind"]}),
        json!({"destination": "/new/file", "type": "none", "source": data.join("file"),
               "options": ["bind"]}),
        json!({"destination": "also//./new", "type": "bind", "source": data}),
    ]);
    let output = bundle
        .output(list, "cat /new/dir/file /new/file /also/new/file")
        .await;
    assert_eq!(output, "datadatadata");
    assert_eq!(
        fs::metadata(bundle.rootfs().join("new/file"))
            .expect("made")
            .len(),
        0
    );
}

#[tokio::test]
async fn root_a_tmpfs_whose_mount_point_was_missing_is_open_to_all() {
    let bundle = Bundle::new("newtmpfs");
    let list = mounts(&[
        json!({"destination": "/new", "type": "tmpfs", "source": "tmpfs"}),
        json!({"destination": "/other", "type": "tmpfs", "options": ["mode=700"]}),
    ]);
    let script = "stat -c %a /new /other";
    assert_eq!(bundle.output(list, script).await, "1777\n700");
    let point = fs::metadata(bundle.rootfs().join("new")).expect("made");
    assert_eq!(point.permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn root_a_bind_can_show_what_earlier_mounts_have_made() {
    let bundle = Bundle::new("turns");
    let data = bundle.directory("data");
    let (made, again) = (bundle.rootfs().join("made"), bundle.rootfs().join("again"));
    let list = mounts(&[
        json!({"destination": "/made/in", "type": "bind", "source": data}),
        json!({"destination": "/copy", "source": made, "options": ["rbind"]}),
        json!({"destination": "/file", "source": made.join("in/file"), "options": ["bind"]}),
        json!({"destination": again, "source": bundle.rootfs().join("copy"), "options": ["rbind"]}),
    ]);
    let script = "cat /copy/in/file /file /again/in/file";
    assert_eq!(bundle.output(list, script).await, "datadatadata");
    let missing = json!({"destination": "/copy", "type": "bind", "source": made.join("none")});
    let refusal = bundle.refusal(mounts(&[missing])).await;
    assert_eq!(
        refusal,
        "cannot bind /made/none of the container (the volume's hostPath does not exist): No such \
         file or directory (os error 2)"
    );
}

#[tokio::test]
async fn root_a_mount_that_is_none_of_the_kinds_is_refused() {
    let bundle = Bundle::new("none");
    let none = json!({"destination": "/to", "type": "none"});
    let refusal = bundle.refusal(mounts(&[none])).await;
    // Behind those that every bundle here has.
    assert!(refusal.starts_with("mounts["), "{refusal}");
    let why =
        "]: mount on /to: it needs a type, or \"bind\", \"rbind\" or \"remount\" among its options";
    assert!(refusal.ends_with(why), "{refusal}");
    let unknown = bundle
        .refusal(mounts(&[json!({"destination": "/to", "type": "nosuchfs"})]))
        .await;
    assert!(
        unknown.starts_with("cannot use file system nosuchfs for /to"),
        "{unknown}"
    );
    let option = json!({"destination": "/to", "type": "tmpfs", "options": ["nosuchoption=1"]});
    let option = bundle.refusal(mounts(&[option])).await;
    assert!(option.contains("nosuchoption"), "{option}");
}

#[tokio::test]
async fn root_a_tmpfs_has_its_mount_points_mode_and_with_tmpcopyup_its_contents() {
    let bundle = Bundle::new("copyup");
    let there = bundle.rootfs().join("there");
    fs::create_dir_all(there.join("deep")).expect("creates");
    fs::write(there.join("deep/file"), "contents").expect("writes");
    fs::set_permissions(there.join("deep/file"), PermissionsExt::from_mode(0o4640)).expect("sets");
    std::os::unix::fs::chown(there.join("deep"), Some(7), Some(8)).expect("chowns");
    std::os::unix::fs::symlink("deep/file", there.join("link")).expect("links");
    fs::set_permissions(&there, PermissionsExt::from_mode(0o1750)).expect("sets");
    let tmpfs = |options: &[&str]| {
        let mount = json!({"destination": "/there", "type": "tmpfs", "options": options});
        mounts(&[mount])
    };
    let script = "cd /there; cat link; stat -c '%n %a %u:%g' . deep deep/file; echo new >deep/new";
    assert_eq!(
        bundle
            .output(tmpfs(&["tmpcopyup", "size=1m"]), script)
            .await,
        "contents. 1750 0:0\ndeep 755 7:8\ndeep/file 4640 0:0"
    );
    assert!(!there.join("deep/new").exists());
    assert_eq!(
        bundle
            .output(tmpfs(&["mode=700"]), "stat -c %a /there; ls /there")
            .await,
        "700"
    );
}

#[tokio::test]
async fn root_a_read_only_tmpfs_still_gets_what_is_mounted_and_made_in_it() {
    let bundle = Bundle::new("rotmpfs");
    let data = bundle.directory("data");
    let list = mounts(&[
        json!({"destination": "/dev", "type": "tmpfs", "options": ["ro", "mode=755"]}),
        json!({"destination": "/t", "type": "tmpfs", "options": ["ro"]}),
        json!({"destination": "/t/in", "type": "bind", "source": data, "options": ["bind"]}),
    ]);
    let script = "cat /t/in/file; touch /t/x 2>/dev/null || echo; touch /dev/x 2>/dev/null || \
                  echo closed; echo x >/dev/null && echo fine";
    assert_eq!(bundle.output(list, script).await, "data\nclosed\nfine");
}

#[tokio::test]
async fn root_proc_and_sys_take_their_options() {
    let bundle = Bundle::new("procopts");
    let list = mounts(&[
        json!({"destination": "/proc", "type": "proc", "source": "proc",
               "options": ["nosuid", "hidepid=invisible"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro"]}),
    ]);
    let script = "grep -E ' /(proc|sys) ' /proc/mounts | tail -n 2; ls /sys/class/net";
    let output = bundle.output(list, script).await;
    assert!(output.contains("hidepid=invisible"), "{output}");
    assert!(
        output.contains("/sys sysfs ro,nosuid,nodev,noexec"),
        "{output}"
    );
    assert!(output.ends_with("\nlo"), "{output}");
}

#[tokio::test]
async fn root_a_sysfs_takes_its_options_whether_or_not_its_network_was_made_ahead() {
    let bundle = Bundle::new("sysatime");
    let sysfs = |destination: &str, times: &str| {
        json!({"destination": destination, "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro", times]})
    };
    let list = mounts(&[sysfs("/sys", "noatime"), sysfs("/sys2", "strictatime")]);
    let script = "grep -E ' /sys2? ' /proc/mounts; ls /sys2/class/net";
    // The first asks for networks to be made, and those that follow get them.
    for _ in 0..4 {
        let output = bundle.output(list.clone(), script).await;
        let expected = "sysfs /sys sysfs ro,nosuid,nodev,noexec,noatime 0 0\n\
                        sysfs /sys2 sysfs ro,nosuid,nodev,noexec 0 0\nlo";
        assert_eq!(output, expected);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn root_cgroups_begin_at_the_containers_own() {
    let bundle = Bundle::new("cgroups");
    for (options, writable) in [(&["ro", "nosuid"][..], ""), (&["nosuid"], "writable")] {
        let list = mounts(&[
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs"}),
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                   "options": options}),
        ]);
        let script = "cd /sys/fs/cgroup; [ -d memory ] && cd memory; \
                      grep -qx 1 cgroup.procs && echo own; \
                      mkdir below 2>/dev/null && rmdir below && echo writable; true";
        let output = bundle.output(list, script).await;
        assert_eq!(output, format!("own\n{writable}").trim_end(), "{options:?}");
    }
}

#[tokio::test]
async fn root_without_a_namespace_cgroups_are_those_of_the_host_or_below_the_containers() {
    let bundle = Bundle::new("hostcgroups");
    let kinds = ["pid", "mount", "network"];
    let patch = json!({
        "mounts": [
            {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro", "nosuid"]},
        ],
        "linux": {"namespaces": kinds.map(|kind| json!({"type": kind}))},
    });
    // Where its processes are: its own directory on v1; on v2 all is shown as it is.
    let script = "cd /sys/fs/cgroup; if [ -d memory ]; then cd memory; else \
                  cd .$(cut -d: -f3 /proc/self/cgroup); fi; grep -qx 1 cgroup.procs && echo own; \
                  mkdir below 2>/dev/null || echo closed; mkdir /sys/fs/cgroup/x 2>/dev/null || echo closed";
    assert_eq!(bundle.output(patch, script).await, "own\nclosed\nclosed");
}

#[tokio::test]
async fn root_a_read_only_root_leaves_volumes_writable() {
    let bundle = Bundle::new("roroot");
    let data = bundle.directory("data");
    let patch = json!({
        "root": {"readonly": true},
        "mounts": [{"destination": "/data", "type": "bind", "source": data, "options": ["rbind"]}],
    });
    let script = "touch /x 2>/dev/null || echo closed; touch /data/x && echo open";
    assert_eq!(bundle.output(patch, script).await, "closed\nopen");
}
