//! What a hostile root file system tries.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::Bundle;

/// CVE-2019-19921, CVE-2023-27561: /proc would be mounted where the link leads, and masks miss it.
#[tokio::test]
async fn root_a_link_in_the_place_of_a_kernels_directory_is_refused() {
    for top in ["proc", "sys", "dev"] {
        let bundle = Bundle::new("cve-2019-19921");
        fs::create_dir(bundle.rootfs().join("elsewhere")).expect("creates");
        symlink("elsewhere", bundle.rootfs().join(top)).expect("links");
        let patch =
            json!({"mounts": [{"destination": "/sys", "type": "sysfs", "options": ["ro"]}]});
        let refusal = bundle.refusal(patch).await;
        assert_eq!(
            refusal,
            format!(
                "cannot make directory /{top} in the container: Too many levels of symbolic links (os \
                 error 40)"
            )
        );
        let inside = fs::read_dir(bundle.rootfs().join("elsewhere")).expect("lists");
        assert_eq!(inside.count(), 0);
    }
}

#[tokio::test]
async fn root_links_of_a_root_file_system_lead_nowhere_else() {
    let bundle = Bundle::new("links");
    let (data, host) = (bundle.directory("data"), bundle.directory("host"));
    symlink(&host, bundle.rootfs().join("absolute")).expect("links");
    symlink("../../../../../../..", bundle.rootfs().join("climbs")).expect("links");
    let patch = json!({"mounts": [
        {"destination": "/absolute/a", "type": "bind", "source": data, "options": ["bind"]},
        {"destination": "/climbs/b", "type": "bind", "source": data, "options": ["bind"]},
    ]});
    let script = format!("cat {}/a/file /b/file", host.display());
    assert_eq!(bundle.output(patch, &script).await, "datadata");
    assert_eq!(fs::read_dir(&host).expect("lists").count(), 1);
}

#[tokio::test]
async fn root_nothing_is_bound_over_what_the_kernel_says() {
    let bundle = Bundle::new("inproc");
    let data = bundle.directory("data");
    for path in ["/proc", "/proc/self", "/proc/sys/kernel", "/proc/1/attr"] {
        let mount =
            json!({"destination": path, "type": "bind", "source": data, "options": ["bind"]});
        let refusal = bundle.refusal(json!({"mounts": [mount]})).await;
        let why = format!(
            "]: mount on {path}: a container's /proc shows what the kernel says; mount it elsewhere"
        );
        assert!(refusal.ends_with(&why), "{refusal}");
    }
    let file = data.join("file");
    let mount = json!({"destination": "/proc/uptime", "type": "bind", "source": file});
    let patch = json!({"mounts": [mount]});
    assert_eq!(bundle.output(patch, "cat /proc/uptime").await, "data");
}

/// CVE-2025-52881: a parameter must reach the kernel, whatever the container has at /proc.
#[tokio::test]
async fn root_kernel_parameters_are_not_written_by_a_path_of_the_container() {
    let bundle = Bundle::new("cve-2025-52881");
    let trap = bundle.rootfs().join("trap");
    fs::create_dir_all(trap.join("sys/net/ipv4")).expect("creates");
    fs::write(trap.join("sys/net/ipv4/ip_forward"), "0").expect("writes");
    let mut spec = bundle.spec(
        json!({"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}}),
        "cat /sys/trap/sys/net/ipv4/ip_forward; /bin/sh -c 'cat /real/sys/net/ipv4/ip_forward'",
    );
    let mounts = spec.mounts_mut().as_mut().expect("mounts");
    mounts.retain(|mount| mount.destination().to_str() != Some("/proc"));
    let more = json!([
        {"destination": "/real", "type": "proc", "source": "proc"},
        {"destination": "/sys/trap", "type": "bind", "source": trap, "options": ["bind"]},
    ]);
    mounts.extend(serde_json::from_value::<Vec<oci_spec::runtime::Mount>>(more).expect("mounts"));
    fs::create_dir(bundle.rootfs().join("proc")).expect("creates");
    symlink("/trap/sys", bundle.rootfs().join("proc/sys")).expect("links");
    assert_eq!(bundle.output_of(spec).await, "01");
}

/// CVE-2021-30465: whoever shares a volume with the container puts a link where a later mount is bound from.
#[tokio::test]
async fn root_links_in_a_volume_do_not_lead_a_later_mount_to_the_host() {
    let bundle = Bundle::new("cve-2021-30465");
    let (volume, host) = (bundle.directory("volume"), bundle.directory("host"));
    symlink(&host, volume.join("link")).expect("links");
    symlink("../../../../../../..", volume.join("climbs")).expect("links");
    fs::create_dir_all(
        bundle
            .rootfs()
            .join(host.strip_prefix("/").expect("absolute")),
    )
    .expect("creates");
    let inside = bundle.rootfs().join("volume");
    let patch = json!({"mounts": [
        {"destination": "/volume", "type": "bind", "source": volume},
        {"destination": "/a", "type": "bind", "source": inside.join("link")},
        {"destination": "/b", "type": "bind", "source": inside.join("climbs/volume")},
    ]});
    assert_eq!(
        bundle.output(patch, "ls /a | wc -l; cat /b/file").await,
        "0\nvolume"
    );
}

/// The kernel does not say where ".." led while something is renamed anywhere on the node: EAGAIN of
/// openat2(2).
#[tokio::test]
async fn root_what_others_rename_meanwhile_fails_no_launch() {
    let bundle = Bundle::new("renames");
    let volume = bundle.directory("volume");
    symlink("../../../../../../..", volume.join("climbs")).expect("links");
    let names = [bundle.path("here"), bundle.path("there")];
    fs::write(&names[0], "").expect("writes");
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let renamer = thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            fs::rename(&names[0], &names[1]).expect("renames");
            fs::rename(&names[1], &names[0]).expect("renames");
        }
    });
    let source = bundle.rootfs().join("volume/climbs/volume");
    for _ in 0..10 {
        let patch = json!({"mounts": [
            {"destination": "/volume", "type": "bind", "source": volume},
            {"destination": "/b", "type": "bind", "source": source},
        ]});
        assert_eq!(bundle.output(patch, "cat /b/file").await, "volume");
    }
    over.store(true, Ordering::Relaxed);
    renamer.join().expect("ends");
}

/// CVE-2024-21626: no descriptor of the host's is there to become the working directory.
#[tokio::test]
async fn root_a_working_directory_that_is_a_descriptor_is_refused() {
    let bundle = Bundle::new("cve-2024-21626");
    for fd in 3..20 {
        let cwd = format!("/proc/self/fd/{fd}");
        let refusal = bundle.refusal(json!({"process": {"cwd": cwd}})).await;
        assert!(refusal.starts_with("cannot "), "{refusal}");
        assert!(refusal.contains(&cwd), "{refusal}");
    }
}

#[tokio::test]
async fn root_a_root_file_system_behind_a_link_is_used_itself() {
    let bundle = Bundle::new("rootlink");
    fs::write(bundle.rootfs().join("here"), "yes").expect("writes");
    let link = bundle.path("link");
    symlink(bundle.rootfs(), &link).expect("links");
    assert_eq!(
        bundle
            .output(json!({"root": {"path": link}}), "cat /here")
            .await,
        "yes"
    );
    let missing = bundle.path("nowhere");
    let refusal = bundle.refusal(json!({"root": {"path": missing}})).await;
    assert_eq!(
        refusal,
        format!(
            "root.path: {} is no directory of the host",
            missing.display()
        )
    );
}
