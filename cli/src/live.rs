//! Running tasks, as words on the command line name them.

mod select;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;

use crate::api::Api;
pub use select::Live;

/// Which task, and where.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Id of a running task or of its container, a unique beginning of one, or the id of an app
    /// that has one task there
    #[arg(value_name = "TASK", value_parser = NonEmptyStringValueParser::new())]
    task: String,

    /// Address of the agent that runs the task
    #[arg(
        long = "agent", value_name = "HOST:PORT", default_value = "127.0.0.1:5051",
        value_parser = host_and_port
    )]
    agent: String,
}

fn host_and_port(text: &str) -> Result<String, &'static str> {
    proto::address::host_and_port(text)
        .map_err(|_neither| "give HOST:PORT, for example 127.0.0.1:5051")
}

impl Named {
    /// The one task that is meant, and its agent.
    pub async fn find(&self) -> anyhow::Result<(Api, Live)> {
        let found = async {
            let agent = Api::at(&self.agent)?;
            let live = select::live(&agent.get("/state").await?)?;
            let one = select::select(&live, &self.task)?.clone();
            Ok::<_, anyhow::Error>((agent, one))
        };
        found.await.with_context(|| {
            let Named { task, agent } = self;
            format!("cannot find {task:?} at {agent} (--agent=HOST:PORT names another agent)")
        })
    }
}
