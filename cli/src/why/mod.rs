//! What `longshore why` tells of a task, out of what its agent answers. Pure, but for the reading of
//! its last words.

mod cause;
mod chain;
mod guess;
mod last_words;
mod rights;
mod span;
mod story;
mod timeline;
mod verdict;

use std::time::Duration;

use proto::task::is_terminal;

use crate::terminal::harmless;
pub use last_words::{LastWords, read};
pub use rights::Rights;
use story::Event;
pub use story::Story;

/// From the verdict to the cause. `now` is the time since 1970.
pub fn told(story: &Story, now: Duration) -> Vec<String> {
    let mut lines = vec![verdict::verdict(story, now)];
    if !story.events.is_empty() {
        lines.push(String::new());
        lines.extend(timeline::timeline(&story.events));
    }
    let links: Vec<_> = story
        .events
        .last()
        .into_iter()
        .flat_map(Event::links)
        .collect();
    if !links.is_empty() {
        lines.push(String::new());
        lines.extend(links.iter().map(|link| format!("    {link}")));
    }
    if let Some(cause) = cause::cause(story) {
        lines.extend([String::new(), cause]);
    }
    // Messages name files and processes, which tasks name as they like.
    lines.iter().map(|line| harmless(line)).collect()
}

/// Whether there are words that are its last.
pub fn has_ended(story: &Story) -> bool {
    is_terminal(story.state)
}

/// The last words, and where all of them are.
pub fn quoted(words: &anyhow::Result<LastWords>, path: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    match words {
        Ok(LastWords(words)) if words.is_empty() => {
            lines.push("it wrote nothing to stderr".to_owned());
        }
        Ok(LastWords(words)) => {
            lines.push("its last words on stderr:".to_owned());
            lines.extend(words.iter().map(|line| format!("    {}", harmless(line))));
        }
        Err(error) => {
            let error = harmless(&crate::terminal::chain(error));
            lines.push(format!("its stderr cannot be read: {error}"));
        }
    }
    lines.push(format!("all of it: {} on the agent's host", harmless(path)));
    lines
}

/// What the last words let one guess, as long as no cause is known.
pub fn guessed(story: &Story, rights: &Rights, words: &anyhow::Result<LastWords>) -> Vec<String> {
    let words = words.as_ref().ok();
    let guess = words.and_then(|words| guess::guess(story, rights, words));
    let guess = guess.map(|guess| [String::new(), harmless(&guess)]);
    guess.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskState::{TaskFailed, TaskRunning};

    use super::story::tests::{event, story};
    use super::*;

    #[test]
    fn a_task_that_failed_is_told_from_verdict_to_cause() {
        let mut failed = event(TaskFailed, 13.5);
        failed.message = Some("Command exited with status 7".to_owned());
        let story = story(vec![event(TaskRunning, 1.25), failed]);
        assert_eq!(
            told(&story, Duration::from_secs(60)),
            [
                "t failed after it ran for 12 s: Command exited with status 7",
                "",
                "1970-01-01T00:00:01.250Z  running",
                "1970-01-01T00:00:13.500Z  failed   Command exited with status 7",
                "",
                "Its command ended with status 7 by itself: what that means is the program's own \
                 affair, and it may say more on stderr or stdout.",
            ]
        );
    }

    #[test]
    fn the_chain_of_causes_stands_before_what_they_mean() {
        let mut failed = event(TaskFailed, 1.0);
        failed.message = Some(
            "Command terminated with signal Terminated; sent by the kernel; so it was".to_owned(),
        );
        let lines = told(&story(vec![failed]), Duration::ZERO);
        assert_eq!(
            lines[..7],
            [
                "t failed before it ran: Command terminated with signal Terminated",
                "",
                "1970-01-01T00:00:01.000Z  failed  Command terminated with signal Terminated",
                "",
                "    sent by the kernel",
                "    so it was",
                "",
            ]
        );
        assert!(lines[7].starts_with("Its command was ended by SIGTERM"));
    }

    #[test]
    fn a_task_that_runs_is_told_in_one_line_and_its_timeline() {
        let story = story(vec![event(TaskRunning, 1.25)]);
        assert_eq!(
            told(&story, Duration::from_secs(61)),
            [
                "t runs well, for 59 s now",
                "",
                "1970-01-01T00:00:01.250Z  running",
            ]
        );
        assert!(!has_ended(&story));
    }

    #[test]
    fn nothing_that_a_task_named_reaches_the_terminal_as_it_is() {
        let mut failed = event(TaskFailed, 1.0);
        failed.message = Some("the kernel killed process 7 (\u{1b}[2J)".to_owned());
        let lines = told(&story(vec![failed]), Duration::ZERO).join("");
        assert!(lines.contains("(\\u{1b}[2J)"), "{lines}");
        assert!(!lines.contains('\u{1b}'), "{lines}");
    }

    #[test]
    fn a_guess_is_quoted_harmlessly() {
        let mut failed = event(TaskFailed, 1.0);
        failed.message = Some("Command exited with status 1".to_owned());
        let words = LastWords(vec!["\u{1b}[2Jx: No space left on device".to_owned()]);
        let lines = guessed(&story(vec![failed]), &Rights::usual(), &Ok(words)).join("");
        assert!(lines.contains("\\u{1b}[2Jx: No space"), "{lines}");
        let none = Err(anyhow::anyhow!("no such file"));
        let running = story(vec![event(TaskRunning, 1.0)]);
        assert_eq!(guessed(&running, &Rights::usual(), &none), [""; 0]);
    }

    #[test]
    fn last_words_are_quoted_with_the_place_of_all_of_them() {
        let words = Ok(LastWords(vec!["one".to_owned(), "\u{7}two".to_owned()]));
        assert_eq!(
            quoted(&words, "/s/stderr"),
            [
                "",
                "its last words on stderr:",
                "    one",
                "    \\u{7}two",
                "all of it: /s/stderr on the agent's host",
            ]
        );
        let silent = quoted(&Ok(LastWords(vec![])), "/s/stderr");
        assert_eq!(silent[1], "it wrote nothing to stderr");
        let gone = quoted(&Err(anyhow::anyhow!("no such file")), "/s/stderr");
        assert_eq!(gone[1], "its stderr cannot be read: no such file");
    }
}
