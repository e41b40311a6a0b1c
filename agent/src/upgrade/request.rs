//! Asks the agent of this node to upgrade itself, and waits for what comes of that.

use std::path::PathBuf;
use std::time::Duration;

use containerizer::Identity;
use nix::libc::SIGHUP;
use tokio::time::{Instant, sleep};

use super::outcome::{Outcome, OutcomeError, State};
use crate::flags::Flags;
use crate::lock::holder_of;

/// Between two looks at how it goes.
const PAUSE: Duration = Duration::from_millis(20);

/// For an agent that has much to do, until it hears of it.
const HEARING: Duration = Duration::from_secs(30);

/// For what an agent bounds itself: launches, two words of the new program, and going on without it.
fn patience(flags: &Flags) -> Duration {
    flags.executor_registration_timeout + flags.upgrade_timeout * 2 + 6 * HEARING
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("no agent runs here with --runtime_dir={}", .0.display())]
    NoAgent(PathBuf),
    #[error(
        "process {agent} has --runtime_dir={} and cannot be upgraded in place: it is no `longshore \
         agent` of its own, as in `longshore up` or `run`, or an older one. Stop it and start the new \
         program: tasks outlive that",
        .runtime_dir.display()
    )]
    Unable { agent: u32, runtime_dir: PathBuf },
    #[error("an upgrade of the agent, process {0}, is under way already")]
    Underway(u32),
    #[error("the agent, process {0}, does not come to an end with the upgrade: see its log")]
    Endless(u32),
    #[error("cannot ask process {agent} for an upgrade")]
    Ask { agent: u32, source: std::io::Error },
    #[error(
        "process {0} does not hear that it is to upgrade itself: is it busy, or stopped? See its log"
    )]
    Deaf(u32),
    #[error(
        "the agent, process {0}, died in the middle of the upgrade: start it again, and see its log"
    )]
    Died(u32),
    #[error("the agent, process {agent}, goes on as it was: {why}")]
    Kept { agent: u32, why: String },
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
}

/// Who was the agent, and who is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgraded {
    pub from: u32,
    pub to: u32,
}

pub async fn request(flags: &Flags) -> Result<Upgraded, RequestError> {
    let runtime_dir = &flags.runtime_dir;
    let agent = holder_of(runtime_dir).ok_or_else(|| RequestError::NoAgent(runtime_dir.clone()))?;
    let unable = || RequestError::Unable {
        agent,
        runtime_dir: runtime_dir.clone(),
    };
    let before = Outcome::read(runtime_dir)?.filter(|it| it.agent == agent);
    let before = before.ok_or_else(unable)?;
    if before.state == State::Underway {
        return Err(RequestError::Underway(agent));
    }
    let process = Identity::of(agent).and_then(|it| it.open().ok().flatten());
    let process = process.filter(|_| holder_of(runtime_dir) == Some(agent));
    let process = process.ok_or_else(|| RequestError::NoAgent(runtime_dir.clone()))?;
    let asked = containerizer::signal(&process, SIGHUP);
    asked.map_err(|source| RequestError::Ask { agent, source })?;
    let (heard_by, over_by) = (Instant::now() + HEARING, Instant::now() + patience(flags));
    loop {
        sleep(PAUSE).await;
        let lives = containerizer::signal(&process, 0).is_ok();
        match Outcome::read(runtime_dir)? {
            Some(now) if now.tried > before.tried => match now.state {
                State::Upgraded { from } => {
                    return Ok(Upgraded {
                        from,
                        to: now.agent,
                    });
                }
                State::Kept { why } => return Err(RequestError::Kept { agent, why }),
                State::Able | State::Underway if !lives => return Err(RequestError::Died(agent)),
                State::Able | State::Underway if Instant::now() > over_by => {
                    return Err(RequestError::Endless(agent));
                }
                State::Able | State::Underway => {}
            },
            _ if !lives => return Err(RequestError::Died(agent)),
            _ if Instant::now() > heard_by => return Err(RequestError::Deaf(agent)),
            _ => {}
        }
    }
}
