//! A hostile container that runs, and what came of it.

use std::path::PathBuf;

use containerizer::{Command, Container, ExitStatus, Target};

use crate::field::{self, Field, PATIENCE};
use crate::trouble::{Trouble, chain};

/// What became of a launch, or of a command that was to join a container.
#[derive(Debug)]
pub enum Outcome {
    /// Why. Nothing has run.
    Refused(String),
    Ended(Ended),
}

#[derive(Debug)]
pub struct Ended {
    pub status: Option<ExitStatus>,
    /// Of both streams.
    pub output: Vec<u8>,
}

pub enum Launched<'a> {
    Refused(String),
    Running(Running<'a>),
}

/// Killed when dropped.
pub struct Running<'a> {
    field: &'a Field,
    container: Container,
    output: PathBuf,
}

/// What a script says at its end: one that was cut short has proved nothing.
pub const FINISHED: &str = "finished";
/// What a line begins with that tells what was reached.
const REACHED: &str = "! ";

impl Outcome {
    /// What the hostile program says that it has reached. Nothing, when it was refused.
    pub fn reached(self) -> Result<Vec<String>, Trouble> {
        match self {
            Self::Refused(_why) => Ok(Vec::new()),
            Self::Ended(ended) => ended.reached(),
        }
    }

    /// Errors: `NotLaunched`.
    pub fn ended(self) -> Result<Ended, Trouble> {
        match self {
            Self::Refused(why) => Err(Trouble::NotLaunched(why)),
            Self::Ended(ended) => Ok(ended),
        }
    }
}

impl Ended {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Of a script. Errors: `CutShort`.
    pub fn reached(&self) -> Result<Vec<String>, Trouble> {
        let text = self.text();
        if text.lines().last() != Some(FINISHED) {
            return Err(Trouble::CutShort(text));
        }
        let reached = text.lines().filter_map(|line| line.strip_prefix(REACHED));
        Ok(reached.map(str::to_owned).collect())
    }
}

impl<'a> Launched<'a> {
    /// Errors: `NotLaunched`.
    pub fn running(self) -> Result<Running<'a>, Trouble> {
        match self {
            Self::Refused(why) => Err(Trouble::NotLaunched(why)),
            Self::Running(running) => Ok(running),
        }
    }
}

impl<'a> Running<'a> {
    pub fn new(field: &'a Field, container: Container, output: PathBuf) -> Self {
        Self {
            field,
            container,
            output,
        }
    }

    /// Host pid of its first process.
    pub fn pid(&self) -> u32 {
        self.container.pid()
    }

    /// Until it ends by itself.
    pub fn wait(self) -> Result<Ended, Trouble> {
        let runtime = self.field.runtime();
        let waited =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, self.container.wait()).await });
        let late = |_elapsed| Trouble::Late(PATIENCE.as_secs());
        let status = waited.map_err(late)?.status;
        field::ended(&self.output, status)
    }

    /// Ends it.
    pub fn kill(self) -> Result<Ended, Trouble> {
        self.container.kill();
        self.wait()
    }

    /// What it has said so far.
    pub fn said(&self) -> Result<String, Trouble> {
        field::ended(&self.output, None).map(|ended| ended.text())
    }

    /// Waits until it has said it.
    pub fn until_said(&self, text: &str) -> Result<(), Trouble> {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.said()?.contains(text) {
            if std::time::Instant::now() > deadline {
                return Err(Trouble::CutShort(self.said()?));
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    /// Another command in it.
    pub fn exec(&self, command: &Command) -> Result<Outcome, Trouble> {
        let config = self.field.config();
        let target = Target::find(
            &config.runtime_dir,
            &config.cgroups_hierarchy,
            self.container.id(),
        );
        let target = match target {
            Ok(target) => target,
            Err(error) => return Ok(Outcome::Refused(chain(&error))),
        };
        let output = self.field.output()?;
        let stdio = field::stdio(&output)?;
        let executed = self.field.runtime().block_on(async {
            tokio::time::timeout(PATIENCE, async {
                let execution = target.exec(command, stdio).await?;
                Ok::<i32, containerizer::LaunchError>(execution.wait().await)
            })
            .await
        });
        match executed {
            Ok(Ok(status)) => {
                field::ended(&output, Some(ExitStatus::Exited(status))).map(Outcome::Ended)
            }
            Ok(Err(error)) => Ok(Outcome::Refused(chain(&error))),
            Err(_elapsed) => Err(Trouble::Late(PATIENCE.as_secs())),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.container.kill();
        self.field.runtime().block_on(self.container.wait());
        self.container.forget();
    }
}

/// A shell script as a command that joins a container.
pub fn script(text: &str) -> Command {
    Command {
        args: ["/bin/sh", "-c", &finishing(text)]
            .map(str::to_owned)
            .to_vec(),
        ..Command::default()
    }
}

/// A script that says when it has come to its end.
pub fn finishing(text: &str) -> String {
    format!("{text}\necho {FINISHED}")
}
