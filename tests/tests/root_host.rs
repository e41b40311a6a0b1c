//! What the root lanes stand on.

use std::fs;

/// When this fails, so will others, for reasons that are harder to read.
#[test]
fn root_the_host_has_what_the_tests_need() {
    assert!(nix::unistd::geteuid().is_root());
    for file in [
        "/bin/bash",
        "/bin/sh",
        "/proc/self/ns/cgroup",
        "/dev/null",
        "/dev/fd",
    ] {
        assert!(fs::metadata(file).is_ok(), "{file} is missing");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        mounts.contains(" - cgroup"),
        "no cgroup hierarchy is mounted:\n{mounts}"
    );
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap();
    for needed in ["tmpfs", "proc", "devpts", "mqueue"] {
        assert!(
            file_systems.contains(needed),
            "no {needed}:\n{file_systems}"
        );
    }
}
