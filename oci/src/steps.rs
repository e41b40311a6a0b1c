//! `--debug`: what is done, step by step, and what the launcher has to say, in the form of the log.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::{Error, call};
use crate::log::Log;

struct Steps {
    log: Log,
    most: Level,
}

/// From now on `tracing` goes to the log: with `debug` every step, else what goes wrong.
pub fn follow(log: &Log, debug: bool) -> Result<(), Error> {
    let log = log.try_clone().map_err(call("share the log"))?;
    let most = if debug { Level::DEBUG } else { Level::WARN };
    // A second call of one process keeps to the first: only tests make one.
    let _ = tracing::subscriber::set_global_default(Steps { log, most });
    Ok(())
}

impl Subscriber for Steps {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.most
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        self.log.line(level, &text.0);
    }

    // Nothing here opens one.
    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// The sentence of an event and its fields: `a step is done, pid=7`.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let comma = if self.0.is_empty() { "" } else { ", " };
        // A string takes everything.
        let _ = match field.name() {
            "message" => write!(self.0, "{comma}{value:?}"),
            name => write!(self.0, "{comma}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_line_of_the_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let words = ["oci", "--log-format", "json", "--log"].map(Into::into);
        let words = words
            .into_iter()
            .chain([path.clone().into(), "list".into()]);
        let line = crate::usage::parse(words).expect("is understood");
        let log = Log::open(&line.global).expect("opens");
        let steps = |most| Steps {
            log: log.try_clone().expect("shares"),
            most,
        };
        tracing::subscriber::with_default(steps(Level::WARN), || {
            tracing::debug!("is not asked for");
            tracing::warn!(pid = 7, "goes wrong");
        });
        tracing::subscriber::with_default(steps(Level::DEBUG), || {
            tracing::debug!(cgroup = %"/a", "is made");
        });
        let text = std::fs::read_to_string(path).expect("is written");
        let lines: Vec<serde_json::Value> = (text.lines())
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let said: Vec<_> = lines.iter().map(|l| (&l["level"], &l["msg"])).collect();
        assert_eq!(said.len(), 2, "{text}");
        assert_eq!(
            (said[0].0, said[0].1),
            (&"warning".into(), &"goes wrong, pid=7".into())
        );
        assert_eq!(
            (said[1].0, said[1].1),
            (&"debug".into(), &"is made, cgroup=/a".into())
        );
    }
}
