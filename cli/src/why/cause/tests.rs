use proto::task::ended;
use proto::v1::TaskState::{
    TaskDropped, TaskFailed, TaskFinished, TaskGone, TaskKilled, TaskKilling, TaskLost,
    TaskRunning, TaskStarting,
};

use super::super::story::tests::{event, story};
use super::*;

fn told_of(state: TaskState, reason: Option<Reason>, message: &str) -> String {
    let mut last = event(state, 1.0);
    last.reason = reason;
    last.message = Some(message.to_owned());
    cause(&story(vec![last])).unwrap_or_default()
}

fn ended_by(ending: Ending) -> String {
    told_of(TaskFailed, None, &ended(ending))
}

#[test]
fn a_task_without_memory_hears_its_limit_and_peak_and_what_grew() {
    let mut failed = event(TaskFailed, 1.0);
    failed.reason = Some(Reason::ContainerLimitationMemory);
    failed.message = Some(
        "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB; the kernel killed process 42 \
         (python3)"
            .to_owned(),
    );
    failed.peak = Some(63.99);
    assert_eq!(
        cause(&story(vec![failed.clone()])).unwrap(),
        "It used up to 64 MB, and all of its processes together may use 64 MB: its own, \
         and what an agent adds for an executor. Raise \"mem\" in the app, or look for what grows in \
         process 42 (python3)."
    );
    failed.message = Some(
        "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB; the kernel killed process 42 \
         (sh); files in memory (tmpfs, /dev/shm) took 60MB of it"
            .to_owned(),
    );
    let said = cause(&story(vec![failed.clone()])).unwrap();
    assert!(said.contains("60 MB of it are files"), "{said}");
    assert!(said.ends_with("what grows in process 42 (sh)."), "{said}");
    failed.message = Some(
        "Memory limit exceeded: the task has no limit of its own, its group or the host ran out of \
         memory: Maximum Used: 64MB"
            .to_owned(),
    );
    let said = cause(&story(vec![failed])).unwrap();
    assert!(
        said.contains("its group, or the host, had no memory left"),
        "{said}"
    );
}

#[test]
fn a_launch_that_failed_hears_the_launchers_own_hint() {
    let reason = Some(Reason::ContainerLaunchFailed);
    let said = told_of(
        TaskFailed,
        reason,
        "Failed to launch container: cannot run \"x(y z)\" in /s: command not found (check its \
         spelling): No such file or directory (os error 2)",
    );
    assert_eq!(
        said,
        "Its command never ran, for its container could not be made: check its spelling."
    );
    let said = told_of(TaskFailed, reason, "Failed to launch container: no user");
    assert!(said.contains("mend what the message names"), "{said}");
}

#[test]
fn who_requested_a_kill_is_said_as_far_as_it_is_known() {
    let by = |ending| told_of(TaskKilled, None, &ended(ending));
    for said in [
        by(Ending::Signaled(15)),
        by(Ending::Exited(0)),
        by(Ending::Signaled(9)),
        told_of(TaskKilling, None, ""),
        told_of(TaskKilled, Some(Reason::TaskKilledDuringLaunch), ""),
    ] {
        assert!(
            said.contains("who asked the framework is not recorded"),
            "{said}"
        );
    }
    for (link, words) in [
        (
            "its agent was told to end all of its tasks",
            "Nobody meant this task",
        ),
        (
            "the kill was requested before its agent was restarted",
            "restarted meanwhile",
        ),
    ] {
        for (reason, message) in [
            (None, ended(Ending::Signaled(15))),
            (
                Some(Reason::TaskKilledDuringLaunch),
                "A kill was requested".to_owned(),
            ),
        ] {
            let said = told_of(TaskKilled, reason, &format!("{message}; {link}"));
            assert!(said.contains(words), "{said}");
            assert!(!said.contains("Its framework did that"), "{said}");
        }
    }
    assert!(by(Ending::Signaled(9)).contains("taskKillGracePeriodSeconds"));
    assert!(!by(Ending::Signaled(15)).contains("SIGKILL"));
}

#[test]
fn the_statuses_of_shells_are_explained() {
    assert!(ended_by(Ending::Exited(126)).contains("may not be executed"));
    assert!(ended_by(Ending::Exited(127)).contains("PATH"));
    assert!(ended_by(Ending::Exited(7)).contains("status 7 by itself"));
    assert!(ended_by(Ending::Exited(255)).contains("status 255 by itself"));
}

#[test]
fn every_signal_is_named_whether_it_ended_a_shell_or_its_command() {
    for (signal, what) in SIGNALS {
        let number = *signal as i32;
        let name = format!("ended by {signal} (signal {number}): {what}.");
        for ending in [Ending::Signaled(number), Ending::Exited(128 + number)] {
            let said = ended_by(ending);
            assert!(said.contains(&name), "{said}");
        }
    }
    let in_shell = ended_by(Ending::Exited(128 + Signal::SIGSYS as i32));
    assert!(in_shell.ends_with("dmesg | grep type=1326."), "{in_shell}");
    let said = ended_by(Ending::Signaled(34));
    assert!(said.contains("by signal 34: "), "{said}");
}

#[test]
fn a_message_that_says_more_is_explained_further() {
    let said = |words: &str| told_of(TaskFailed, None, words);
    let fault = |address: &str| {
        said(&format!(
            "Command terminated with signal Segmentation fault; the kernel saw a segfault at \
             {address} when it read, in the code of perl"
        ))
    };
    assert!(fault("0x8").ends_with("it followed a pointer that was null."));
    assert!(!fault("0x7fb86d985ad8").contains("null"));
    let unseen = said("Command terminated with signal Terminated; who sent it is not known");
    assert!(
        unseen.ends_with("the container's first process."),
        "{unseen}"
    );
    let seen = said("Command terminated with signal Terminated; sent by the kernel");
    assert!(!seen.contains("Nobody saw"), "{seen}");
}

#[test]
fn every_reason_has_its_own_words() {
    let said: Vec<_> = REASONS
        .iter()
        .map(|(reason, _)| told_of(TaskFailed, Some(*reason), "so"))
        .collect();
    for (n, words) in said.iter().enumerate() {
        assert!(words.ends_with('.'), "{words}");
        assert!(!said[..n].contains(words), "{words}");
    }
}

#[test]
fn a_task_that_nobody_saw_end_hears_that_its_agent_was_away() {
    for state in [TaskLost, TaskDropped, TaskGone] {
        assert_eq!(told_of(state, None, ""), AWAY);
        let restarted = told_of(state, Some(Reason::AgentRestarted), "");
        assert!(restarted.contains("was restarted"), "{restarted}");
    }
    let reason = Some(Reason::ExecutorReregistrationTimeout);
    let gone = told_of(TaskGone, reason, "");
    assert!(gone.contains("gone when it came back"), "{gone}");
}

#[test]
fn what_goes_well_needs_no_cause() {
    for state in [TaskStarting, TaskRunning] {
        assert_eq!(told_of(state, None, ""), "");
    }
    assert!(told_of(TaskFinished, None, "").contains("and well"));
    let unknown = told_of(TaskFailed, None, "something else");
    assert_eq!(unknown, "", "what is not known is not made up");
}
