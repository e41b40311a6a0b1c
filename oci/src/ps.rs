//! `ps`: the processes of a container, by their numbers on the host.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use crate::error::{Error, call};
use crate::flags::Ps;
use crate::status;
use crate::store::Store;

pub fn print(store: &Store, flags: &Ps) -> Result<(), Error> {
    let stored = store.find(&flags.id)?.stored()?;
    let processes = status::cgroup(&stored)?.processes();
    let text = match flags.format.as_str() {
        "json" => serde_json::to_string(&processes).map_err(call("write numbers as JSON"))? + "\n",
        "table" => rows(&all(&flags.arguments)?, &processes)?,
        _ => return Err(Error::ListFormat),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(call("write to stdout"))
}

/// What the host's ps(1) says: how its columns come about is for nobody else to say.
fn all(arguments: &[String]) -> Result<String, Error> {
    let arguments = match arguments {
        [] => &["-ef".to_owned()],
        arguments => arguments,
    };
    let output = Command::new("ps")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(call("run this host's ps(1)"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(Error::Ps(output.status)),
    }
}

/// The head, and the rows of these processes.
pub fn rows(table: &str, processes: &[u32]) -> Result<String, Error> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or(Error::NoPidColumn)?;
    let shown = lines.filter(|line| {
        let cell = line.split_whitespace().nth(column);
        let process = cell.and_then(|cell| cell.parse::<u32>().ok());
        process.is_some_and(|process| processes.contains(&process))
    });
    let shown = std::iter::once(head).chain(shown);
    Ok(shown.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_by_the_column_of_numbers() {
        let table = "UID   PID  PPID CMD\nroot  12  1 sh\nroot 1 12 ps 12\nroot 7 12 sh\n";
        let shown = rows(table, &[12, 7]).expect("has the column");
        assert_eq!(shown, "UID   PID  PPID CMD\nroot  12  1 sh\nroot 7 12 sh\n");
        assert_eq!(rows(table, &[]).expect("has it"), "UID   PID  PPID CMD\n");
        assert!(matches!(
            rows("UID CMD\nroot sh\n", &[7]),
            Err(Error::NoPidColumn)
        ));
    }
}
