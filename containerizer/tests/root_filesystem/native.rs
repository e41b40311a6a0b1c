//! Containers that the agent asks for, with a user namespace of their own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use containerizer::audit::{self, Keeper};
use isolators::{Access, IdRange, Request, Volume};

use crate::idmaps::can_idmap;
use crate::support::Bundle;

const POOL: IdRange = IdRange {
    first: 400_000,
    count: 2 * 65536,
};

fn own(bundle: &Bundle, script: &str) -> Request {
    Request {
        user_namespace: Some(POOL),
        ..bundle.request("c1", script)
    }
}

#[tokio::test]
async fn root_a_task_in_a_user_namespace_has_its_sandbox_and_volumes_and_no_rights_on_the_host() {
    let bundle = Bundle::new("native");
    let data = bundle.directory("data");
    fs::set_permissions(bundle.path(""), fs::Permissions::from_mode(0o711)).expect("opens up");
    let secret = bundle.path("secret");
    fs::write(&secret, "secret").expect("writes");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("closes");
    let volume = |target: &str| Volume {
        source: data.clone(),
        target: target.into(),
        access: Access::ReadWrite,
    };
    let script = format!(
        "id -u; tr -s ' ' </proc/self/uid_map; stat -c '%u:%g' . /longshore-new/data/file volume/file; \
         echo x >made; echo x >/longshore-new/data/made; cat {} 2>/dev/null || echo closed; \
         grep Seccomp: /proc/self/status; touch /etc/x 2>/dev/null || echo closed; \
         ls /proc | grep -c '^[0-9]'",
        secret.display()
    );
    let request = Request {
        volumes: vec![volume("/longshore-new/data"), volume("volume")],
        ..own(&bundle, &script)
    };
    if !can_idmap(&bundle) {
        let refusal = bundle.refusal_of(&request).await;
        assert!(refusal.contains("map the owners of its files"), "{refusal}");
        return;
    }
    let output = bundle.output_of_request(&request).await;
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..2], ["0", " 0 400000 65536"], "{output}");
    assert_eq!(lines[2..5], ["0:0", "0:0", "0:0"], "{output}");
    assert_eq!(lines[5..8], ["closed", "Seccomp:\t2", "closed"], "{output}");
    for made in [bundle.path("sandbox/made"), data.join("made")] {
        let about = fs::metadata(made).expect("made");
        assert_eq!((about.uid(), about.gid()), (0, 0));
    }
}

#[tokio::test]
async fn root_no_two_containers_have_an_id_in_common() {
    let bundle = Bundle::new("ranges");
    if !can_idmap(&bundle) {
        // Then no container has ids of its own, and whoever asks for them hears it.
        let refusal = bundle.refusal_of(&own(&bundle, "true")).await;
        assert!(refusal.contains("map the owners of its files"), "{refusal}");
        return;
    }
    let map = |pid: u32| fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("reads");
    let mut running = Vec::new();
    for id in ["c1", "c2"] {
        let request = Request {
            user_namespace: Some(POOL),
            ..bundle.request(id, "exec sleep 1000")
        };
        running.push(bundle.launched(&request).await);
    }
    let maps: Vec<_> = running
        .iter()
        .map(|container| map(container.pid()))
        .collect();
    let firsts = maps
        .iter()
        .map(|map| map.split_whitespace().nth(1).expect("a map"));
    assert_eq!(firsts.collect::<Vec<_>>(), ["400000", "465536"]);
    an_audit_reserves_again_what_is_no_longer_reserved(&bundle);
    let third = Request {
        user_namespace: Some(POOL),
        ..bundle.request("c3", "true")
    };
    let refusal = bundle.refused(&third).await;
    assert!(
        refusal.contains("all ids for user namespaces are taken (131072 from 400000 on"),
        "{refusal}"
    );
    let first = running.remove(0);
    bundle.end(first).await;
    assert_eq!(
        bundle
            .output_of_request(&own(&bundle, "cut -c 12-17 /proc/self/uid_map"))
            .await
            .len(),
        6
    );
    for container in running {
        bundle.end(container).await;
    }
}

fn an_audit_reserves_again_what_is_no_longer_reserved(bundle: &Bundle) {
    let scope = bundle.scope();
    let look = || audit::differences(&scope, BTreeSet::new(), Keeper::Running).expect("looks");
    assert_eq!(look(), []);
    let [missing, wrong] = ["400000", "465536"].map(|first| bundle.path("run/ids").join(first));
    fs::remove_file(&missing).expect("removes");
    fs::remove_file(&wrong).expect("removes");
    std::os::unix::fs::symlink("gone", &wrong).expect("links");
    let found = look();
    let whose: Vec<_> = found.iter().map(|it| (it.kind(), it.container())).collect();
    assert_eq!(whose, [("ids", Some("c1")), ("ids", Some("c2"))]);
    for difference in &found {
        audit::repair(&scope, difference).expect("repairs");
    }
    assert_eq!(look(), []);
    assert_eq!(
        fs::read_link(&missing).expect("a link").to_str(),
        Some("c1")
    );
}
