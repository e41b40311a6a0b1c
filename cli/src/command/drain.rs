//! `longshore drain`: an agent takes no more tasks, and those that run end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::units::parse_duration;
use serde_json::{Map, Value, json};

use super::block_on;
use crate::api::Api;
use crate::live::host_and_port;
use crate::signals::Requests;
use crate::{logs, terminal};

/// Between two looks at what still runs.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Kill what still runs after this long; without it the tasks are waited for
    #[arg(long = "deadline", value_name = "TIME", value_parser = parse_duration)]
    deadline: Option<Duration>,

    /// Kill all tasks now
    #[arg(long = "kill", conflicts_with = "deadline")]
    kill: bool,

    /// The longest that a task has between SIGTERM and SIGKILL, whatever it asks for
    #[arg(long = "max_grace_period", value_name = "TIME", value_parser = parse_duration)]
    max_grace_period: Option<Duration>,

    /// Take the drain back: the agent takes tasks again
    #[arg(long = "undo", conflicts_with_all = ["deadline", "kill", "max_grace_period"])]
    undo: bool,

    /// Begin it, and do not wait for its end
    #[arg(long = "detach", conflicts_with = "undo")]
    detach: bool,

    /// Address of the agent
    #[arg(
        long = "agent", value_name = "HOST:PORT", default_value = "127.0.0.1:5051",
        value_parser = host_and_port
    )]
    agent: String,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async {
        let agent = Api::at(&flags.agent)?;
        if flags.undo {
            let undone = agent.delete("/drain").await;
            undone.with_context(|| format!("the agent at {} goes on draining", flags.agent))?;
            terminal::out("the agent takes tasks again");
            return Ok(ExitCode::SUCCESS);
        }
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let begun = agent.post("/drain", &wish(&flags)).await;
        let mut told =
            begun.with_context(|| format!("cannot drain the agent at {}", flags.agent))?;
        let mut shown = None;
        loop {
            let line = line(&told)?;
            if shown.as_ref() != Some(&line) {
                terminal::out(&line);
            }
            shown = Some(line);
            if flags.detach || is_drained(&told) {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::select! {
                _ = requests.next() => {
                    terminal::out("it goes on without you: longshore drain --undo takes it back");
                    return Ok(ExitCode::FAILURE);
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            // One that is restarted goes on with its drain.
            if let Ok(answer) = agent.get("/drain").await {
                told = answer;
            }
        }
    })
}

/// What the agent is asked for.
fn wish(flags: &Flags) -> Value {
    let deadline = match flags.kill {
        true => Some(Duration::ZERO),
        false => flags.deadline,
    };
    let times = [
        ("deadline", deadline),
        ("max_grace_period", flags.max_grace_period),
    ];
    let times = times.into_iter().filter_map(|(name, time)| {
        let nanoseconds = u64::try_from(time?.as_nanos()).unwrap_or(u64::MAX);
        Some((name.to_owned(), json!({ "nanoseconds": nanoseconds })))
    });
    Value::Object(times.collect::<Map<_, _>>())
}

fn is_drained(told: &Value) -> bool {
    told["drain_info"]["state"] == "DRAINED"
}

fn line(told: &Value) -> anyhow::Result<String> {
    let tasks = told["tasks"]
        .as_u64()
        .context("the agent does not tell how many tasks it has")?;
    if told["drain_info"].is_null() {
        bail!("somebody else has taken the drain back");
    }
    if is_drained(told) {
        return Ok("drained: no task is left, and none is taken".to_owned());
    }
    let deadline = told["deadline"]["nanoseconds"].as_u64();
    Ok(match deadline {
        Some(0) => format!("draining: {tasks} left, which are being killed"),
        Some(_) => format!("draining: {tasks} left, which are killed at the deadline"),
        None => format!("draining: {tasks} left, which are waited for"),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn parse(words: &[&str]) -> Result<Flags, clap::Error> {
        let words = ["drain"].into_iter().chain(words.iter().copied());
        Line::try_parse_from(words).map(|line| line.flags)
    }

    #[test]
    fn what_is_asked_for_has_the_words_of_mesos() {
        let table = [
            (&[] as &[&str], json!({})),
            (&["--kill"], json!({"deadline": {"nanoseconds": 0}})),
            (
                &["--deadline=10mins", "--max_grace_period=2secs"],
                json!({"deadline": {"nanoseconds": 600_000_000_000_u64},
                       "max_grace_period": {"nanoseconds": 2_000_000_000}}),
            ),
        ];
        for (words, wanted) in table {
            assert_eq!(wish(&parse(words).unwrap()), wanted, "{words:?}");
        }
        for bad in [
            &["--kill", "--deadline=1secs"] as &[&str],
            &["--undo", "--kill"],
            &["--deadline=soon"],
            &["--agent=n5"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_answer_is_a_line() {
        let draining = json!({"state": "DRAINING"});
        let table = [
            (
                json!({"tasks": 2, "drain_info": draining}),
                "2 left, which are waited for",
            ),
            (
                json!({"tasks": 2, "drain_info": draining, "deadline": {"nanoseconds": 5}}),
                "killed at the deadline",
            ),
            (
                json!({"tasks": 2, "drain_info": draining, "deadline": {"nanoseconds": 0}}),
                "being killed",
            ),
            (
                json!({"tasks": 0, "drain_info": {"state": "DRAINED"}}),
                "drained: no task",
            ),
        ];
        for (told, wanted) in table {
            let line = line(&told).unwrap();
            assert!(line.contains(wanted), "{line}");
        }
        let error = line(&json!({"tasks": 2})).unwrap_err().to_string();
        assert!(error.contains("taken the drain back"), "{error}");
    }
}
