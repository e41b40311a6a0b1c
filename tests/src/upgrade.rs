//! An agent that is upgraded in place: by `longshore upgrade`, with whatever lies where its program was.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::cluster::{Agent, Cluster};
use crate::program::longshore;

/// What `longshore upgrade` came to.
#[derive(Debug, Clone)]
pub struct Answer {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Cluster {
    /// One agent, whose program is its own: others may be put in its place.
    pub async fn start_upgradable() -> Self {
        let mut cluster = Self::start(1).await;
        cluster.agents[0].move_to_its_own_program().await;
        cluster.registered(1).await;
        cluster
    }
}

impl Agent {
    async fn move_to_its_own_program(&mut self) {
        self.kill();
        self.executable = self.directory().join("longshore");
        self.install();
        // However slow the machine is.
        self.set_flag("upgrade_timeout", "10mins");
        self.start().await;
    }

    /// Starts it again, so that it waits no longer for a new program.
    pub async fn upgrade_timeout(&mut self, seconds: u32) {
        self.kill();
        self.set_flag("upgrade_timeout", &format!("{seconds}secs"));
        self.start().await;
    }

    /// The real program, in the place of whatever lies there.
    pub fn install(&self) {
        self.replace(|place| symlink(longshore(), place).unwrap());
    }

    /// A shell script, likewise; `$REAL` is the real program in it.
    pub fn install_script(&self, script: &str) {
        let real = longshore();
        let text = format!("#!/bin/sh\nREAL={}\n{script}\n", real.display());
        self.replace(|place| {
            std::fs::write(place, text).unwrap();
            std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755)).unwrap();
        });
    }

    /// The real program, but that one of its flags says something else.
    pub fn install_with(&self, flag: &str, value: &str) {
        let change = format!("case \"$word\" in --{flag}=*) word=--{flag}={value};; esac");
        let words = format!("for word; do shift; {change}; set -- \"$@\" \"$word\"; done");
        self.install_script(&format!("{words}; exec \"$REAL\" \"$@\""));
    }

    /// As an installation does it: what runs keeps its file.
    pub fn replace(&self, put: impl FnOnce(&Path)) {
        let new = self.executable.with_extension("new");
        put(&new);
        std::fs::rename(&new, &self.executable).unwrap();
    }

    pub async fn upgrade(&self) -> Answer {
        let output = Command::new(longshore())
            .arg("upgrade")
            .args(&self.arguments()[1..])
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Answer {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Asks for an upgrade that must not come about, and gives the reason that is told.
    pub async fn upgrade_fails(&self) -> String {
        let answer = self.upgrade().await;
        assert!(!answer.success, "{answer:?}");
        answer.stderr
    }

    /// Waits until the agent's log says so.
    pub async fn logs(&self, text: &str) {
        self.program().says(text).await;
    }

    /// The process that has its directories.
    pub fn holder(&self) -> i32 {
        let lock = self.directory().join("run/runtime.lock");
        let text = std::fs::read_to_string(lock).unwrap();
        text.trim().parse().unwrap()
    }
}
