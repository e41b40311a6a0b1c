//! `list`: all containers of a root.

use std::io::{self, Write as _};

use crate::error::{Error, call};
use crate::flags::List;
use crate::state::State;
use crate::store::Store;

pub fn print(store: &Store, flags: &List) -> Result<(), Error> {
    let mut states = Vec::new();
    for entry in store.list()? {
        match entry.stored() {
            Ok(stored) => states.push(State::of(&entry, &stored)),
            // It is being made, or was removed since we looked.
            Err(Error::NoContainer) => {}
            Err(error) => return Err(error),
        }
    }
    let text = match (flags.quiet, flags.format.as_str()) {
        (true, _) => states
            .iter()
            .map(|state| format!("{}\n", state.id))
            .collect(),
        (false, "table") => table(&states),
        (false, "json") if states.is_empty() => "null\n".to_owned(),
        (false, "json") => {
            let json = serde_json::to_string(&states).map_err(call("write states as JSON"))?;
            format!("{json}\n")
        }
        (false, _) => return Err(Error::ListFormat),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(call("write to stdout"))
}

fn table(states: &[State]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = states.iter().map(|state| {
        [
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_owned(),
            state.bundle.clone(),
            state.created.clone(),
            state.owner.clone(),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    const NARROWEST: usize = 12;
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count() + 3).max();
        widest.unwrap_or(0).max(NARROWEST)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}
