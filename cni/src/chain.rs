//! The plugins of a network, one after the other; when a container leaves it, from the last to the first.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::network::{Network, Plugin};
use crate::outcome::{self, BadOutcome, shown};
use crate::plan::{Command, Place, Valid, document, document_of_network, environment};
use crate::run::{Output, RunError, locked, memory, run};

/// Where a plugin finds programs, when the agent has no better idea.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs of somebody else.
#[derive(Debug, Clone)]
pub struct Plugins {
    pub directories: Vec<PathBuf>,
    /// Of one run.
    pub limit: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("network {network:?}: plugin {plugin:?} has failed to {command}")]
pub struct Failure {
    pub network: String,
    pub plugin: String,
    pub command: &'static str,
    pub source: Cause,
}

#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("no program of this name is in {directories} (--network_cni_plugins_dir)")]
    NotFound { directories: String },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("it says: {message} (code {code})")]
    Said { code: i64, message: String },
    #[error("it ended with {status}, and printed no error: {printed:?}")]
    Ended { status: String, printed: String },
    #[error(transparent)]
    Outcome(#[from] BadOutcome),
}

impl Plugins {
    /// What the last one said. On failure some of it may be there: `del` takes it away.
    pub fn add(&self, network: &Network, place: &Place<'_>) -> Result<Value, Failure> {
        let mut said = None;
        for plugin in &network.plugins {
            let attempt = || {
                let told = document(network, plugin, place, said.as_ref());
                let stdout = self.call(Command::Add, plugin, Some(place), &told)?;
                Ok(outcome::read(&stdout, network.version)?)
            };
            let answer = attempt().map_err(failed(network, plugin, Command::Add))?;
            said = Some(answer);
        }
        // There is a plugin at least.
        Ok(said.unwrap_or_default())
    }

    /// Whether all is as `result` said.
    pub fn check(
        &self,
        network: &Network,
        place: &Place<'_>,
        result: &Value,
    ) -> Result<(), Failure> {
        for plugin in network.plugins.iter().filter(|_| network.can_check) {
            let told = document(network, plugin, place, Some(result));
            let answer = self.call(Command::Check, plugin, Some(place), &told);
            answer.map_err(failed(network, plugin, Command::Check))?;
        }
        Ok(())
    }

    /// Also of what is there in part, or not at all. Each plugin is asked, whether another fails or not: one
    /// that is not there any more shall not keep the others from it.
    pub fn del(
        &self,
        network: &Network,
        place: &Place<'_>,
        result: Option<&Value>,
    ) -> Vec<Failure> {
        let result = result.filter(|_| network.version.keeps_results());
        let attempts = network.plugins.iter().rev().map(|plugin| {
            let told = document(network, plugin, place, result);
            let answer = self.call(Command::Del, plugin, Some(place), &told);
            answer.map_err(failed(network, plugin, Command::Del))
        });
        attempts.filter_map(Result::err).collect()
    }

    /// Whether all of them would connect a container now. Who does not know the question says nothing.
    pub fn status(&self, network: &Network) -> Result<(), Failure> {
        let can_tell = network.version.looks_after_networks();
        for plugin in network.plugins.iter().filter(|_| can_tell) {
            let told = document_of_network(network, plugin, None);
            let answer = self.call(Command::Status, plugin, None, &told);
            answer.map_err(failed(network, plugin, Command::Status))?;
        }
        Ok(())
    }

    /// Has each take away what it remembers of others than these.
    pub fn collect(&self, network: &Network, valid: &[Valid]) -> Vec<Failure> {
        let attempts = network.plugins.iter().map(|plugin| {
            let told = document_of_network(network, plugin, Some(valid));
            let answer = self.call(Command::Gc, plugin, None, &told);
            answer.map_err(failed(network, plugin, Command::Gc))
        });
        attempts.filter_map(Result::err).collect()
    }

    fn call(
        &self,
        command: Command,
        plugin: &Plugin,
        place: Option<&Place<'_>>,
        told: &Value,
    ) -> Result<Vec<u8>, Cause> {
        let program = self.find(&plugin.kind)?;
        let mut environment = environment(command, place);
        environment.push(("CNI_PATH", self.places()));
        let path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
        environment.push(("PATH", path));
        let input = told.to_string();
        let stdin = match place {
            Some(place) => locked(place.told, input.as_bytes()),
            None => memory(input.as_bytes()),
        };
        let stdin = stdin.map_err(RunError::Start)?;
        let output = run(&program, &environment, stdin, self.limit)?;
        tracing::debug!(
            plugin = plugin.kind,
            command = command.word(),
            container = place.map(|it| it.container),
            interface = place.map(|it| it.interface),
            status = %output.status,
            "a network plugin has ended"
        );
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(cause(&output)),
        }
    }

    fn find(&self, kind: &str) -> Result<PathBuf, Cause> {
        let mut programs = self.directories.iter().map(|it| it.join(kind));
        let can_run = |path: &PathBuf| {
            let meta = path.metadata();
            meta.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        programs.find(can_run).ok_or_else(|| Cause::NotFound {
            directories: self.places(),
        })
    }

    fn places(&self) -> String {
        let places = self.directories.iter().map(|it| it.display().to_string());
        places.collect::<Vec<_>>().join(":")
    }
}

fn failed(network: &Network, plugin: &Plugin, command: Command) -> impl FnOnce(Cause) -> Failure {
    let (network, plugin) = (network.name.clone(), plugin.kind.clone());
    move |source| Failure {
        network,
        plugin,
        command: command.word(),
        source,
    }
}

#[derive(Deserialize)]
struct Complaint {
    code: i64,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

fn cause(output: &Output) -> Cause {
    if let Ok(complaint) = serde_json::from_slice::<Complaint>(&output.stdout) {
        let Complaint { code, msg, details } = complaint;
        let message = match details.is_empty() {
            true => shown(msg.as_bytes()),
            false => format!("{}; {}", shown(msg.as_bytes()), shown(details.as_bytes())),
        };
        return Cause::Said { code, message };
    }
    let printed = match output.stderr.is_empty() {
        true => &output.stdout,
        false => &output.stderr,
    };
    Cause::Ended {
        status: output.status.to_string(),
        printed: shown(printed),
    }
}
