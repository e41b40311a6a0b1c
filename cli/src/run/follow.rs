//! The output of tasks, read from their sandboxes while it is written.

use std::collections::BTreeMap;

use super::lines::Lines;
use super::show::Stream;
use crate::api::{self, Api};

/// Rounds that a silent file is left alone, at most.
const LONGEST_REST: u32 = 5;

/// Bytes asked for at a time.
const CHUNK: u64 = 64 * 1024;

/// A line and where it came from.
#[derive(Debug, PartialEq)]
pub struct Output {
    pub task: String,
    pub stream: Stream,
    pub line: String,
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

    /// What is in the files now is all there will be.
    pub fn ended(&mut self, task: &str) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.ended = true;
            task.files.iter_mut().for_each(|file| file.resting = 0);
        }
    }

    /// Everything of every task that has ended was read.
    pub fn is_complete(&self) -> bool {
        let mut files = self
            .tasks
            .values()
            .filter(|t| t.ended)
            .flat_map(|t| &t.files);
        files.all(|file| file.complete)
    }

    /// Whether this was the last line that was read of the task.
    pub fn has_said(&self, task: &str, line: &str) -> bool {
        self.tasks
            .get(task)
            .is_some_and(|task| task.last_line == line)
    }

    /// Reads what is new, in some order of tasks, each file in its own order.
    pub async fn read(&mut self, agent: &Api) -> anyhow::Result<Vec<Output>> {
        let mut output = Vec::new();
        for (id, task) in &mut self.tasks {
            let ended = task.ended;
            for file in task.files.iter_mut().filter(|file| !file.complete) {
                let lines = file.read(agent, ended).await?;
                let stream = file.stream;
                if let Some(last) = lines.last() {
                    task.last_line.clone_from(last);
                }
                output.extend(lines.into_iter().map(|line| Output {
                    task: id.clone(),
                    stream,
                    line,
                }));
            }
        }
        Ok(output)
    }
}

impl File {
    async fn read(&mut self, agent: &Api, ended: bool) -> anyhow::Result<Vec<String>> {
        if self.resting > 0 {
            self.resting -= 1;
            return Ok(Vec::new());
        }
        let mut lines = Vec::new();
        loop {
            let text = self.chunk(agent).await?;
            if text.is_empty() {
                break;
            }
            // The agent gives as many bytes of text as it read from the file: a character that is
            // not whole yet it leaves for the next time.
            self.offset += text.len() as u64;
            self.silent = 0;
            lines.extend(self.lines.push(&text));
            if (text.len() as u64) < CHUNK / 2 && !ended {
                return Ok(lines);
            }
        }
        if ended {
            self.complete = true;
            lines.extend(self.lines.finish());
        } else {
            self.silent = (self.silent + 1).min(LONGEST_REST);
            self.resting = self.silent;
        }
        Ok(lines)
    }

    async fn chunk(&self, agent: &Api) -> anyhow::Result<String> {
        let (path, offset) = (encode(&self.path), self.offset);
        let read = format!("/files/read?path={path}&offset={offset}&length={CHUNK}");
        match agent.get(&read).await {
            Ok(answer) => Ok(answer["data"].as_str().unwrap_or_default().to_owned()),
            // The file is not there yet, or its sandbox was removed.
            Err(error) if api::refusal(&error).is_some() => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

/// Percent-encodes what has a meaning of its own in a query.
fn encode(path: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/-_.~".contains(&c);
    path.bytes()
        .map(|c| {
            if plain(c) {
                char::from(c).to_string()
            } else {
                format!("%{c:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_in_a_query() {
        assert_eq!(encode("/a b/c&d=ü"), "/a%20b/c%26d%3D%C3%BC");
    }

    #[test]
    fn nothing_is_complete_before_it_was_read_to_its_end() {
        let mut followed = Followed::default();
        followed.add("a", "/sandbox");
        assert!(followed.is_complete());
        followed.ended("a");
        assert!(!followed.is_complete());
    }
}
