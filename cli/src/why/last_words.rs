//! The end of what a task wrote.

use crate::api::{Api, encode};

/// Bytes that are read of a file, from its end.
const BYTES: u64 = 4096;

const LINES: usize = 20;

/// The last lines of a file.
#[derive(Debug)]
pub struct LastWords(pub Vec<String>);

/// `path` is one of the agent's files API.
pub async fn read(agent: &Api, path: &str) -> anyhow::Result<LastWords> {
    let path = encode(path);
    let ask = format!("/files/read?path={path}&offset=-1");
    let size = agent.get(&ask).await?["offset"].as_u64();
    let offset = size.unwrap_or_default().saturating_sub(BYTES);
    let ask = format!("/files/read?path={path}&offset={offset}&length={BYTES}");
    let answer = agent.get(&ask).await?;
    let text = answer["data"].as_str().unwrap_or_default();
    let cut = if offset == 0 {
        Cut::Nothing
    } else {
        Cut::Begin
    };
    Ok(LastWords(lines(text, cut)))
}

/// What was left out before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    Begin,
}

/// The last lines of `text`, all of them whole, unless there is but one.
fn lines(text: &str, cut: Cut) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match (cut, lines.as_mut_slice()) {
        (Cut::Nothing, _) | (Cut::Begin, []) => {}
        (Cut::Begin, [one]) => one.insert(0, '…'),
        (Cut::Begin, [..]) => drop(lines.remove(0)),
    }
    lines.split_off(lines.len().saturating_sub(LINES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_words() {
        assert_eq!(lines("one\r\ntwo", Cut::Nothing), ["one", "two"]);
        assert_eq!(lines("ne\ntwo\n", Cut::Begin), ["two"]);
        assert_eq!(lines("no line ends", Cut::Begin), ["…no line ends"]);
        assert!(lines("", Cut::Nothing).is_empty());
        assert!(lines("", Cut::Begin).is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let text: String = (0..25).map(|n| format!("{n}\n")).collect();
        let last = lines(&text, Cut::Nothing);
        assert_eq!((last.len(), last[0].as_str()), (LINES, "5"));
    }
}
