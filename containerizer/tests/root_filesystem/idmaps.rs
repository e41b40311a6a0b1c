//! Mounts that show the owners of their files differently.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::{Value, json};

use crate::support::Bundle;

/// Whether there can be bundles for user namespaces.
pub fn can_idmap(bundle: &Bundle) -> bool {
    testbed::can_idmap(&bundle.rootfs())
}

async fn expect(bundle: &Bundle, spec: Value, script: &str, output: &str) {
    if can_idmap(bundle) {
        assert_eq!(bundle.output(spec, script).await, output);
    } else {
        let refusal = bundle.refusal(spec).await;
        assert!(
            refusal.contains("map the owners of its files (ext4, xfs, btrfs and others can"),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn root_an_idmapped_bind_shows_other_owners_and_makes_files_of_the_real_ones() {
    let bundle = Bundle::new("idmap");
    let data = bundle.directory("data");
    let map = |inside: u32, outside: u32| json!([{"containerID": inside, "hostID": outside, "size": 1000}]);
    let mount = json!({
        "destination": "/data", "type": "bind", "source": data, "options": ["bind", "idmap"],
        "uidMappings": map(0, 5000), "gidMappings": map(0, 6000),
    });
    std::os::unix::fs::chown(data.join("file"), Some(7), Some(8)).expect("chowns");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).expect("opens up");
    let mut spec = json!({"mounts": [mount]});
    spec["process"] = json!({"user": {"uid": 5001, "gid": 6002}});
    let script = "stat -c '%u:%g' /data/file; touch /data/made; stat -c '%u:%g' /data/made";
    expect(&bundle, spec, script, "5007:6008\n5001:6002").await;
    if let Ok(made) = fs::metadata(data.join("made")) {
        assert_eq!((made.uid(), made.gid()), (1, 2));
    }
}

#[tokio::test]
async fn root_a_bind_can_have_the_maps_of_its_container() {
    let bundle = Bundle::new("ownmap");
    std::os::unix::fs::chown(bundle.rootfs(), Some(300_000), Some(300_000)).expect("chowns");
    let data = bundle.directory("data");
    let map = json!([{"containerID": 0, "hostID": 300_000, "size": 65536}]);
    let kinds = ["user", "pid", "mount", "ipc", "uts", "network"];
    let spec = json!({
        "mounts": [
            {"destination": "/data", "type": "bind", "source": data, "options": ["bind", "ridmap"]},
        ],
        "linux": {
            "namespaces": kinds.map(|kind| json!({"type": kind})),
            "uidMappings": map, "gidMappings": map,
        },
    });
    let script = "stat -c '%u:%g' /data /data/file; touch /data/made; chown 3:4 /data/made";
    expect(&bundle, spec, script, "0:0\n0:0").await;
    if let Ok(made) = fs::metadata(data.join("made")) {
        assert_eq!((made.uid(), made.gid()), (3, 4));
    }
}

#[tokio::test]
async fn root_an_idmap_that_is_incomplete_is_refused() {
    let bundle = Bundle::new("badmap");
    let data = bundle.directory("data");
    let map = json!([{"containerID": 0, "hostID": 5000, "size": 1000}]);
    for mount in [
        json!({"destination": "/d", "type": "bind", "source": data, "options": ["idmap"]}),
        json!({"destination": "/d", "type": "bind", "source": data, "uidMappings": map}),
        json!({"destination": "/d", "type": "tmpfs", "uidMappings": map, "gidMappings": map}),
    ] {
        let refusal = bundle.refusal(json!({"mounts": [mount]})).await;
        let why = "]: mount on /d: an idmapped mount is a bind, with both uidMappings and gidMappings, \
                   or a user namespace to take them from";
        assert!(refusal.ends_with(why), "{refusal}");
    }
}
