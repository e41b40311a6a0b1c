//! One running `longshore`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::PATIENCE;

/// Killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// `arguments` start with the subcommand. Output is appended to `<name>.log` in `directory`.
    pub fn start(name: &str, arguments: &[String], directory: &Path) -> Self {
        Self::start_from(&longshore(), name, arguments, directory)
    }

    /// The same, from another place.
    pub fn start_from(program: &Path, name: &str, arguments: &[String], directory: &Path) -> Self {
        let log = Self::log(name, directory);
        let stdout = log.try_clone().unwrap();
        Self::spawn(program, name, arguments, directory, stdout, log)
    }

    /// The same, but its stdout goes elsewhere.
    pub fn start_into(
        stdout: impl Into<Stdio>,
        name: &str,
        arguments: &[String],
        directory: &Path,
    ) -> Self {
        let log = Self::log(name, directory);
        Self::spawn(&longshore(), name, arguments, directory, stdout, log)
    }

    fn log(name: &str, directory: &Path) -> File {
        let path = directory.join(format!("{name}.log"));
        let mut append = File::options();
        append.create(true).append(true).open(path).unwrap()
    }

    fn spawn(
        program: &Path,
        name: &str,
        arguments: &[String],
        directory: &Path,
        stdout: impl Into<Stdio>,
        stderr: File,
    ) -> Self {
        let log = directory.join(format!("{name}.log"));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {} {arguments:?}: {error}", program.display())
            });
        Self { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Whether it has not ended yet.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end, without hurrying it.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let late = Instant::now() > deadline;
            assert!(
                !late,
                "still running after {PATIENCE:?}:\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it has printed the text; gives all of its output.
    pub async fn says(&self, text: &str) -> String {
        crate::eventually(&format!("the program says {text:?}"), || async {
            let output = self.output();
            if output.contains(text) {
                Ok(output)
            } else {
                Err(output)
            }
        })
        .await
    }

    /// Gives it no chance to tidy up.
    pub fn kill(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // Shown by the test framework, with the failure.
            let lines = self.output();
            let tail: Vec<_> = lines.lines().rev().take(25).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            #[expect(
                clippy::print_stderr,
                reason = "evidence for whoever reads the failure"
            )]
            {
                eprintln!("--- end of {}\n{}", self.log.display(), tail.join("\n"));
            }
        }
    }
}

/// The program under test: `LONGSHORE_BIN`, or the one that Cargo built beside this test.
pub fn longshore() -> PathBuf {
    if let Some(named) = std::env::var_os("LONGSHORE_BIN") {
        return named.into();
    }
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("longshore");
    assert!(
        built.is_file(),
        "no {}: run `cargo build --bin longshore`",
        built.display()
    );
    built
}
