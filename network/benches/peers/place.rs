//! Network namespaces, and what is done in them.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;

use network::{Namespace, Rates, route_socket};
use nix::sched::{CloneFlags, setns, unshare};

pub struct Place {
    pub namespace: OwnedFd,
    route: Option<OwnedFd>,
}

/// Of iproute2.
pub fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status();
    assert!(status.unwrap().success(), "ip {words:?}");
}

/// What a command says, if it ends well.
pub fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.ok().filter(|it| it.status.success())?;
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

impl Place {
    pub fn new() -> Self {
        let body = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            Self {
                namespace: File::open("/proc/thread-self/ns/net").unwrap().into(),
                route: Some(route_socket().unwrap()),
            }
        };
        thread::spawn(body).join().unwrap()
    }

    /// That of a process.
    pub fn of(pid: &str) -> Self {
        Self {
            namespace: File::open(format!("/proc/{pid}/ns/net")).unwrap().into(),
            route: None,
        }
    }

    /// Another host, 192.0.2.2, with a cable to this one, 192.0.2.1.
    pub fn outside() -> Self {
        let place = Self::new();
        let peer = place.path();
        ip(&[
            "link", "add", "cable", "type", "veth", "peer", "name", "far", "netns", &peer,
        ]);
        ip(&["addr", "add", "192.0.2.1/24", "dev", "cable"]);
        ip(&["link", "set", "cable", "up"]);
        place.within(|| {
            ip(&["addr", "add", "192.0.2.2/24", "dev", "far"]);
            ip(&["link", "set", "far", "up"]);
        });
        place
    }

    /// For other programs, while this one lives.
    pub fn path(&self) -> String {
        let fd = self.namespace.as_raw_fd();
        format!("/proc/{}/fd/{fd}", std::process::id())
    }

    pub fn inside(&mut self) -> Namespace<'_> {
        Namespace {
            route: self.route.take().unwrap(),
            namespace: self.namespace.as_fd(),
            rates: Rates::default(),
        }
    }

    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let body = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(body).join().unwrap())
    }
}
