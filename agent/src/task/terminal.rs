//! From a task's `tty_info` to the terminal of its container. Pure.
//!
//! Source: spec/mesos-agent.md section 19.

use isolators::{Terminal, WindowSize};
use proto::v1;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"tty_info\" asks for {rows} rows and {columns} columns: a terminal has at most 65535 of each"
)]
pub struct BadTerminal {
    rows: u32,
    columns: u32,
}

pub fn terminal(info: Option<&v1::TtyInfo>) -> Result<Option<Terminal>, BadTerminal> {
    let Some(info) = info else { return Ok(None) };
    let size = info.window_size.map(size).transpose()?;
    Ok(Some(Terminal { size }))
}

fn size(size: v1::tty_info::WindowSize) -> Result<WindowSize, BadTerminal> {
    let v1::tty_info::WindowSize { rows, columns } = size;
    match (u16::try_from(rows), u16::try_from(columns)) {
        (Ok(rows), Ok(columns)) => Ok(WindowSize { rows, columns }),
        _ => Err(BadTerminal { rows, columns }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(rows: u32, columns: u32) -> Result<Option<Terminal>, BadTerminal> {
        terminal(Some(&v1::TtyInfo {
            window_size: Some(v1::tty_info::WindowSize { rows, columns }),
        }))
    }

    #[test]
    fn a_terminal_is_as_large_as_the_task_says_if_it_can_be() {
        assert_eq!(terminal(None), Ok(None));
        let unsized_one = Some(Terminal::default());
        assert_eq!(terminal(Some(&v1::TtyInfo::default())), Ok(unsized_one));
        let size = Some(WindowSize {
            rows: 50,
            columns: 132,
        });
        assert_eq!(asked(50, 132), Ok(Some(Terminal { size })));
        let (rows, columns) = (70_000, 80);
        assert_eq!(asked(70_000, 80), Err(BadTerminal { rows, columns }));
    }
}
