//! Containers whose root is nobody on the host.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Bundle, Namespace};

const FIRST: u32 = 200_000;

/// A user namespace of its own, with this many ids.
fn own(bundle: &Bundle, size: u32) -> Value {
    std::os::unix::fs::chown(bundle.rootfs(), Some(FIRST), Some(FIRST)).expect("chowns");
    let map = json!([{"containerID": 0, "hostID": FIRST, "size": size}]);
    let kinds = ["user", "pid", "mount", "ipc", "uts", "cgroup", "network"];
    json!({"linux": {
        "namespaces": kinds.map(|kind| json!({"type": kind})),
        "uidMappings": map,
        "gidMappings": map,
    }})
}

fn with(mut spec: Value, mounts: &[Value]) -> Value {
    spec["mounts"] = json!(mounts);
    spec
}

#[tokio::test]
async fn root_root_of_a_user_namespace_is_nobody_on_the_host() {
    let bundle = Bundle::new("userns");
    let shared = bundle.directory("shared");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("opens up");
    let spec = with(
        own(&bundle, 65536),
        &[
            json!({"destination": "/shared", "type": "bind", "source": shared, "options": ["bind"]}),
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                   "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5"]}),
            json!({"destination": "/dev/shm", "type": "tmpfs", "options": ["mode=1777"]}),
            json!({"destination": "/dev/mqueue", "type": "mqueue"}),
            json!({"destination": "/sys", "type": "sysfs", "options": ["ro"]}),
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]}),
        ],
    );
    let script = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; \
                  touch /shared/made && stat -c '%u:%g' /shared/made /shared/file; echo $$; \
                  echo x >/dev/null && stat -c '%t:%T' /dev/null /dev/urandom; \
                  head -c 1 /dev/urandom | wc -c; : <>/dev/ptmx && echo terminal; \
                  readlink /proc/self/ns/user; ls /sys/class/net; chown 5:6 /shared/made";
    let output = bundle.output(spec, script).await;
    let lines: Vec<_> = output.lines().collect();
    let map = format!(" 0 {FIRST} 65536");
    assert_eq!(lines[..4], ["0", "0", &map, &map], "{output}");
    assert_eq!(lines[4..6], ["0:0", "65534:65534"], "{output}");
    assert_eq!(lines[7..11], ["1:3", "1:9", "1", "terminal"], "{output}");
    let ours = fs::read_link("/proc/self/ns/user").expect("reads");
    assert_ne!(Path::new(lines[11]), ours);
    assert_eq!(lines[12], "lo", "{output}");
    let made = fs::metadata(shared.join("made")).expect("made");
    assert_eq!((made.uid(), made.gid()), (FIRST + 5, FIRST + 6));
}

#[tokio::test]
async fn root_what_the_host_says_about_a_mount_stays_true_in_a_user_namespace() {
    use nix::mount::{MsFlags, mount};
    let bundle = Bundle::new("locked");
    let data = bundle.directory("data");
    let none = None::<&str>;
    mount(Some(&data), &data, none, MsFlags::MS_BIND, none).expect("binds");
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    mount(none, &data, none, flags, none).expect("remounts");
    let spec = with(
        own(&bundle, 65536),
        &[
            json!({"destination": "/data", "type": "bind", "source": data,
                 "options": ["rbind", "nodev"]}),
        ],
    );
    let script = "grep ' /data ' /proc/self/mountinfo | cut -d' ' -f6";
    let spec = bundle.spec(spec, script);
    let output = bundle.run_keeping_mounts(spec).await;
    nix::mount::umount2(&data, nix::mount::MntFlags::MNT_DETACH).expect("unmounts");
    assert!(output.starts_with("ro,nosuid,nodev"), "{output}");
}

#[tokio::test]
async fn root_masks_read_only_paths_and_parameters_hold_in_a_user_namespace() {
    let bundle = Bundle::new("usermasks");
    fs::write(bundle.rootfs().join("secret"), "secret").expect("writes");
    let mut spec = own(&bundle, 65536);
    spec["hostname"] = json!("inside");
    spec["root"] = json!({"readonly": true});
    spec["process"] = json!({"cwd": "/made", "oomScoreAdj": 500});
    spec["linux"]["maskedPaths"] = json!(["/secret", "/proc/version"]);
    spec["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    spec["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "77"});
    let script = "cat /secret; stat -c '%t:%T' /secret /proc/version; hostname; pwd; \
                  cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/self/oom_score_adj; \
                  (echo 1 >/proc/sys/net/ipv4/ip_forward) 2>/dev/null || echo closed; \
                  touch /x 2>/dev/null || echo closed";
    assert_eq!(
        bundle.output(spec, script).await,
        "1:3\n1:3\ninside\n/made\n77\n500\nclosed\nclosed"
    );
}

#[tokio::test]
async fn root_hard_limits_can_be_what_they_are_and_another_user_runs_the_command() {
    let bundle = Bundle::new("userlimits");
    let mut spec = own(&bundle, 65536);
    spec["process"] = json!({
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [7]},
        "noNewPrivileges": true,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}],
    });
    let script = "id -u; id -g; grep Groups /proc/self/status; ulimit -n; ulimit -Hn";
    let output = bundle.output(spec, script).await;
    assert_eq!(output, "1000\n1001\nGroups:\t7 \n64\n128");
}

#[tokio::test]
async fn root_terminals_have_no_group_where_theirs_is_not_mapped() {
    let bundle = Bundle::new("ptsgroup");
    let devpts = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                        "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]});
    let script = "grep ' /dev/pts ' /proc/mounts | grep -c gid=";
    for (size, found) in [(5, "0"), (6, "1")] {
        let spec = with(own(&bundle, size), std::slice::from_ref(&devpts));
        let script = format!("{script}; true");
        assert_eq!(bundle.output(spec, &script).await, found, "{size} ids");
    }
}

#[tokio::test]
async fn root_maps_without_root_say_what_is_missing() {
    let bundle = Bundle::new("noroot");
    let mut spec = own(&bundle, 1);
    let map = json!([{"containerID": 5, "hostID": FIRST, "size": 1}]);
    spec["linux"]["uidMappings"] = map;
    let refusal = bundle.refusal(spec).await;
    assert_eq!(
        refusal,
        "cannot become root of the user namespace (do its maps contain 0?): Invalid argument (os \
         error 22)"
    );
    let mut spec = own(&bundle, 1);
    spec["linux"]["gidMappings"] = json!([
        {"containerID": 0, "hostID": FIRST, "size": 5},
        {"containerID": 2, "hostID": FIRST, "size": 5},
    ]);
    let refusal = bundle.refusal(spec).await;
    let expected = format!("cannot write gid_map \"0 {FIRST} 5\\n2 {FIRST} 5\"");
    assert!(refusal.starts_with(&expected), "{refusal}");
}

#[tokio::test]
async fn root_a_failure_before_the_fork_is_told_and_leaves_nothing() {
    let bundle = Bundle::new("userbefore");
    let mut spec = own(&bundle, 1);
    spec["linux"]["namespaces"][6]["path"] = json!("/proc/self/ns/uts");
    let refusal = bundle.refusal(spec).await;
    assert_eq!(
        refusal,
        "cannot join namespace /proc/self/ns/uts: Invalid argument (os error 22)"
    );
}

#[tokio::test]
async fn root_a_user_namespace_can_be_joined_with_what_belongs_to_it() {
    let bundle = Bundle::new("join");
    let namespace = Namespace::new(&["-r", "-n", "-u", "-p"]);
    let path = |kind: &str| namespace.path(kind);
    std::os::unix::fs::chown(bundle.rootfs(), Some(0), Some(0)).expect("chowns");
    let links = |output: &str| output.lines().map(str::to_owned).collect::<Vec<_>>();
    let script = "cd /proc/self/ns; for ns in user net uts pid ipc; do readlink $ns; done; id -u";
    let ours = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).expect("reads");
        link.to_string_lossy().into_owned()
    };
    let theirs = |kind: &str| {
        fs::read_link(path(kind))
            .expect("reads")
            .to_string_lossy()
            .into_owned()
    };
    let joined = json!({"linux": {"namespaces": [
        {"type": "user", "path": path("user")},
        {"type": "network", "path": path("net")},
        {"type": "uts", "path": path("uts")},
        {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "cgroup"},
    ]}});
    let output = links(&bundle.output(joined, script).await);
    assert_eq!(output[..3], ["user", "net", "uts"].map(theirs));
    assert_ne!(output[3], theirs("pid_for_children"));
    assert_ne!(output[4], ours("ipc"));
    assert_eq!(output[5], "0");
}

#[tokio::test]
async fn root_a_command_that_joins_a_user_namespace_is_there_as_the_containers_own() {
    let bundle = Bundle::new("userexec");
    let mut spec = own(&bundle, 65536);
    spec["process"] = json!({
        "user": {"uid": 7, "gid": 8},
        "noNewPrivileges": true,
        "capabilities": {"bounding": [], "effective": [], "permitted": []},
    });
    spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    let spec = bundle.spec(spec, "exec sleep 1000");
    let container = bundle.started(spec).await;
    let script = "id -u; id -g; tr -s ' ' </proc/self/uid_map; cat /proc/2/comm; \
                  grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
                  for ns in user pid mnt net; do [ $(readlink /proc/self/ns/$ns) = \
                  $(readlink /proc/2/ns/$ns) ] && echo same; done";
    let output = bundle.exec(script).await;
    bundle.end(container).await;
    let map = format!(" 0 {FIRST} 65536");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..4], ["7", "8", &map, "sleep"], "{output}");
    let rights = ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"];
    assert_eq!(lines[4..7], rights, "{output}");
    assert_eq!(lines[7..], ["same"; 4], "{output}");
}
