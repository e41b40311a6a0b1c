//! Progress and output on the terminal: bars below the output where stderr is a terminal, plain
//! lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::app::Phase;
use super::look::{Fetch, Lack};
use crate::terminal;

pub enum Screen {
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

impl Screen {
    pub fn on_terminal() -> Screen {
        if io::stderr().is_terminal() {
            Screen::Bars {
                all: MultiProgress::new(),
                bars: BTreeMap::new(),
            }
        } else {
            Screen::Lines
        }
    }

    pub fn phase(&mut self, app: &str, phase: Phase) {
        let app = app.trim_start_matches('/');
        let text = text(phase);
        match self {
            Screen::Bars { all, bars } => {
                let bar = bars.entry(app.to_owned()).or_insert_with(|| {
                    let bar = ProgressBar::new_spinner().with_style(style());
                    all.add(bar).with_prefix(app.to_owned())
                });
                bar.set_message(text);
                bar.tick();
            }
            // Where the end of each task stands above, its app's is no news.
            Screen::Lines if phase == Phase::Done => {}
            Screen::Lines => terminal::err(&format!("{app}: {text}")),
        }
    }

    /// Where there is a bar: lines would be too many.
    pub fn fetch(&mut self, app: &str, fetch: Fetch) {
        let Screen::Bars { bars, .. } = self else {
            return;
        };
        if let Some(bar) = bars.get(app.trim_start_matches('/')) {
            bar.set_message(fetched(fetch));
            bar.tick();
        }
    }

    /// One or more lines. An error means that nobody reads stdout.
    pub fn text(&self, stream: Stream, text: &str) -> io::Result<()> {
        let write = || match stream {
            Stream::Stdout => terminal::try_out(text),
            Stream::Stderr => {
                terminal::err(text);
                Ok(())
            }
        };
        match self {
            Screen::Bars { all, .. } => all.suspend(write),
            Screen::Lines => write(),
        }
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        if let Screen::Bars { all, .. } = self {
            let _stderr_gone = all.clear();
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

fn fetched(fetch: Fetch) -> String {
    let (bytes, rate) = (HumanBytes(fetch.bytes), HumanBytes(fetch.bytes_per_second));
    match fetch.total {
        Some(total) => format!("fetching: {bytes} of {}, {rate}/s", HumanBytes(total)),
        None => format!("fetching: {bytes}, {rate}/s"),
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
        let fetch = Fetch {
            bytes: 5 << 20,
            total: Some(10 << 20),
            bytes_per_second: 1 << 20,
        };
        let text = "fetching: 5.00 MiB of 10.00 MiB, 1.00 MiB/s";
        assert_eq!(fetched(fetch), text);
        assert!(ProgressStyle::with_template("{spinner} {prefix}: {msg}").is_ok());
    }
}
