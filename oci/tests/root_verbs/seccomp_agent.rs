//! SCMP_ACT_NOTIFY, with an agent that answers. It needs perl, which can make any system call.
#![cfg(target_arch = "x86_64")]

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};
use std::thread::{JoinHandle, spawn};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use crate::support::Bundle;

/// Lets mkdir (83) succeed without making anything, and lets the kernel do what else it is asked about.
/// struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
const ANSWERS: &str = r#"
    while (1) {
        my $asked = "\0" x 80;
        ioctl(STDIN, 0xc0502100, $asked) or exit;
        my ($id, $pid, $flags, $number) = unpack("Q L L l", $asked);
        my $answer = pack("Q q l L", $id, 0, 0, $number == 83 ? 0 : 1);
        ioctl(STDIN, 0xc0182101, $answer) or exit;
    }
"#;

/// What the agent was told, and the program that answers.
type Told = (Value, Answering);

/// It is ended with the test.
struct Answering(Child);

impl Drop for Answering {
    fn drop(&mut self) {
        // It can only be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes one listener after another.
fn agent(bundle: &Bundle, listeners: usize) -> JoinHandle<Vec<Told>> {
    let socket = UnixListener::bind(bundle.path("agent")).expect("binds");
    spawn(move || (0..listeners).map(|_| take(&socket)).collect())
}

fn take(socket: &UnixListener) -> Told {
    let (connection, _) = socket.accept().expect("is connected to");
    let mut text = [0; 8192];
    let mut parts = [IoSliceMut::new(&mut text)];
    let mut space = cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let from = connection.as_raw_fd();
    let message = recvmsg::<()>(from, &mut parts, Some(&mut space), flags).expect("receives");
    let control = message.cmsgs().expect("is whole").next();
    let length = message.bytes;
    let Some(ControlMessageOwned::ScmRights(descriptors)) = control else {
        panic!("no descriptor: {control:?}")
    };
    let told = serde_json::from_slice(&text[..length]).expect("JSON");
    let listener = containerizer::received(descriptors[0]).expect("is ours");
    let answering = Command::new("perl")
        .args(["-e", ANSWERS])
        .stdin(listener)
        .spawn();
    (told, Answering(answering.expect("starts")))
}

/// A spec that asks about mkdir and these.
fn ask(bundle: &Bundle, more: &[&str]) {
    let names: Vec<&str> = ["mkdir"].iter().chain(more).copied().collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": bundle.path("agent"),
        "listenerMetadata": "of the test",
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
    });
    bundle.set("linux/seccomp", profile);
}

const SCRIPT: &str = "busybox mkdir /nowhere/at/all && ! busybox test -e /nowhere && echo answered";

#[test]
fn root_an_agent_answers_for_the_kernel() {
    // The first takes CAP_SYS_ADMIN, which is given up after the filter is installed.
    for (name, no_new_privileges) in [("notify-new", false), ("notify-none", true)] {
        let bundle = Bundle::new(name, SCRIPT);
        // Also about what comes between the filter and the command.
        ask(
            &bundle,
            &["capset", "execve", "close", "read", "openat", "sendto"],
        );
        bundle.set("process/noNewPrivileges", json!(no_new_privileges));
        let agent = agent(&bundle, 1);
        assert_eq!(bundle.output(&["run", &bundle.id]), "answered\n");
        let told = agent.join().expect("is told");
        let (told, _answering) = &told[0];
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "of the test");
        assert_eq!(told["state"]["id"], bundle.id.as_str());
        assert_eq!(told["state"]["status"], "creating");
        assert_eq!(told["state"]["pid"], told["pid"]);
    }
}

#[test]
fn root_an_agent_is_told_of_a_start_and_of_each_exec() {
    let bundle = Bundle::new("notify-start", "sleep 1000");
    ask(&bundle, &["capset", "execve"]);
    let agent = agent(&bundle, 2);
    bundle.output(&["create", &bundle.id]);
    bundle.output(&["start", &bundle.id]);
    let pid = bundle.state()["pid"].clone();
    let said = bundle.output(&["exec", &bundle.id, "sh", "-c", SCRIPT]);
    assert_eq!(said, "answered\n");
    let told = agent.join().expect("is told");
    let (start, exec) = (&told[0].0, &told[1].0);
    assert_eq!(
        (&start["pid"], &start["state"]["status"]),
        (&pid, &json!("created"))
    );
    assert_eq!(
        (&exec["state"]["pid"], &exec["state"]["status"]),
        (&pid, &json!("running"))
    );
    assert_ne!(exec["pid"], pid);
}

#[test]
fn root_nothing_runs_that_nobody_would_answer() {
    const WORDS: &str = "failed to connect with seccomp agent specified in the seccomp profile";
    let bundle = Bundle::new("notify-nobody", "sleep 1000");
    ask(&bundle, &[]);
    bundle.call(&["run", &bundle.id]).refuses(WORDS);
    bundle.output(&["create", &bundle.id]);
    bundle.call(&["start", &bundle.id]).refuses(WORDS);
    assert_eq!(bundle.state()["status"], "created");
    // It can be tried again.
    let agent = agent(&bundle, 1);
    bundle.output(&["start", &bundle.id]);
    assert_eq!(bundle.state()["status"], "running");
    drop(agent.join().expect("is told"));
}
