//! The agent that is to be replaced: starts its successor, and does what `machine` says.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use failpoint::{Point, reach};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use prost::Message as _;
use proto::error::chain;
use proto::link::{ToAgent, to_agent::Message as Order};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::line::{self, Line};
use super::machine::{Effect, Event, Phase};
use super::outcome::{Outcome, State};
use super::program::Program;
use super::successor::VARIABLE;
use super::word::{Word, WordError};
use crate::flags::Flags;
use crate::notify::{Notifier, Word as Notice};
use crate::start::{Clinging, Handle, Prepared, Relieved, StartError};

/// For the records of all that runs: each takes less than a millisecond on a disk that is well.
const WRITING: Duration = Duration::from_secs(60);

/// For the successor's word that it serves: it has nothing to do for that but to say it.
const PARTING: Duration = Duration::from_secs(20);

/// How long answers may take that were begun before. Whoever reads one so slowly can begin again.
const ANSWERING: Duration = Duration::from_secs(600);

/// How long what is left of an ended process may lie about.
const REAPING: Duration = Duration::from_millis(200);

/// A process whose line has ended is about to end.
const ENDING: Duration = Duration::from_secs(2);

/// What has become of the agent.
#[derive(Debug)]
pub enum Upgrade {
    /// Another process is the agent.
    Done(Rest),
    /// It goes on, as if nothing had been.
    Kept { agent: Handle, why: String },
    /// It let go, and could not take up again what runs.
    Broken { why: String, source: StartError },
}

#[derive(Debug, thiserror::Error)]
enum SuccessorError {
    #[error("cannot make a line to the new program")]
    Line(#[source] io::Error),
    #[error("cannot start {}", .program.display())]
    Start {
        program: std::path::PathBuf,
        source: io::Error,
    },
    #[error("cannot hand over the agent's socket and locks")]
    HandOver(#[source] io::Error),
    #[error("the agent's socket has failed")]
    NoSocket,
}

/// Replaces the agent by what `program` is now. Signals to be heard until then are `call_off`'s: what it is
/// done with ends the attempt.
pub async fn upgrade(
    agent: Handle,
    program: &Program,
    flags: &Flags,
    call_off: impl Future<Output = ()>,
) -> Upgrade {
    let tried = Outcome::tried(&flags.runtime_dir) + 1;
    let noted = Outcome::write(&flags.runtime_dir, tried, State::Underway);
    reach(Point::UpgradeBegun);
    let manager = Manager::of_the_environment();
    manager.tell(&[Notice::Reloading, Notice::Status("an upgrade is under way")]);
    tracing::info!(program = %program.path.display(), "an upgrade begins");
    let upgraded = match noted {
        Ok(()) => attempt(agent, program, flags, &manager, call_off).await,
        // Whoever asked would never hear what becomes of it.
        Err(error) => Upgrade::Kept {
            agent,
            why: chain(&error),
        },
    };
    // The successor says itself that it has come.
    if let Upgrade::Kept { why, .. } | Upgrade::Broken { why, .. } = &upgraded {
        tracing::error!(why, "the upgrade failed");
        let why = why.clone();
        let status = format!("an upgrade failed: {why}");
        manager.tell(&[
            Notice::MainPid(std::process::id()),
            Notice::Ready,
            Notice::Status(&status),
        ]);
        note(&flags.runtime_dir, tried, State::Kept { why });
    }
    upgraded
}

/// Whoever started the agent and wants to know which process it is; none where nobody does.
struct Manager(Option<Notifier>);

impl Manager {
    fn of_the_environment() -> Manager {
        let notifier = Notifier::from_environment();
        Manager(
            notifier
                .inspect_err(|error| {
                    let error = chain(error);
                    tracing::warn!(error, "cannot tell the service manager of an upgrade");
                })
                .ok(),
        )
    }

    fn tell(&self, notices: &[Notice<'_>]) {
        if let Some(notifier) = &self.0 {
            notifier.tell(notices);
        }
    }
}

fn note(runtime_dir: &Path, tried: u64, state: State) {
    if let Err(error) = Outcome::write(runtime_dir, tried, state) {
        let error = chain(&error);
        tracing::warn!(error, "cannot tell how an upgrade goes");
    }
}

async fn attempt(
    agent: Handle,
    program: &Program,
    flags: &Flags,
    manager: &Manager,
    call_off: impl Future<Output = ()>,
) -> Upgrade {
    let registered = agent.is_registered().await;
    let successor = match Successor::start(program, &agent) {
        Ok(successor) => successor,
        Err(error) => {
            let why = chain(&error);
            return Upgrade::Kept { agent, why };
        }
    };
    let mut attempt = Attempt {
        agent: Agent::Whole(agent),
        successor,
        flags,
        manager,
        registered,
        settled: None,
        written: None,
        relieved: None,
        orders: Vec::new(),
        deadline: Instant::now() + flags.upgrade_timeout,
    };
    let mut phase = Phase::Preparing;
    let mut call_off = pin!(call_off);
    loop {
        let event = tokio::select! {
            event = attempt.event() => event,
            () = &mut call_off => Event::CalledOff,
        };
        tracing::debug!(?phase, ?event, "an upgrade goes on");
        let (next, effects) = phase.step(event);
        phase = next;
        for effect in effects {
            if let Err(source) = attempt.carry_out(effect).await {
                let why = match phase {
                    Phase::Kept { why } => why,
                    phase => format!("in the middle of {phase:?}"),
                };
                return Upgrade::Broken { why, source };
            }
        }
        match (phase, attempt.agent) {
            (Phase::Kept { why }, Agent::Whole(agent)) => return Upgrade::Kept { agent, why },
            (Phase::Upgraded, Agent::Gone(rest)) => return Upgrade::Done(rest),
            (goes_on, agent) => {
                phase = goes_on;
                attempt.agent = agent;
            }
        }
    }
}

/// How much of the agent this process is.
enum Agent {
    Whole(Handle),
    Relieved(Relieved),
    Gone(Rest),
    /// On the way from one to the other.
    Changing,
}

struct Attempt<'a> {
    agent: Agent,
    successor: Successor,
    flags: &'a Flags,
    manager: &'a Manager,
    registered: bool,
    /// Says when no launch is under way.
    settled: Option<oneshot::Receiver<()>>,
    /// Says when all is written down, or why it cannot be.
    written: Option<oneshot::Receiver<Result<(), String>>>,
    /// Whether everything was let go of, until that is told.
    relieved: Option<Result<(), Clinging>>,
    /// Passed on.
    orders: Vec<Order>,
    deadline: Instant,
}

impl Attempt<'_> {
    async fn event(&mut self) -> Event {
        match self.relieved.take() {
            Some(Ok(())) => return Event::Relieved,
            Some(Err(Clinging::Late)) => return Event::Late,
            Some(Err(Clinging::Unwritten(why))) => return Event::Unwritten(why),
            None => {}
        }
        tokio::select! {
            word = self.successor.line.hear() => match word {
                Ok(word) => Event::Said(word),
                Err(error) => Event::Lost(self.successor.lost(error).await),
            },
            settled = said(&mut self.settled) => or_lost(settled.map(|()| Event::Settled)),
            written = said(&mut self.written) => or_lost(written.map(|written| match written {
                Ok(()) => Event::Written,
                Err(why) => Event::Unwritten(why),
            })),
            () = tokio::time::sleep_until(self.deadline) => Event::Late,
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<(), StartError> {
        match effect {
            Effect::Settle => {
                if let Agent::Whole(agent) = &self.agent {
                    self.settled = Some(agent.settle().await);
                    self.deadline = Instant::now() + agent.settling();
                }
            }
            Effect::WriteDown => {
                if let Agent::Whole(agent) = &self.agent {
                    self.written = Some(agent.write_down().await);
                    self.deadline = Instant::now() + WRITING;
                }
            }
            Effect::Relieve => {
                reach(Point::WrittenDown);
                self.agent = match std::mem::replace(&mut self.agent, Agent::Changing) {
                    Agent::Whole(agent) => {
                        let (relieved, let_go) = agent.relieve().await;
                        reach(Point::Relieved);
                        self.relieved = Some(let_go);
                        Agent::Relieved(relieved)
                    }
                    other => other,
                };
            }
            Effect::SayGo => {
                self.deadline = Instant::now() + self.flags.upgrade_timeout;
                let registered = self.registered;
                self.say(Word::Go { registered }).await;
                reach(Point::GoSaid);
            }
            Effect::HandOver => {
                self.deadline = Instant::now() + PARTING;
                if let Agent::Relieved(relieved) = &mut self.agent {
                    self.orders = relieved.orders.hear_out().await;
                }
                reach(Point::HeardOut);
                for order in self.orders.clone() {
                    let message = Some(order);
                    self.say(Word::Order(ToAgent { message }.encode_to_vec()))
                        .await;
                }
                // Before: once it is said nobody else can say that, and a process that has gone is
                // started again as soon as it is known to be the main one.
                if let Some(pid) = self.successor.child.id() {
                    let notices = [
                        Notice::MainPid(pid),
                        Notice::Ready,
                        Notice::Status("upgraded"),
                    ];
                    self.manager.tell(&notices);
                }
                self.say(Word::Yours).await;
                reach(Point::HandedOn);
            }
            Effect::Close => {
                reach(Point::ServingHeard);
                self.agent = match std::mem::replace(&mut self.agent, Agent::Changing) {
                    Agent::Relieved(relieved) => Agent::Gone(Rest::of(relieved, &self.successor)),
                    other => other,
                };
            }
            Effect::Kill => self.successor.kill().await,
            Effect::Resume => {
                if let Agent::Whole(agent) = &self.agent {
                    agent.resume(vec![]).await;
                }
            }
            Effect::Recover => {
                let prepared = Prepared::new(self.flags.clone())?;
                self.agent = match std::mem::replace(&mut self.agent, Agent::Changing) {
                    Agent::Relieved(relieved) => {
                        let orders = std::mem::take(&mut self.orders);
                        Agent::Whole(relieved.recover(prepared, orders).await?)
                    }
                    other => other,
                };
            }
        }
        Ok(())
    }

    /// That it cannot be heard is told by the end of the line.
    async fn say(&mut self, word: Word) {
        if let Err(error) = self.successor.line.say(&word).await {
            let error = chain(&error);
            tracing::debug!(error, "the new program does not hear");
        }
    }
}

/// What the agent says once, if it was asked; `None` when it has gone.
async fn said<T>(says: &mut Option<oneshot::Receiver<T>>) -> Option<T> {
    match says {
        Some(waiting) => {
            let answer = waiting.await;
            *says = None;
            answer.ok()
        }
        None => std::future::pending().await,
    }
}

/// Without a supervisor nothing can be handed over.
fn or_lost(event: Option<Event>) -> Event {
    event.unwrap_or_else(|| Event::Lost("the agent ended by itself: see the log".to_owned()))
}

struct Successor {
    child: Child,
    line: Line,
}

impl Successor {
    /// It has this process's arguments, environment, output and rights, and none of its descriptors but
    /// the line.
    fn start(program: &Program, agent: &Handle) -> Result<Successor, SuccessorError> {
        let (ours, theirs) = UnixStream::pair().map_err(SuccessorError::Line)?;
        let ground = agent.ground();
        let descriptors = ground.descriptors().ok_or(SuccessorError::NoSocket)?;
        line::send(&ours, descriptors).map_err(SuccessorError::HandOver)?;
        let line = Line::new(ours).map_err(SuccessorError::Line)?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .env(VARIABLE, super::successor::mark(std::process::id()))
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        failpoint::hand_on(command.as_std_mut());
        let child = command.spawn().map_err(|source| SuccessorError::Start {
            program: program.path.clone(),
            source,
        })?;
        ground.lock.share();
        reach(Point::SuccessorStarted);
        Ok(Successor { child, line })
    }

    /// Why it is not heard any more.
    async fn lost(&mut self, error: WordError) -> String {
        match tokio::time::timeout(ENDING, self.child.wait()).await {
            Ok(Ok(status)) => format!(
                "the new program ended ({}): its words are in this agent's log",
                told(status)
            ),
            Ok(Err(_)) | Err(_) => format!("the new program was not understood: {}", chain(&error)),
        }
    }

    async fn kill(&mut self) {
        // One that has ended cannot be killed, and need not be.
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "cannot kill the new program");
        }
    }
}

fn told(status: ExitStatus) -> String {
    status.to_string()
}

/// Of an agent that another process has replaced: whoever had come before that is answered.
#[derive(Debug)]
pub struct Rest {
    server: Option<JoinHandle<()>>,
}

impl Rest {
    fn of(relieved: Relieved, successor: &Successor) -> Rest {
        let pid = successor.child.id();
        tracing::info!(pid, "another process is the agent now");
        Rest {
            server: relieved.ground.close(),
        }
    }

    /// Waits until all have been answered, but not without an end.
    pub async fn over(self) {
        let Some(server) = self.server else { return };
        tokio::select! {
            ended = tokio::time::timeout(ANSWERING, server) => if ended.is_err() {
                tracing::warn!("cut off clients that take their answers too slowly");
            },
            () = reap() => {}
        }
    }
}

/// Containers are this process's children still, and only the parent can take away what is left of a
/// process that has ended.
async fn reap() {
    loop {
        // None left, or none that has ended.
        while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
            waitpid(None, Some(WaitPidFlag::WNOHANG))
        {}
        tokio::time::sleep(REAPING).await;
    }
}
