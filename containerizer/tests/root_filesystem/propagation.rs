//! Which mounts travel between container and host.

use serde_json::json;

use crate::support::Bundle;

#[tokio::test]
async fn root_the_containers_root_propagates_as_asked() {
    let bundle = Bundle::new("propagation");
    for (asked, found) in [
        ("shared", "shared"),
        ("rshared", "shared"),
        ("slave", ""),
        ("rslave", ""),
        ("private", ""),
        ("rprivate", ""),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let patch = json!({"linux": {"rootfsPropagation": asked}});
        // The optional fields of the line of "/".
        let script = "grep ' / / \\| /[^ ]* / ' /proc/self/mountinfo | tail -n 1 | sed 's/ - .*//' | \
                      cut -d' ' -f7- | grep -o 'shared\\|unbindable' || true";
        assert_eq!(bundle.output(patch, script).await, found, "{asked}");
    }
    let patch = json!({"linux": {"rootfsPropagation": "upwards"}});
    assert_eq!(
        bundle.refusal(patch).await,
        "linux.rootfsPropagation: unknown \"upwards\": write shared, slave, private or unbindable"
    );
}

/// A mount point of the host whose mounts are shared, until dropped.
struct Shared(std::path::PathBuf);

impl Shared {
    fn on(directory: std::path::PathBuf) -> Self {
        use nix::mount::{MsFlags, mount};
        let none = None::<&str>;
        mount(
            Some("shared"),
            &directory,
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )
        .expect("mounts");
        mount(none, &directory, none, MsFlags::MS_SHARED, none).expect("shares");
        std::fs::create_dir(directory.join("point")).expect("creates");
        Self(directory)
    }

    fn has_mount(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("reads");
        let point = self.0.join("point");
        mounts.contains(point.to_str().expect("utf-8"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let detach = nix::mount::MntFlags::MNT_DETACH;
        let _ = nix::mount::umount2(&self.0.join("point"), detach);
        let _ = nix::mount::umount2(&self.0, detach);
    }
}

#[tokio::test]
async fn root_a_mount_reaches_the_host_only_when_root_and_volume_are_shared() {
    for (of_root, of_volume, reaches) in [
        ("rshared", "rshared", true),
        ("rshared", "rslave", false),
        ("rslave", "rshared", false),
        ("rslave", "rprivate", false),
    ] {
        let bundle = Bundle::new("travel");
        let shared = Shared::on(bundle.directory("shared"));
        let patch = json!({
            "mounts": [{"destination": "/v", "type": "bind", "source": shared.0,
                        "options": ["rbind", of_volume]}],
            "linux": {"rootfsPropagation": of_root},
        });
        let spec = bundle.spec(patch, "mount -t tmpfs inner /v/point");
        bundle.run_keeping_mounts(spec).await;
        assert_eq!(shared.has_mount(), reaches, "{of_root}, {of_volume}");
    }
}
