//! `longshore audit`, as an operator calls it.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::program::longshore;

/// What one call came to.
#[derive(Debug, Clone)]
pub struct Audit {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// `arguments` are those of the agent, from its subcommand on.
pub async fn audit(arguments: &[String], more: &[&str]) -> Audit {
    let output = Command::new(longshore())
        .arg("audit")
        .args(&arguments[1..])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Audit {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Audit {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Of a call with `--json`.
    pub fn differences(&self) -> Vec<Value> {
        let json = self.json();
        json["differences"].as_array().cloned().unwrap_or_default()
    }
}

/// What is not as the agent has it recorded. Ports are this host's, and so those of other tests, too.
pub async fn nothing_differs(arguments: &[String]) -> Result<(), String> {
    let audit = audit(arguments, &["--json"]).await;
    if !matches!(audit.status, Some(0 | 1)) {
        return Err(format!("{audit:?}"));
    }
    let mut differences = audit.differences();
    differences.retain(|difference| difference["kind"] != "port");
    match differences.as_slice() {
        [] => Ok(()),
        some => Err(format!("{some:#?}")),
    }
}
