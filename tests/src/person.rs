//! Somebody who sits at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::unistd::ttyname;

use crate::PATIENCE;

/// The user's terminal: what its programs hold, and the end that a person would sit at.
pub struct Terminal {
    slave: OwnedFd,
    path: PathBuf,
    person: File,
    shown: String,
}

impl Terminal {
    pub fn open() -> Terminal {
        let pair = openpty(None, None).unwrap();
        Terminal {
            path: ttyname(&pair.slave).unwrap(),
            slave: pair.slave,
            person: pair.master.into(),
            shown: String::new(),
        }
    }

    pub fn resize(&self, rows: &str, columns: &str) {
        let size = ["rows", rows, "cols", columns];
        let stty = Command::new("stty")
            .arg("-F")
            .arg(&self.path)
            .args(size)
            .status();
        assert!(stty.unwrap().success());
    }

    pub fn stream(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    pub fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }

    pub fn shows(&mut self, text: &str) {
        let mut bytes = [0; 1024];
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        while !self.shown.contains(text) {
            let mut waiting = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut waiting, patience).unwrap();
            assert!(ready > 0, "{text:?} was not shown: {}", self.shown);
            let read = self.person.read(&mut bytes).unwrap();
            assert!(read > 0, "{text:?} was not shown: {}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
}
