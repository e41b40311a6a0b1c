//! Commands beside a container's own, as health checks are.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Call, segment};
use crate::client::Engine;
use crate::error::EngineError;
use crate::frames::Logs;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    pub exit_code: i64,
    /// Of both streams, as it came; cut short at the bound that was given.
    pub output: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Made {
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Told {
    pub running: bool,
    pub exit_code: Option<i64>,
    /// Of the host; 0 when it has none.
    #[serde(default)]
    pub pid: i32,
}

impl Engine {
    /// Returns when the command has ended. Who stops waiting leaves it to itself. `most`: bytes of output.
    pub async fn exec(
        &self,
        container: &str,
        command: &[String],
        env: &[String],
        most: usize,
    ) -> Result<ExecEnd, EngineError> {
        let what = format!("run a command in container {container}");
        let body = json!({
            "Cmd": command, "Env": env, "AttachStdout": true, "AttachStderr": true,
        });
        let path = format!("containers/{}/exec", segment(container));
        let made: Made = self
            .json(&Call::post(what.as_str(), path).body(body))
            .await?;
        let id = segment(&made.id);
        let start = Call::post(what.as_str(), format!("exec/{id}/start"));
        let start = start.body(json!({"Detach": false, "Tty": false}));
        let mut logs = Logs::of(&start, self.send(&start).await?);
        let mut output = Vec::new();
        while let Some(frame) = logs.next().await? {
            let room = most.saturating_sub(output.len());
            output.extend(frame.bytes.iter().take(room));
        }
        let told: Value = self
            .json(&Call::get(what.as_str(), format!("exec/{id}/json")))
            .await?;
        let told = Told::deserialize(&told).map_err(|source| EngineError::Nonsense {
            what: what.clone(),
            source,
        })?;
        match (told.running, told.exit_code) {
            (false, Some(exit_code)) => Ok(ExecEnd { exit_code, output }),
            _ => Err(EngineError::BadStream {
                what,
                why: "the command has no end",
            }),
        }
    }
}
