//! /dev.

use serde_json::json;

use crate::support::Bundle;

#[tokio::test]
async fn root_every_container_has_the_default_devices_and_links() {
    let bundle = Bundle::new("devices");
    let script = "cd /dev; stat -c '%n %F %t:%T %a %u:%g' full null random tty urandom zero; \
                  for link in fd stdin stdout stderr ptmx; do readlink $link; done";
    let expected = "full character special file 1:7 666 0:0\n\
                    null character special file 1:3 666 0:0\n\
                    random character special file 1:8 666 0:0\n\
                    tty character special file 5:0 666 0:0\n\
                    urandom character special file 1:9 666 0:0\n\
                    zero character special file 1:5 666 0:0\n\
                    /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx";
    let process = json!({"process": {"user": {"uid": 0, "gid": 0, "umask": 0o77}}});
    assert_eq!(bundle.output(process, script).await, expected);
}

#[tokio::test]
async fn root_devices_of_the_spec_are_made_exactly_and_once() {
    let bundle = Bundle::new("asked");
    let device = |path: &str, kind: &str, major: i64, minor: i64| {
        json!({"path": path, "type": kind, "major": major, "minor": minor,
               "fileMode": 0o604, "uid": 3, "gid": 4})
    };
    let devices = [
        device("/dev/null", "c", 1, 3),
        device("/dev/deep/er/block", "b", 7, 99),
        device("/dev/pipe", "p", 0, 0),
        device("/dev/unbuffered", "u", 1, 5),
    ];
    let script = "cd /dev; stat -c '%n %F %t:%T %a %u:%g' null deep/er/block pipe unbuffered";
    let expected = "null character special file 1:3 604 3:4\n\
                    deep/er/block block special file 7:63 604 3:4\n\
                    pipe fifo 0:0 604 3:4\n\
                    unbuffered character special file 1:5 604 3:4";
    let patch = json!({"linux": {"devices": devices}});
    assert_eq!(bundle.output(patch, script).await, expected);
}

#[tokio::test]
async fn root_a_device_that_is_there_stays_and_another_file_is_an_error() {
    let bundle = Bundle::new("there");
    let dev = bundle.directory("dev");
    let zero = dev.join("mine");
    let mode = nix::sys::stat::Mode::from_bits_retain(0o600);
    let number = nix::sys::stat::makedev(1, 5);
    let kind = nix::sys::stat::SFlag::S_IFCHR;
    nix::sys::stat::mknod(&zero, kind, mode, number).expect("makes");
    let patch = |minor: i64| {
        json!({
            "mounts": [{"destination": "/dev/dir", "type": "bind", "source": dev, "options": ["bind"]}],
            "linux": {"devices": [{"path": "/dev/dir/mine", "type": "c", "major": 1, "minor": minor}]},
        })
    };
    assert_eq!(
        bundle
            .output(patch(5), "stat -c '%t:%T %a' /dev/dir/mine")
            .await,
        "1:5 600"
    );
    assert_eq!(
        bundle.refusal(patch(3)).await,
        "cannot make device /dev/dir/mine in the container: File exists (os error 17)"
    );
}

#[tokio::test]
async fn root_a_dev_that_the_spec_brings_is_left_alone() {
    let bundle = Bundle::new("brought");
    let dev = bundle.directory("dev");
    let patch = json!({"mounts": [
        {"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]},
    ]});
    assert_eq!(bundle.output(patch, "ls /dev").await, "file");
}

#[tokio::test]
async fn root_pseudo_terminals_queues_and_shared_memory_are_the_containers_own() {
    let bundle = Bundle::new("pts");
    let patch = json!({"mounts": [
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
    ]});
    let script = "ls /dev/pts; stat -c '%a' /dev/ptmx /dev/pts/ptmx /dev/shm; \
                  grep -E ' /dev/(pts|shm|mqueue) ' /proc/mounts | sort; : <>/dev/ptmx && echo opens";
    let output = bundle.output(patch, script).await;
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..4], ["ptmx", "777", "666", "1777"], "{output}");
    assert!(lines[4].contains("gid=5,mode=620,ptmxmode=666"), "{output}");
    let queues = "mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec";
    assert!(lines[5].starts_with(queues), "{output}");
    let shared = "shm /dev/shm tmpfs rw,nosuid,nodev,noexec";
    assert!(lines[6].starts_with(shared), "{output}");
    assert!(lines[6].contains("size=65536k"), "{output}");
    assert_eq!(lines[7], "opens");
}
