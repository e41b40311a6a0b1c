//! Masked and read-only paths.

use std::fs;

use serde_json::json;

use crate::support::Bundle;

#[tokio::test]
async fn root_masked_files_are_the_real_null_device_and_directories_are_empty() {
    let bundle = Bundle::new("masked");
    let rootfs = bundle.rootfs();
    fs::create_dir(rootfs.join("secrets")).expect("creates");
    fs::write(rootfs.join("secrets/key"), "secret").expect("writes");
    fs::write(rootfs.join("file"), "secret").expect("writes");
    let patch = json!({"linux": {
        "maskedPaths": ["/file", "/secrets", "/missing", "/file/below", "/proc/version"],
    }});
    let script = "cat /file; ls /secrets; touch /secrets/x 2>/dev/null || echo closed; \
                  stat -c '%F %t:%T' /file /proc/version; ls -d /missing 2>/dev/null; true";
    assert_eq!(
        bundle.output(patch, script).await,
        "closed\ncharacter special file 1:3\ncharacter special file 1:3"
    );
}

#[tokio::test]
async fn root_a_null_device_that_the_container_brings_masks_nothing() {
    let bundle = Bundle::new("cve-2025-31133");
    let canary = bundle.path("canary");
    fs::write(&canary, "the host's").expect("writes");
    let dev = bundle.directory("dev");
    // What a racing container would put there: masking would then bind the host's file writable.
    std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", dev.join("null")).expect("links");
    let patch = json!({
        "mounts": [{"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}],
        "linux": {"maskedPaths": ["/proc/timer_list", "/proc/keys"]},
    });
    let output = bundle.output(patch, "stat -c '%F %t:%T' /proc/keys").await;
    assert_eq!(output, "character special file 1:3");
}

#[tokio::test]
async fn root_read_only_paths_are_so_all_the_way_down() {
    let bundle = Bundle::new("readonly");
    let patch = json!({
        "mounts": [
            {"destination": "/top", "type": "tmpfs"},
            {"destination": "/top/inner", "type": "tmpfs"},
        ],
        "linux": {"readonlyPaths": ["/top", "/proc/sys", "/missing"]},
    });
    let script = "touch /top/x || echo closed; touch /top/inner/x || echo closed; \
                  echo 1 >/proc/sys/net/ipv4/ip_forward || echo closed";
    let output = bundle
        .output(patch, &format!("({script}) 2>/dev/null"))
        .await;
    assert_eq!(output, "closed\nclosed\nclosed");
}

#[tokio::test]
async fn root_masked_directories_have_one_cover_and_none_has_two() {
    let bundle = Bundle::new("covers");
    for name in ["one", "two"] {
        fs::create_dir(bundle.rootfs().join(name)).expect("creates");
    }
    let patch = json!({"linux": {"maskedPaths": ["/one", "/two", "/one"]}});
    let script = "stat -c %d /one /two | uniq | wc -l; grep -c ' /one ' /proc/self/mountinfo; \
                  touch /two/x 2>/dev/null || echo closed";
    assert_eq!(bundle.output(patch, script).await, "1\n1\nclosed");
}
