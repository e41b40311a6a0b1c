//! Progress and output on the terminal: bars below the output where stderr is a terminal, plain
//! lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::app::Phase;
use super::look::Lack;
use crate::terminal;

pub enum Show {
    Bars {
        all: MultiProgress,
        bars: BTreeMap<String, ProgressBar>,
    },
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Show {
    pub fn on_terminal() -> Show {
        if std::io::stderr().is_terminal() {
            Show::Bars {
                all: MultiProgress::new(),
                bars: BTreeMap::new(),
            }
        } else {
            Show::Lines
        }
    }

    pub fn phase(&mut self, app: &str, phase: Phase) {
        let app = app.trim_start_matches('/');
        let text = text(phase);
        match self {
            Show::Bars { all, bars } => {
                let bar = bars.entry(app.to_owned()).or_insert_with(|| {
                    let bar = ProgressBar::new_spinner().with_style(style());
                    all.add(bar).with_prefix(app.to_owned())
                });
                bar.set_message(text);
                bar.tick();
            }
            // Where the end of each task stands above, its app's is no news.
            Show::Lines if phase == Phase::Done => {}
            Show::Lines => terminal::err(&format!("{app}: {text}")),
        }
    }

    /// A remark of our own.
    pub fn note(&self, text: &str) {
        self.undisturbed(|| terminal::err(text));
    }

    /// Lines that a task wrote.
    pub fn lines(&self, stream: Stream, task: &str, lines: &[String]) {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("{task} | {line}"))
            .collect();
        let text = lines.join("\n");
        self.undisturbed(|| match stream {
            Stream::Stdout => terminal::out(&text),
            Stream::Stderr => terminal::err(&text),
        });
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        if let Show::Bars { all, .. } = self {
            let _stderr_gone = all.clear();
        }
    }

    fn undisturbed(&self, write: impl FnOnce()) {
        match self {
            Show::Bars { all, .. } => all.suspend(write),
            Show::Lines => write(),
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}: {msg}")
        .unwrap_or_else(|_bad_template| ProgressStyle::default_spinner())
}

fn text(phase: Phase) -> String {
    match phase {
        Phase::Waiting(None) => "waiting".to_owned(),
        Phase::Waiting(Some(Lack(field))) => {
            format!("waiting: nothing that is free here meets its \"{field}\"")
        }
        Phase::Fetching => "fetching".to_owned(),
        Phase::Starting => "starting".to_owned(),
        Phase::Running {
            running: 1,
            wanted: 1,
        } => "running".to_owned(),
        Phase::Running { running, wanted } => format!("running {running} of {wanted}"),
        Phase::Done => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_read_as_words() {
        assert_eq!(
            text(Phase::Running {
                running: 1,
                wanted: 1
            }),
            "running"
        );
        assert_eq!(
            text(Phase::Running {
                running: 1,
                wanted: 3
            }),
            "running 1 of 3"
        );
        assert_eq!(
            text(Phase::Waiting(Some(Lack("cpus")))),
            "waiting: nothing that is free here meets its \"cpus\""
        );
        assert!(ProgressStyle::with_template("{spinner} {prefix}: {msg}").is_ok());
    }
}
