//! Descriptors that callers are sent.

use std::io::{IoSliceMut, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::support::Bundle;

/// The number of the process behind the descriptor that comes next.
fn process_sent_to(listener: &UnixListener) -> String {
    let (socket, _) = listener.accept().expect("is connected to");
    let mut name = [0; 64];
    let mut parts = [IoSliceMut::new(&mut name)];
    let mut space = cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags);
    let message = message.expect("receives");
    let control = message.cmsgs().expect("is whole").next();
    let Some(ControlMessageOwned::ScmRights(descriptors)) = control else {
        panic!("no descriptor: {control:?}")
    };
    let mut info = String::new();
    let path = format!("/proc/self/fdinfo/{}", descriptors[0]);
    let mut file = std::fs::File::open(path).expect("it is ours");
    file.read_to_string(&mut info).expect("reads");
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.expect("a pidfd").trim().to_owned()
}

#[test]
fn root_a_pidfd_is_sent_of_what_is_made() {
    let bundle = Bundle::new("pidfd", "sleep 1000");
    let path = bundle.path("pidfd.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    let socket = path.to_str().expect("utf-8");
    bundle.output(&["create", "--pidfd-socket", socket, &bundle.id]);
    let first = bundle.state()["pid"].to_string();
    assert_eq!(process_sent_to(&listener), first);
    bundle.output(&["start", &bundle.id]);

    let pid_file = bundle.path("pid");
    let pid_path = pid_file.to_str().expect("utf-8");
    bundle.output(&[
        "exec",
        "-d",
        "--pidfd-socket",
        socket,
        "--pid-file",
        pid_path,
        &bundle.id,
        "sleep",
        "1000",
    ]);
    let pid = std::fs::read_to_string(pid_file).expect("is written");
    assert_eq!(process_sent_to(&listener), pid);
    assert_ne!(pid, first);
}

#[test]
fn root_a_user_may_open_the_pipes_anew_that_it_writes_to_and_no_file_changes_hands() {
    let bundle = Bundle::new("pipes", "echo out >/dev/stdout; echo err >/dev/stderr");
    bundle.set(
        "process/user",
        serde_json::json!({"uid": 1000, "gid": 1000}),
    );
    let done = bundle.command(&["run", &bundle.id]).output().expect("runs");
    assert_eq!(
        (&done.stdout[..], &done.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
    bundle.set("process/args", serde_json::json!(["sleep", "1000"]));
    bundle.run_detached();
    let words = ["exec", &bundle.id, "sh", "-c", "echo in >/dev/stdout"];
    let done = bundle.command(&words).output().expect("runs");
    assert_eq!(done.stdout, b"in\n");
    bundle.call(&words).refuses("");
    let owner = std::fs::metadata(bundle.path("out"))
        .expect("is there")
        .uid();
    assert_eq!(owner, 0);
}
