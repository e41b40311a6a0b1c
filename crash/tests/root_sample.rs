//! Some of the fail points, in every run of the tests: the lane `failpoints` tries all.

use std::process::Command;

/// One of each kind of step: a file, a journal, a network, a process, a container's end, what is told of it, and
/// an executor's task.
const SOME: &[&str] = &[
    "CheckpointWritten",
    "JournalCut",
    "PairMade",
    "Spawned",
    "Released",
    "Acknowledged",
    "HandOverWritten",
];

#[test]
fn root_whoever_comes_after_an_agent_that_died_brings_everything_to_its_end() {
    let crash = Command::new(env!("CARGO_BIN_EXE_crash"))
        .arg("sample")
        .args(SOME)
        .output();
    let crash = crash.unwrap();
    let said = String::from_utf8_lossy(&crash.stdout);
    assert!(crash.status.success(), "{said}");
    let all = SOME.len();
    let wanted = format!("{all} tried, {all} reached, 0 points not reached, 0 failed");
    assert!(said.contains(&wanted), "{said}");
}
