//! Follows the output of one container.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineError, Frame, Logs};
use futures_util::FutureExt as _;
use isolators::ContainerId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::mark::split;
use super::writer::{Line, OutputError, Writer};
use crate::docker::shared::Shared;

/// Between two tries to go on.
const AGAIN: Duration = Duration::from_secs(1);

/// Bytes that are written at once.
const MOST: usize = 256 << 10;

/// How long an engine may be silent about a container that has ended before it is asked anew.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Follow {
    pub shared: Arc<Shared>,
    pub id: ContainerId,
    pub name: String,
    pub sandbox: PathBuf,
    /// The container has ended, or is left to another process.
    pub is_over: watch::Receiver<bool>,
}

#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("the work on its output was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// How long the end of a task waits for an engine that does not show the rest of what its container wrote.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// How one stream has ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With all that the container wrote so far.
    Whole,
    /// It may have more to tell.
    Silent,
    Left,
}

/// Returns when all is in the sandbox that the container wrote before its end, or when it is left to another
/// process.
pub async fn follow(mut follow: Follow) {
    let mut progress = None;
    loop {
        let is_over = *follow.is_over.borrow();
        let last = is_over.then(|| *progress.get_or_insert_with(Instant::now));
        if last.is_some_and(|last| last.elapsed() > LAST_WORDS) {
            let id = &follow.id;
            return tracing::warn!(container = %id, "the end of a container's output is with its engine only");
        }
        match follow.once(is_over, &mut progress).await {
            Ok(End::Left) => return,
            Ok(End::Whole) if is_over => return,
            Ok(End::Whole | End::Silent) => {}
            Err(Cut::Engine(error)) if error.is_not_found() => return,
            Err(Cut::Engine(error)) if error.is_passing() => follow.shared.complain(&error),
            // As of a log driver that shows nothing.
            Err(Cut::Engine(error)) => {
                let error = proto::error::chain(&error);
                return tracing::warn!(container = %follow.id, error, "the output of a container is with its engine only");
            }
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(container = %follow.id, error, "cannot bring the output of a container into its sandbox");
            }
        }
        let is_over = *follow.is_over.borrow();
        tokio::select! {
            () = follow.shared.is_left() => return,
            () = sleep(AGAIN) => {}
            Ok(_) = follow.is_over.wait_for(|is_over| *is_over), if !is_over => {}
        }
    }
}

impl Follow {
    /// Until the engine's stream ends.
    async fn once(&mut self, is_over: bool, progress: &mut Option<Instant>) -> Result<End, Cut> {
        let (note, sandbox) = (self.shared.records.output(&self.id), self.sandbox.clone());
        let opening = tokio::task::spawn_blocking(move || Writer::open(&note, &sandbox));
        let mut writer = opening.await??;
        let since = writer.marks().since();
        let (name, since) = (&*self.name, since.as_deref());
        let ask = |engine: Engine| async move { engine.logs(name, since, !is_over).await };
        let shared = Arc::clone(&self.shared);
        let mut logs = tokio::select! {
            logs = shared.ask(ask) => logs?,
            () = shared.is_left() => return Ok(End::Left),
        };
        loop {
            let first = tokio::select! {
                first = logs.next() => first?,
                () = shared.is_left() => return Ok(End::Left),
                () = silence(&mut self.is_over) => return Ok(End::Silent),
            };
            let Some(first) = first else {
                return Ok(End::Whole);
            };
            let (lines, rest) = with_others(first, &mut logs);
            let writing = tokio::task::spawn_blocking(move || {
                writer.write(&lines)?;
                Ok::<_, OutputError>(writer)
            });
            writer = writing.await??;
            *progress = Some(Instant::now());
            match rest {
                None => {}
                Some(Ok(())) => return Ok(End::Whole),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}

/// All that has come by now, and how the stream has ended if it has.
fn with_others(first: Frame, logs: &mut Logs) -> (Vec<Line>, Option<Result<(), EngineError>>) {
    let mut size = first.bytes.len();
    let mut lines = vec![line(first)];
    while size < MOST {
        match logs.next().now_or_never() {
            None => return (lines, None),
            Some(Ok(Some(frame))) => {
                size += frame.bytes.len();
                lines.push(line(frame));
            }
            Some(Ok(None)) => return (lines, Some(Ok(()))),
            Some(Err(error)) => return (lines, Some(Err(error))),
        }
    }
    (lines, None)
}

fn line(frame: Frame) -> Line {
    let (time, text) = split(&frame.bytes);
    Line {
        source: frame.source,
        time,
        bytes: frame.bytes.slice_ref(text),
    }
}

/// Of an engine that has nothing more to tell.
async fn silence(is_over: &mut watch::Receiver<bool>) {
    // Without anybody who could say so it is not over.
    if is_over.wait_for(|is_over| *is_over).await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(SILENCE).await;
}
