//! The way to the terminal. A thread of its own writes, since a terminal or pipe that takes nothing
//! keeps whoever writes to it: the run itself must go on to hear of Ctrl-C.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::app::Phase;
use super::look::Fetch;
use super::screen::{Screen, Stream};

/// What may wait to be written. Each is a few bytes, or what a round reads of a file.
const WAITING: usize = 4;

/// How long a run that ends waits, in all, for somebody to read its output.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Job {
    Phase {
        app: String,
        phase: Phase,
    },
    Fetch {
        app: String,
        fetch: Fetch,
    },
    Text {
        stream: Stream,
        text: String,
    },
    /// Takes bars away; answered when all before it is written.
    Clear(oneshot::Sender<()>),
}

/// Writes in the order in which it is asked to.
#[derive(Debug)]
pub struct Show {
    jobs: mpsc::Sender<Job>,
    reader_is_gone: Arc<AtomicBool>,
    /// What is left of it once the run ends; before that there is no limit.
    patience: Option<Duration>,
}

impl Show {
    pub fn on_terminal() -> anyhow::Result<Show> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let show = Show::through(jobs);
        let gone = Arc::clone(&show.reader_is_gone);
        thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || write(waiting, Screen::on_terminal(), &gone))
            .context("cannot start a thread for the terminal")?;
        Ok(show)
    }

    fn through(jobs: mpsc::Sender<Job>) -> Show {
        Show {
            jobs,
            reader_is_gone: Arc::default(),
            patience: None,
        }
    }

    pub async fn phase(&mut self, app: &str, phase: Phase) {
        let app = app.to_owned();
        self.send(Job::Phase { app, phase }).await;
    }

    pub async fn fetch(&mut self, app: &str, fetch: Fetch) {
        let app = app.to_owned();
        self.send(Job::Fetch { app, fetch }).await;
    }

    /// A remark of our own.
    pub async fn note(&mut self, text: &str) {
        let (stream, text) = (Stream::Stderr, text.to_owned());
        self.send(Job::Text { stream, text }).await;
    }

    /// Lines that a task wrote.
    pub async fn lines(&mut self, stream: Stream, task: &str, lines: &[String]) {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("{task} | {line}"))
            .collect();
        let text = lines.join("\n");
        self.send(Job::Text { stream, text }).await;
    }

    /// The same where there is but one task.
    pub async fn text(&mut self, stream: Stream, lines: &[String]) {
        let text = lines.join("\n");
        self.send(Job::Text { stream, text }).await;
    }

    /// Takes the bars away, and waits until everything is written.
    pub async fn clear(&mut self) {
        let (written, all) = oneshot::channel();
        self.send(Job::Clear(written)).await;
        self.within_patience(all).await;
    }

    /// Nobody reads stdout any more, as behind `| head`.
    pub fn reader_is_gone(&self) -> bool {
        self.reader_is_gone.load(Ordering::Relaxed)
    }

    /// From now on output that nobody reads does not keep the run.
    pub fn hurry(&mut self) {
        self.patience.get_or_insert(PATIENCE);
    }

    async fn send(&mut self, job: Job) {
        let jobs = self.jobs.clone();
        self.within_patience(jobs.send(job)).await;
    }

    async fn within_patience<T>(&mut self, work: impl Future<Output = T>) {
        let Some(left) = self.patience else {
            work.await;
            return;
        };
        let begin = Instant::now();
        let _given_up = timeout(left, work).await;
        self.patience = Some(left.saturating_sub(begin.elapsed()));
    }
}

/// Until there is nobody any more who could ask for something.
fn write(mut jobs: mpsc::Receiver<Job>, mut screen: Screen, reader_is_gone: &AtomicBool) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Phase { app, phase } => screen.phase(&app, phase),
            Job::Fetch { app, fetch } => screen.fetch(&app, fetch),
            Job::Text { stream, text } => match screen.text(stream, &text) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    reader_is_gone.store(true, Ordering::Relaxed);
                }
                _written_or_disk_full => {}
            },
            Job::Clear(written) => {
                screen.clear();
                let _nobody_waits = written.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_that_nobody_reads_does_not_keep_a_run_that_ends() {
        let (jobs, mut waiting) = mpsc::channel(1);
        let mut show = Show::through(jobs);
        show.note("fits").await;
        show.patience = Some(Duration::from_millis(1));
        show.note("does not").await;
        show.clear().await;
        assert_eq!(show.patience, Some(Duration::ZERO));
        let text = |job| match job {
            Job::Text { text, .. } => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(waiting.recv().await.map(text).as_deref(), Some("fits"));
        show.note("later").await;
        assert_eq!(waiting.recv().await.map(text).as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn a_cleared_screen_has_everything_written() {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let mut show = Show::through(jobs);
        let thread = thread::spawn(move || write(waiting, Screen::Lines, &AtomicBool::default()));
        show.clear().await;
        drop(show);
        thread.join().unwrap();
    }
}
