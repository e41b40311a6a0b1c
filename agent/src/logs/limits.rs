//! How large a task's logs may get: the agent's flags, and what the task's environment says instead.
//!
//! Source: spec/mesos-agent.md section 4.4, logrotate(8).

use proto::sizes::parse_size;
use proto::v1;

/// Of the variables by which a task says what it wants.
const PREFIX: &str = "CONTAINER_LOGGER_";

/// Bytes; the file system gives nothing back in smaller pieces.
const SMALLEST: u64 = 4096;

/// Each is a file that is renamed when a log is rotated.
const MOST_KEPT: u32 = 1000;

/// The two logs of a task; `None` may grow without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    pub stdout: Option<Limit>,
    pub stderr: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Bytes after which a log is rotated.
    pub size: u64,
    /// Rotated files that are kept beside it.
    pub keep: u32,
}

/// What an operator or a task has written.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub size: &'a str,
    pub options: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLimit {
    #[error("{name} is not a size: {why}")]
    Size { name: String, why: String },
    #[error(
        "{name} is {size} bytes: it must be at least 4KB, or 0B for a log that is never rotated"
    )]
    Small { name: String, size: u64 },
    #[error(
        "{name} holds {line:?}: \"rotate\" takes the number of rotated files to keep, from 0 to 1000"
    )]
    Count { name: String, line: String },
}

/// Names for errors, of a size and of options.
type Names<'a> = (&'a str, &'a str);

impl Limits {
    /// From the agent's flags.
    pub fn new(stdout: Asked<'_>, stderr: Asked<'_>) -> Result<Limits, BadLimit> {
        let stdout_names = ("--max_stdout_size", "--logrotate_stdout_options");
        let stderr_names = ("--max_stderr_size", "--logrotate_stderr_options");
        Ok(Limits {
            stdout: limit(
                stdout_names,
                size(stdout_names.0, stdout.size)?,
                stdout.options,
            )?,
            stderr: limit(
                stderr_names,
                size(stderr_names.0, stderr.size)?,
                stderr.options,
            )?,
        })
    }

    /// Bytes of each log that stay while no agent rotates it: as many as all its files would hold, and
    /// what an agent may be late with. 0 for all.
    pub fn bounds(&self) -> (u64, u64) {
        let of = |limit: Option<Limit>| {
            limit.map_or(0, |limit| {
                limit.size.saturating_mul(u64::from(limit.keep) + 2)
            })
        };
        (of(self.stdout), of(self.stderr))
    }

    /// These, where the environment of the task does not say otherwise.
    pub fn of(&self, task: &v1::TaskInfo) -> Result<Limits, BadLimit> {
        Ok(Limits {
            stdout: overridden(self.stdout, "STDOUT", task)?,
            stderr: overridden(self.stderr, "STDERR", task)?,
        })
    }
}

fn overridden(
    ours: Option<Limit>,
    stream: &str,
    task: &v1::TaskInfo,
) -> Result<Option<Limit>, BadLimit> {
    let size_name = format!("{PREFIX}MAX_{stream}_SIZE");
    let options_name = format!("{PREFIX}LOGROTATE_{stream}_OPTIONS");
    let bytes = match variable(task, &size_name) {
        Some(text) => size(&size_name, text)?,
        None => ours.map_or(0, |limit| limit.size),
    };
    match variable(task, &options_name) {
        Some(options) => limit((&size_name, &options_name), bytes, options),
        None => {
            let keep = ours.map_or(0, |limit| limit.keep);
            let limit = limit((&size_name, &options_name), bytes, "")?;
            Ok(limit.map(|limit| Limit { keep, ..limit }))
        }
    }
}

fn size(name: &str, text: &str) -> Result<u64, BadLimit> {
    parse_size(text).map_err(|why| BadLimit::Size {
        name: name.to_owned(),
        why,
    })
}

/// A log that is not rotated needs no options that make sense.
fn limit(names: Names<'_>, size: u64, options: &str) -> Result<Option<Limit>, BadLimit> {
    match size {
        0 => Ok(None),
        1..SMALLEST => Err(BadLimit::Small {
            name: names.0.to_owned(),
            size,
        }),
        _ => Ok(Some(Limit {
            size,
            keep: kept(names.1, options)?,
        })),
    }
}

/// As logrotate does, nothing is kept unless a line says so, and the last such line counts.
fn kept(name: &str, options: &str) -> Result<u32, BadLimit> {
    let mut kept = 0;
    for line in lines(options) {
        let Some(count) = argument(line, "rotate") else {
            continue;
        };
        let count = count.parse().ok().filter(|count| *count <= MOST_KEPT);
        kept = count.ok_or_else(|| BadLimit::Count {
            name: name.to_owned(),
            line: line.to_owned(),
        })?;
    }
    Ok(kept)
}

/// Lines of a task's options that mean something to logrotate(8) and nothing here, as sentences.
pub fn notes(task: &v1::TaskInfo) -> Vec<String> {
    /// What is so in any case, or what the size that is always given overrides.
    const MEANT: &[&str] = &[
        "rotate",
        "size",
        "maxsize",
        "minsize",
        "missingok",
        "notifempty",
        "ifempty",
        "nocompress",
        "nodateext",
        "nomail",
        "copytruncate",
        "nocopytruncate",
        "nocreate",
        "nosharedscripts",
    ];
    let mut notes = Vec::new();
    for stream in ["STDOUT", "STDERR"] {
        let name = format!("{PREFIX}LOGROTATE_{stream}_OPTIONS");
        for line in lines(variable(task, &name).unwrap_or_default()) {
            let word = line.split_whitespace().next().unwrap_or_default();
            if !MEANT.contains(&word) {
                notes.push(format!(
                    "{name} holds {line:?}, which is not done: logs are rotated by size and count only"
                ));
            }
        }
    }
    notes
}

fn lines(options: &str) -> impl Iterator<Item = &str> {
    let lines = options.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn argument<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    let is_whole = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '=');
    is_whole.then(|| rest.trim_start_matches(|c: char| c.is_whitespace() || c == '='))
}

fn variable<'a>(task: &'a v1::TaskInfo, name: &str) -> Option<&'a str> {
    let environment = task.command.as_ref()?.environment.as_ref()?;
    let mut named = environment.variables.iter().rev();
    named
        .find(|variable| variable.name == name)?
        .value
        .as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(variables: &[(&str, &str)]) -> v1::TaskInfo {
        let variables = variables
            .iter()
            .map(|(name, value)| v1::environment::Variable {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
                ..Default::default()
            });
        v1::TaskInfo {
            command: Some(v1::CommandInfo {
                environment: Some(v1::Environment {
                    variables: variables.collect(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn agents() -> Limits {
        let asked = |size| Asked {
            size,
            options: "rotate 4",
        };
        Limits::new(asked("10MB"), asked("0B")).unwrap()
    }

    fn stdout_of(variables: &[(&str, &str)]) -> Result<Option<Limit>, String> {
        let limits = agents().of(&task(variables));
        limits
            .map(|limits| limits.stdout)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_task_that_says_nothing_has_the_agents_limits() {
        let (size, keep) = (10 << 20, 4);
        let wanted = Limits {
            stdout: Some(Limit { size, keep }),
            stderr: None,
        };
        assert_eq!(agents(), wanted);
        assert_eq!(agents().of(&v1::TaskInfo::default()), Ok(wanted));
    }

    #[test]
    fn a_task_says_how_large_and_how_many() {
        const SIZE: &str = "CONTAINER_LOGGER_MAX_STDOUT_SIZE";
        const OPTIONS: &str = "CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS";
        let limit = |size, keep| Ok(Some(Limit { size, keep }));
        assert_eq!(stdout_of(&[(SIZE, "1MB")]), limit(1 << 20, 4));
        assert_eq!(stdout_of(&[(OPTIONS, "rotate 9")]), limit(10 << 20, 9));
        let options = "# ours\n  compress\n rotate 2\n size 5k";
        assert_eq!(
            stdout_of(&[(SIZE, "1MB"), (OPTIONS, options)]),
            limit(1 << 20, 2)
        );
        assert_eq!(stdout_of(&[(OPTIONS, "compress")]), limit(10 << 20, 0));
        assert_eq!(
            stdout_of(&[(SIZE, "0B"), (OPTIONS, "rotate all")]),
            Ok(None)
        );
        for (size, options, wanted) in [
            ("5", "", "CONTAINER_LOGGER_MAX_STDOUT_SIZE is not a size"),
            ("1KB", "", "at least 4KB"),
            ("1MB", "rotate all", "\"rotate all\""),
            ("1MB", "rotate -1", "from 0 to 1000"),
            ("1MB", "rotate", "from 0 to 1000"),
        ] {
            let error = stdout_of(&[(SIZE, size), (OPTIONS, options)]).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let one = agents().of(&task(&[("CONTAINER_LOGGER_MAX_STDERR_SIZE", "1MB")]));
        assert_eq!(
            one.unwrap().stderr,
            Some(Limit {
                size: 1 << 20,
                keep: 0
            })
        );
    }

    #[test]
    fn what_only_logrotate_does_is_noted() {
        let options = "rotate 4\ncompress\npostrotate";
        let notes = notes(&task(&[(
            "CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS",
            options,
        )]));
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("\"compress\""), "{notes:?}");
    }
}
