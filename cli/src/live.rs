//! Tasks of an agent, as words on the command line name them: mostly of those that live.

mod select;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use crate::api::Api;
use select::Among;
#[cfg(test)]
pub use select::Life;
pub use select::Task;

/// Which task, and where.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Id of a task or of its container, a unique beginning of one, or the id of an app that has
    /// one task there
    #[arg(value_name = "TASK", value_parser = NonEmptyStringValueParser::new())]
    task: String,

    /// Address of the agent that has the task
    #[arg(
        long = "agent", value_name = "HOST:PORT", default_value = "127.0.0.1:5051",
        value_parser = host_and_port
    )]
    agent: String,
}

/// The form of addresses on the command line.
pub fn host_and_port(text: &str) -> Result<String, &'static str> {
    proto::address::host_and_port(text)
        .map_err(|_neither| "give HOST:PORT, for example 127.0.0.1:5051")
}

/// A task, and where it was found.
#[derive(Debug)]
pub struct Found {
    pub agent: Api,
    pub task: Task,
    /// The agent's answer that lists it.
    pub state: Value,
}

impl Named {
    /// The one live task that is meant, and its agent.
    pub async fn find(&self) -> anyhow::Result<(Api, Task)> {
        let found = self.find_among(Among::Live).await?;
        Ok((found.agent, found.task))
    }

    /// The same, also among tasks that have ended.
    pub async fn find_known(&self) -> anyhow::Result<Found> {
        self.find_among(Among::Known).await
    }

    async fn find_among(&self, among: Among) -> anyhow::Result<Found> {
        let found = async {
            let agent = Api::at(&self.agent)?;
            let state = agent.get("/state").await?;
            let tasks = select::tasks(&state, among)?;
            let task = select::select(&tasks, &self.task, among)?.clone();
            Ok::<_, anyhow::Error>(Found { agent, task, state })
        };
        found.await.with_context(|| {
            let Named { task, agent } = self;
            format!("cannot find {task:?} at {agent} (--agent=HOST:PORT names another agent)")
        })
    }
}
