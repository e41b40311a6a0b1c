//! The process that is to be the agent.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use failpoint::{Point, reach};
use nix::unistd::{dup2_stdin, getppid};
use prost::Message as _;
use proto::error::chain;
use proto::link::{ToAgent, to_agent::Message as Order};

use super::line::{self, Line};
use super::outcome::{Outcome, State};
use super::word::{Word, WordError};
use crate::flags::Flags;
use crate::ground::Ground;
use crate::start::{Entry, Handle, Prepared, StartError, begin};
use crate::supervisor::Dismissal;

/// Names the process that is the agent until now, and how it speaks.
pub(super) const VARIABLE: &str = "LONGSHORE_UPGRADE";

const VERSION: u32 = 1;

pub(super) fn mark(agent: u32) -> String {
    format!("{VERSION}:{agent}")
}

/// What this process has from the agent that it is to replace.
#[derive(Debug)]
pub struct Inheritance {
    line: UnixStream,
    socket: OwnedFd,
    locks: [OwnedFd; 2],
    from: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    #[error(
        "the agent that is to be replaced speaks version {0:?} of the words for that, and this program \
         version {VERSION}: stop that agent and start this one, which tasks outlive"
    )]
    Version(String),
    #[error("cannot take over the socket and the locks of the agent")]
    Receive(#[source] io::Error),
    #[error("cannot start as the agent's successor")]
    Start(#[source] Box<StartError>),
    #[error("the master refuses this agent: {0}")]
    Refused(String),
    #[error("the master shuts this agent down: {0}")]
    Shutdown(String),
    #[error("the agent that was to be replaced has gone")]
    Gone(#[source] WordError),
    #[error("the agent that was to be replaced said {0:?} out of turn")]
    OutOfTurn(Word),
    #[error("the agent that was to be replaced passed on an order that cannot be read")]
    Order(#[source] prost::DecodeError),
    #[error("cannot let clients in")]
    Door(#[source] io::Error),
}

impl From<StartError> for InheritError {
    fn from(error: StartError) -> InheritError {
        InheritError::Start(Box::new(error))
    }
}

impl Inheritance {
    /// `None` for a process that was started by anybody else. To be asked before stdin is used.
    pub fn received() -> Result<Option<Inheritance>, InheritError> {
        let Some(value) = std::env::var_os(VARIABLE) else {
            return Ok(None);
        };
        let from = predecessor(&value, getppid().as_raw())?;
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let line = UnixStream::from(stdin.map_err(InheritError::Receive)?);
        let null = File::open("/dev/null").map_err(InheritError::Receive)?;
        dup2_stdin(null).map_err(|errno| InheritError::Receive(errno.into()))?;
        let [socket, of_runtime_dir, of_work_dir] =
            line::receive(&line).map_err(InheritError::Receive)?;
        reach(Point::GroundInherited);
        Ok(Some(Inheritance {
            line,
            socket,
            locks: [of_runtime_dir, of_work_dir],
            from,
        }))
    }

    /// Returns once this process is the agent. Until then nothing is its own: after an error the process
    /// is to end at once.
    pub async fn start(self, flags: Flags) -> Result<Handle, InheritError> {
        let Inheritance {
            line,
            socket,
            locks,
            from,
        } = self;
        let mut line = Line::new(line).map_err(InheritError::Receive)?;
        let taken = take_over(&mut line, socket, locks, flags.clone()).await;
        let handle = match taken {
            Ok(handle) => handle,
            Err(error) => {
                let why = Word::Failed(chain(&error));
                // The other side may have gone.
                let _ = line.say(&why).await;
                return Err(error);
            }
        };
        // Before the other goes: whoever asked for this takes an end without it for a death.
        let tried = Outcome::tried(&flags.runtime_dir);
        let state = State::Upgraded { from };
        if let Err(error) = Outcome::write(&flags.runtime_dir, tried, state) {
            let error = chain(&error);
            tracing::warn!(error, "cannot tell how the upgrade went");
        }
        if let Err(error) = line.say(&Word::Serving).await {
            let error = chain(&error);
            tracing::warn!(
                error,
                "the agent before this one did not wait to be replaced"
            );
        }
        reach(Point::ServingSaid);
        Ok(handle)
    }
}

async fn take_over(
    line: &mut Line,
    socket: OwnedFd,
    locks: [OwnedFd; 2],
    flags: Flags,
) -> Result<Handle, InheritError> {
    let prepared = Prepared::new(flags.clone())?;
    let ground = Ground::inherit(&flags, socket, locks).await?;
    line.say(&Word::Prepared)
        .await
        .map_err(InheritError::Gone)?;
    reach(Point::SuccessorPrepared);
    let registered = match line.hear().await.map_err(InheritError::Gone)? {
        Word::Go { registered } => registered,
        other => return Err(InheritError::OutOfTurn(other)),
    };
    let begun = async {
        let handle = begin(prepared, ground, Entry::Relief).await?;
        if registered {
            handle.registered_anew().await.map_err(|it| match it {
                Dismissal::Refused(why) => InheritError::Refused(why),
                Dismissal::Shutdown(why) => InheritError::Shutdown(why),
            })?;
        }
        Ok::<Handle, InheritError>(handle)
    };
    let mut handle = tokio::select! {
        begun = begun => begun?,
        word = line.hear() => return Err(match word {
            Ok(word) => InheritError::OutOfTurn(word),
            Err(error) => InheritError::Gone(error),
        }),
    };
    reach(Point::TakenOver);
    line.say(&Word::Ready).await.map_err(InheritError::Gone)?;
    reach(Point::ReadySaid);
    let orders = orders(line).await?;
    // From here on this process is the agent, whatever becomes of the other.
    reach(Point::TurnedIntoAgent);
    handle.ground_mut().open().map_err(InheritError::Door)?;
    reach(Point::DoorOpened);
    if let Err(error) = handle.ground().lock.own() {
        tracing::warn!(%error, "cannot write this process into the agent's locks");
    }
    reach(Point::LocksOwned);
    handle.resume(orders).await;
    Ok(handle)
}

/// All until the agent is this process's.
async fn orders(line: &mut Line) -> Result<Vec<Order>, InheritError> {
    let mut orders = Vec::new();
    loop {
        match line.hear().await.map_err(InheritError::Gone)? {
            Word::Order(bytes) => {
                let order = ToAgent::decode(bytes.as_slice()).map_err(InheritError::Order)?;
                orders.extend(order.message);
            }
            Word::Yours => return Ok(orders),
            other => return Err(InheritError::OutOfTurn(other)),
        }
    }
}

/// Who this process is to replace: its parent, as long as that lives. A process that was started for this
/// and comes too late must not be an agent of its own.
fn predecessor(value: &OsString, parent: i32) -> Result<u32, InheritError> {
    let text = value.to_string_lossy();
    let (version, agent) = text.split_once(':').unwrap_or((&text, ""));
    let Ok(agent) = agent.parse::<u32>() else {
        return Err(InheritError::Version(text.into_owned()));
    };
    if version.parse() != Ok(VERSION) {
        return Err(InheritError::Version(version.to_owned()));
    }
    match u32::try_from(parent) == Ok(agent) {
        true => Ok(agent),
        false => Err(InheritError::Gone(WordError::Closed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_child_of_an_agent_is_its_successor() {
        let is = |value: &str, parent| predecessor(&OsString::from(value), parent);
        assert_eq!(is(&mark(7), 7).unwrap(), 7);
        assert!(matches!(is(&mark(7), 1), Err(InheritError::Gone(_))));
        for newer in ["2:7", "7", ""] {
            let error = is(newer, 7).unwrap_err();
            assert!(error.to_string().contains("version"), "{error}");
        }
    }
}
