//! What a running task writes, from now on or from its beginning, until it ends.

mod keys;
mod typing;

use std::time::Duration;

use anyhow::Context as _;
use proto::task::is_terminal;
use proto::v1::TaskState;
use serde_json::Value;
use tokio::time::sleep;

use crate::api::Api;
use crate::live::Task;
use crate::run::{Followed, INTERRUPTED, Output, Show, exit_code, told_end};
use crate::tasks::entries;

pub use typing::attend as type_to;

/// Between two looks at the output.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two looks at the task.
const LOOK: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Now,
    Start,
}

pub struct Attached {
    agent: Api,
    task: Task,
    followed: Followed,
    pub show: Show,
}

/// How a task is.
#[derive(Debug, PartialEq)]
struct Seen {
    state: TaskState,
    message: Option<String>,
    /// Its sandbox, by the path it has in the agent's files API.
    directory: String,
}

impl Attached {
    pub async fn to(agent: Api, task: Task, from: From) -> anyhow::Result<Attached> {
        let mut followed = Followed::default();
        let Seen { directory, .. } = look(&agent, &task).await?;
        match from {
            From::Start => followed.add(&task.task, &directory),
            From::Now => {
                followed
                    .add_from_now(&agent, &task.task, &directory)
                    .await?
            }
        }
        Ok(Attached {
            agent,
            task,
            followed,
            show: Show::on_terminal()?,
        })
    }

    /// Returns, with the exit code, when the task has ended or nobody reads its output any more.
    pub async fn attend(&mut self) -> anyhow::Result<u8> {
        let mut tick = 0_u32;
        loop {
            if tick.is_multiple_of(LOOK) {
                let seen = look(&self.agent, &self.task).await?;
                if is_terminal(seen.state) {
                    return self.end(seen).await;
                }
            }
            self.print().await?;
            if self.show.reader_is_gone() {
                return Ok(INTERRUPTED);
            }
            tick = tick.wrapping_add(1);
            if !self.followed.is_behind() {
                sleep(TICK).await;
            }
        }
    }

    /// All that it has written, and then how it ended.
    async fn end(&mut self, seen: Seen) -> anyhow::Result<u8> {
        let id = &self.task.task;
        self.followed.ended(id);
        while self.followed.has_more_to_its_end(&self.task.task) {
            self.print().await?;
            if self.show.reader_is_gone() {
                return Ok(INTERRUPTED);
            }
        }
        let message = seen.message.as_deref();
        let told = told_end(&self.task.task, seen.state, message);
        self.show.note(&told).await;
        Ok(exit_code(seen.state, message))
    }

    async fn print(&mut self) -> anyhow::Result<()> {
        for Output { stream, lines } in self.followed.read(&self.agent, &self.task.task).await? {
            self.show.text(stream, &lines).await;
        }
        Ok(())
    }
}

async fn look(agent: &Api, task: &Task) -> anyhow::Result<Seen> {
    let state = agent.get("/state").await?;
    seen(&state, task).context("the agent does not tell of the task any more")
}

fn seen(state: &Value, task: &Task) -> Option<Seen> {
    // An executor of its own kind may run several tasks in one container.
    let entry = entries(state)
        .find(|it| (it.id(), it.container()) == (Some(&task.task), Some(&task.container)))?;
    let last = entry.statuses().last();
    let message = last.and_then(|status| status["message"].as_str());
    Some(Seen {
        state: entry.state()?,
        message: message.map(str::to_owned),
        directory: entry.directory()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::live::Life;

    #[test]
    fn a_task_is_seen_with_its_last_message() {
        let statuses = [json!({"message": "first"}), json!({"message": "last"})];
        let task = json!({"id": "t", "state": "TASK_FAILED", "statuses": statuses});
        let executor = json!({"directory": "/d", "container": "c", "completed_tasks": [task]});
        let state = json!({"frameworks": [{"completed_executors": [executor]}]});
        let named = |container: &str| Task {
            task: "t".to_owned(),
            container: container.to_owned(),
            life: Life::Live,
        };
        let wanted = Seen {
            state: TaskState::TaskFailed,
            message: Some("last".to_owned()),
            directory: "/d".to_owned(),
        };
        assert_eq!(seen(&state, &named("c")), Some(wanted));
        assert_eq!(seen(&state, &named("d")), None);
    }
}
