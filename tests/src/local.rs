//! A cluster in one process: `longshore up` and `longshore run`.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::audit::nothing_differs;
use crate::eventually;
use crate::host;
use crate::http::{Service, free_port};
use crate::program::Program;

/// Directories, ports and cgroups of their own, for one program after the other.
#[derive(Debug)]
pub struct Local {
    pub scheduler: Service,
    pub cgroups_root: String,
    ports: [u16; 2],
    directory: tempfile::TempDir,
}

impl Local {
    /// `name` is unique among the tests of one program.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("longshore-test-")
            .tempdir_in("/var/tmp")
            .unwrap();
        Self {
            scheduler: Service::at(free_port()),
            cgroups_root: format!("longshore-test-{}-{name}", std::process::id()),
            ports: [free_port(), free_port()],
            directory,
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the agent answers.
    pub fn agent(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// `words` are the subcommand and what belongs to it.
    pub fn start(&self, words: &[&str]) -> Program {
        Program::start(words[0], &self.arguments(words), self.directory())
    }

    /// The same, but its stdout goes elsewhere.
    pub fn start_into(&self, stdout: impl Into<Stdio>, words: &[&str]) -> Program {
        Program::start_into(stdout, words[0], &self.arguments(words), self.directory())
    }

    fn arguments(&self, words: &[&str]) -> Vec<String> {
        let place = self.directory.path().display();
        let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend([
            format!("--work_dir={place}/work"),
            format!("--runtime_dir={place}/run"),
            format!("--cgroups_root={}", self.cgroups_root),
            format!("--http_port={}", self.scheduler.port()),
            format!("--master_port={}", self.ports[0]),
            format!("--agent_port={}", self.ports[1]),
        ]);
        arguments
    }

    /// An app in a file of its own.
    pub fn file(&self, name: &str, app: &serde_json::Value) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, app.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn processes(&self) -> std::collections::BTreeSet<i32> {
        host::processes(&host::cgroups(&self.cgroups_root))
    }

    /// Waits until no container, process or mount is there, and all else is as it is recorded.
    /// Takes its apps away, waits for their tasks, and ends `longshore up`.
    pub async fn ends(&self, mut up: Program, apps: &[&str]) {
        for app in apps {
            let removed = self.scheduler.delete(&format!("/v2/apps{app}")).await;
            assert_eq!(removed.status, 200, "{}", removed.text);
        }
        eventually("all tasks have ended", || async {
            match self.processes().is_empty() {
                true => Ok(()),
                false => Err("some run".to_owned()),
            }
        })
        .await;
        up.signal(Signal::SIGINT);
        up.wait();
        self.nothing_left().await;
    }

    pub async fn nothing_left(&self) {
        let place = self.directory.path();
        eventually("nothing is left on the host", || async {
            host::nothing_left(&self.cgroups_root, place)
        })
        .await;
        // Where `up` has its agent, and `run`.
        for below in ["", "/run"] {
            let agent = [
                "agent".to_owned(),
                format!("--work_dir={}/work{below}", place.display()),
                format!("--runtime_dir={}/run{below}", place.display()),
                format!("--cgroups_root={}", self.cgroups_root),
            ];
            eventually("an audit finds nothing", || nothing_differs(&agent)).await;
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        host::remove_all(&self.cgroups_root);
    }
}
