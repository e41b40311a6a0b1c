//! Mounts as engines and runc's users expect them.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use crate::support::Bundle;

/// A mount of the host with some options, until dropped.
struct OfHost(PathBuf);

impl OfHost {
    #[expect(clippy::unwrap_used, reason = "a test without its mount ends here")]
    fn on(path: PathBuf, options: MsFlags) -> Self {
        let none = None::<&str>;
        std::fs::create_dir(&path).unwrap();
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let host = Self(path);
        // Options of the file system itself no mount could do without.
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | options;
        mount(none, &host.0, none, flags, none).unwrap();
        host
    }
}

impl Drop for OfHost {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Of the last mount on `path` in what /proc/self/mountinfo says.
fn options(mountinfo: &str, path: &str) -> String {
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let lines = mountinfo.lines().map(fields);
    let mut on_path = lines.filter(|fields| fields[4] == path);
    on_path.next_back().unwrap_or_default()[5].clone()
}

fn bind(bundle: &Bundle, source: &Path, options: &[&str]) {
    bundle.set(
        "mounts",
        json!([
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/data", "type": "bind", "source": source, "options": options},
        ]),
    );
}

fn enter_user_namespace(bundle: &Bundle) {
    let map = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
    let kinds = ["user", "pid", "mount", "ipc", "uts"];
    bundle.set(
        "linux/namespaces",
        json!(kinds.map(|kind| json!({"type": kind}))),
    );
    bundle.set("linux/uidMappings", map.clone());
    bundle.set("linux/gidMappings", map);
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(200_000), Some(200_000)).expect("chowns");
}

const CLOSED: MsFlags = MsFlags::MS_RDONLY
    .union(MsFlags::MS_NOEXEC)
    .union(MsFlags::MS_NOATIME);

#[test]
fn root_options_that_a_bind_names_none_of_are_those_of_its_source_else_all_but_access_times_are_its_own()
 {
    let bundle = Bundle::new("bindflags", "cat /proc/self/mountinfo");
    let host = OfHost::on(bundle.path("host"), CLOSED);
    for (asked, found) in [
        (&["bind", "rprivate"][..], "ro,noexec,noatime"),
        (&["bind", "nosuid"], "rw,nosuid,noatime"),
        (&["rbind", "dev"], "rw,noatime"),
        (&["bind", "atime"], "rw,noatime"),
        (&["bind", "ro", "relatime"], "ro,relatime"),
    ] {
        bind(&bundle, &host.0, asked);
        let mountinfo = bundle.output(&["run", &bundle.id]);
        assert_eq!(options(&mountinfo, "/data"), found, "{asked:?}");
    }
}

#[test]
fn root_in_a_user_namespace_a_bind_stays_as_closed_as_its_source() {
    let bundle = Bundle::new("bindlocks", "cat /proc/self/mountinfo");
    let host = OfHost::on(bundle.path("host"), CLOSED);
    enter_user_namespace(&bundle);
    for (asked, found) in [
        (&["bind"][..], "ro,noexec,noatime"),
        (&["bind", "nosuid"], "ro,nosuid,noexec,noatime"),
        (&["bind", "noatime", "ro", "dev"], "ro,noexec,noatime"),
    ] {
        bind(&bundle, &host.0, asked);
        let mountinfo = bundle.output(&["run", &bundle.id]);
        assert_eq!(options(&mountinfo, "/data"), found, "{asked:?}");
    }
    for asked in ["rw", "exec", "relatime"] {
        bind(&bundle, &host.0, &["bind", asked]);
        bundle.call(&["run", &bundle.id]).refuses(
            "runc run failed: unable to start container process: error during container init: error \
             mounting: cannot set mount options of /data: operation not permitted",
        );
    }
}

#[test]
fn root_the_kernel_lists_mounts_in_the_order_of_the_spec() {
    let script = "cat /proc/self/mountinfo";
    let bundle = Bundle::new("order", script);
    let (one, two) = (bundle.path("one"), bundle.path("two"));
    for directory in [&one, &two] {
        std::fs::create_dir(directory).expect("creates");
    }
    bundle.set(
        "mounts",
        json!([
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/d", "type": "bind", "source": one},
            {"destination": "/c", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/b", "type": "bind", "source": bundle.path("rootfs/d")},
            {"destination": "/a", "type": "bind", "source": two},
        ]),
    );
    let listed = bundle.output(&["run", &bundle.id]);
    let points = listed.lines().filter_map(|line| line.split(' ').nth(4));
    let points: Vec<_> = points.filter(|point| point.len() == 2).collect();
    // Since Linux 6.8 in the order in which mounts were made, before in that of their appearing.
    assert_eq!(points, ["/d", "/c", "/b", "/a"]);
}
