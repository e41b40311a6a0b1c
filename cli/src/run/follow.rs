//! The output of tasks, read from their sandboxes while it is written.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lines::Lines;
use super::screen::Stream;
use crate::api::{self, Api, encode};

/// Rounds that a silent file is left alone, at most.
const LONGEST_REST: u32 = 5;

/// Bytes read of a file in one round, so that what is read is shown before there is more of it.
/// The agent gives no more at a time.
const CHUNK: u64 = 64 * 1024;

/// Bytes of a file that are shown after the end of the run was asked for.
const LAST_WORDS: u64 = 1024 * 1024;

/// What was read of a file.
#[derive(Debug, PartialEq)]
pub struct Output {
    pub stream: Stream,
    pub lines: Vec<String>,
}

/// A part of a file that is not shown.
#[derive(Debug, PartialEq)]
pub struct Omission {
    pub task: String,
    pub bytes: u64,
    pub path: String,
}

/// All tasks whose output is shown.
#[derive(Debug, Default)]
pub struct Followed {
    tasks: BTreeMap<String, Task>,
}

#[derive(Debug)]
struct Task {
    files: [File; 2],
    /// Nothing more will be written.
    ended: bool,
    last_line: String,
}

#[derive(Debug)]
struct File {
    stream: Stream,
    path: String,
    offset: u64,
    lines: Lines,
    /// Rounds without news, and rounds still to skip.
    silent: u32,
    resting: u32,
    /// There was more than fits into a round.
    behind: bool,
    complete: bool,
}

impl Followed {
    /// From now on the output of this task is read, from its beginning.
    pub fn add(&mut self, task: &str, directory: &str) {
        let file = |stream, name| File {
            stream,
            path: format!("{directory}/{name}"),
            offset: 0,
            lines: Lines::default(),
            silent: 0,
            resting: 0,
            behind: false,
            complete: false,
        };
        self.tasks.entry(task.to_owned()).or_insert_with(|| Task {
            files: [
                file(Stream::Stdout, "stdout"),
                file(Stream::Stderr, "stderr"),
            ],
            ended: false,
            last_line: String::new(),
        });
    }

    /// From now on what is added to its output is read.
    pub async fn add_from_now(
        &mut self,
        agent: &Api,
        task: &str,
        directory: &str,
    ) -> anyhow::Result<()> {
        self.add(task, directory);
        let files = self.tasks.get_mut(task).map(|task| &mut task.files);
        for file in files.into_iter().flatten() {
            file.offset = file.size(agent).await?;
        }
        Ok(())
    }

    /// What is in the files now is all there will be.
    pub fn ended(&mut self, task: &str) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.ended = true;
            task.files.iter_mut().for_each(|file| file.resting = 0);
        }
    }

    /// Everything of every task that has ended was read.
    pub fn is_complete(&self) -> bool {
        !self.tasks.values().any(Task::has_more_to_its_end)
    }

    /// The task has ended, and not all of its output was read.
    pub fn has_more_to_its_end(&self, task: &str) -> bool {
        self.tasks.get(task).is_some_and(Task::has_more_to_its_end)
    }

    /// Tasks write faster than a round reads.
    pub fn is_behind(&self) -> bool {
        let mut files = self.tasks.values().flat_map(|task| &task.files);
        files.any(|file| file.behind)
    }

    /// Tasks whose output may not be complete.
    pub fn unread(&self) -> Vec<String> {
        let unread = |task: &Task| task.files.iter().any(|file| !file.complete);
        let tasks = self.tasks.iter().filter(|(_, task)| unread(task));
        tasks.map(|(id, _)| id.clone()).collect()
    }

    /// Whether this was the last line that was read of the task.
    pub fn has_said(&self, task: &str, line: &str) -> bool {
        self.tasks
            .get(task)
            .is_some_and(|task| task.last_line == line)
    }

    /// Reads what is new of a task, a bounded part of each file.
    pub async fn read(&mut self, agent: &Api, task: &str) -> anyhow::Result<Vec<Output>> {
        let Some(task) = self.tasks.get_mut(task) else {
            return Ok(Vec::new());
        };
        let mut output = Vec::new();
        for file in task.files.iter_mut().filter(|file| !file.complete) {
            let lines = file.read(agent, task.ended).await?;
            if let Some(last) = lines.last() {
                task.last_line.clone_from(last);
                let stream = file.stream;
                output.push(Output { stream, lines });
            }
        }
        Ok(output)
    }

    /// Goes on near the end of files of which much is unread, and tells what that leaves out.
    pub async fn skip_to_last_words(&mut self, agent: &Api) -> anyhow::Result<Vec<Omission>> {
        let mut omissions = Vec::new();
        for (id, task) in &mut self.tasks {
            for file in task.files.iter_mut().filter(|file| !file.complete) {
                let bytes = file.skip(file.size(agent).await?);
                if bytes > 0 {
                    omissions.push(Omission {
                        task: id.clone(),
                        bytes,
                        path: file.path.clone(),
                    });
                }
            }
        }
        Ok(omissions)
    }
}

impl Task {
    fn has_more_to_its_end(&self) -> bool {
        self.ended && self.files.iter().any(|file| !file.complete)
    }
}

impl File {
    async fn read(&mut self, agent: &Api, ended: bool) -> anyhow::Result<Vec<String>> {
        if self.resting > 0 {
            self.resting -= 1;
            return Ok(Vec::new());
        }
        let Chunk { offset, text } = self.chunk(agent).await?;
        self.go_on_at(offset);
        Ok(self.take(&text, ended))
    }

    /// What lies between was rotated away, for more was written than the agent keeps.
    fn go_on_at(&mut self, offset: u64) {
        if offset > self.offset {
            self.offset = offset;
            // Its line is cut, too.
            self.lines = Lines::default();
        }
    }

    /// The lines in what was read.
    fn take(&mut self, text: &str, ended: bool) -> Vec<String> {
        // The agent gives as many bytes of text as it read from the file: a character that is not
        // whole yet it leaves for the next time.
        let bytes = text.len() as u64;
        self.offset += bytes;
        self.behind = bytes >= CHUNK / 2;
        if bytes > 0 {
            self.silent = 0;
            return self.lines.push(text);
        }
        if ended {
            self.complete = true;
            return self.lines.finish().into_iter().collect();
        }
        self.silent = (self.silent + 1).min(LONGEST_REST);
        self.resting = self.silent;
        Vec::new()
    }

    /// Leaves the last words of a file of this size; says how many bytes are left out.
    fn skip(&mut self, size: u64) -> u64 {
        let start = size.saturating_sub(LAST_WORDS);
        let bytes = start.saturating_sub(self.offset);
        if bytes > 0 {
            self.offset = start;
            // Its line is cut, too.
            self.lines = Lines::default();
        }
        bytes
    }

    async fn size(&self, agent: &Api) -> anyhow::Result<u64> {
        let path = encode(&self.path);
        let ask = format!("/files/read?path={path}&offset=-1");
        match agent.get(&ask).await {
            Ok(answer) => Ok(answer["offset"].as_u64().unwrap_or_default()),
            Err(error) if api::refusal(&error).is_some() => Ok(0),
            Err(error) => Err(error),
        }
    }

    async fn chunk(&self, agent: &Api) -> anyhow::Result<Chunk> {
        let (path, offset) = (encode(&self.path), self.offset);
        let read = format!("/files/read?path={path}&offset={offset}&length={CHUNK}&kept=true");
        let answer = match agent.get(&read).await {
            Ok(answer) => answer,
            // The file is not there yet, or its sandbox was removed.
            Err(error) if api::refusal(&error).is_some() => Value::Null,
            Err(error) => return Err(error),
        };
        Ok(Chunk {
            offset: answer["offset"].as_u64().unwrap_or(offset),
            text: answer["data"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// What an agent gave of a file, and where that begins.
struct Chunk {
    offset: u64,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_complete_before_it_was_read_to_its_end() {
        let mut followed = Followed::default();
        followed.add("a", "/sandbox");
        assert!(followed.is_complete());
        followed.ended("a");
        assert!(!followed.is_complete());
    }

    fn file() -> File {
        let mut followed = Followed::default();
        followed.add("a", "/sandbox");
        let [file, _] = followed.tasks.remove("a").unwrap().files;
        file
    }

    #[test]
    fn a_full_round_is_followed_by_another_at_once() {
        let mut file = file();
        let full = "\n".repeat(CHUNK as usize);
        assert_eq!(file.take(&full, false).len(), full.len());
        assert!(file.behind);
        assert_eq!(file.take("end\n", false), ["end"]);
        assert!(!file.behind);
        assert_eq!(file.offset, CHUNK + 4);
    }

    #[test]
    fn silence_ends_only_what_has_ended() {
        let mut file = file();
        assert_eq!(file.take("a\nrest", false), ["a"]);
        assert!(file.take("", false).is_empty());
        assert!(!file.complete && file.resting > 0);
        assert_eq!(file.take("", true), ["rest"]);
        assert!(file.complete);
    }

    #[test]
    fn what_was_rotated_away_is_left_out_with_the_line_that_it_cuts() {
        let mut file = file();
        assert_eq!(file.take("a\ncut", false), ["a"]);
        file.go_on_at(5);
        assert_eq!(file.take(" in two\n", false), ["cut in two"]);
        assert_eq!(file.take("cut", false), Vec::<String>::new());
        file.go_on_at(100);
        assert_eq!(file.take("b\n", false), ["b"]);
        assert_eq!(file.offset, 102);
    }

    #[test]
    fn last_words_are_bounded() {
        let mut file = file();
        assert_eq!(file.take("a\ncut", false), ["a"]);
        assert_eq!(
            file.skip(LAST_WORDS + 5),
            0,
            "all that is left is short enough"
        );
        assert_eq!(file.skip(LAST_WORDS + 105), 100);
        assert_eq!(file.offset, 105);
        assert_eq!(file.take("whole\n", true), ["whole"]);
    }
}
