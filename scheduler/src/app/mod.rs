//! The app: what a user wants to have running, as one canonical definition.
//!
//! Users write apps in the words of ten years of Marathon. All of those forms end here: `parse`
//! reads them into one [`App`], collecting every error with its path; `validate` holds the rules
//! between fields; `output` writes the canonical form that clients read. Nothing behind this module
//! ever sees `uris`, `ports`, `ipAddress` or `docker.network`.
//!
//! Invariant: `App::create(&app.to_json()) == app`, so what a client reads it may send back, and
//! the store keeps the same text that clients see.
//!
//! Source: spec/marathon-api.md sections 2, 3.1.1, 4, 5, 6, 8.

pub mod constraint;
pub mod container;
pub mod environment;
pub mod health;
pub mod network;
pub mod ports;
pub mod strategy;
pub mod task;
pub mod volumes;

mod fetch;
mod id;
mod invalid;
mod output;
mod parse;
mod timestamp;
mod update;
mod validate;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use constraint::Constraint;
pub use container::Container;
pub use fetch::Fetch;
pub use health::{Check, HealthCheck, ReadinessCheck};
pub use id::{AppId, BadAppId};
pub use invalid::{Details, Invalid};
pub use network::Networks;
pub use ports::PortDefinition;
pub use strategy::{
    ExecutorResources, KillSelection, Limit, ResourceLimits, UnreachableStrategy, UpgradeStrategy,
};
pub use timestamp::{BadTimestamp, Timestamp};

/// One app in canonical form. Two equal values are the same app.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct App {
    pub id: AppId,
    /// Run by a shell. Excludes `args`.
    pub cmd: Option<String>,
    /// Run without a shell; with an image, the arguments of its entrypoint.
    pub args: Vec<String>,
    pub user: Option<String>,
    pub env: BTreeMap<String, EnvValue>,
    pub instances: u32,
    /// Per instance: cores, then MiB.
    pub cpus: f64,
    pub mem: f64,
    pub disk: f64,
    pub gpus: u32,
    /// `""` or `//cmd` for a command task, else the path of a custom executor.
    pub executor: String,
    pub executor_resources: Option<ExecutorResources>,
    pub resource_limits: Option<ResourceLimits>,
    pub constraints: Vec<Constraint>,
    pub fetch: Vec<Fetch>,
    pub container: Option<Container>,
    pub networks: Networks,
    /// Empty unless `networks` is `Host`.
    pub port_definitions: Vec<PortDefinition>,
    /// Host ports must equal the numbers in `port_definitions`.
    pub require_ports: bool,
    pub health_checks: Vec<HealthCheck>,
    pub check: Option<Check>,
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Apps or groups that must be up before this app starts.
    pub dependencies: Vec<AppId>,
    pub labels: BTreeMap<String, String>,
    /// Empty: the scheduler's default.
    pub accepted_resource_roles: Vec<String>,
    pub role: Option<String>,
    /// Secret name to its source.
    pub secrets: BTreeMap<String, String>,
    pub backoff_seconds: f64,
    /// At least 1.
    pub backoff_factor: f64,
    pub max_launch_delay_seconds: f64,
    /// Between SIGTERM and SIGKILL; the agent's default when absent. At least 1.
    pub task_kill_grace_period_seconds: Option<u32>,
    pub upgrade_strategy: UpgradeStrategy,
    pub unreachable_strategy: UnreachableStrategy,
    pub kill_selection: KillSelection,
    pub tty: Option<bool>,
}

/// The value of an environment variable: given, or the name of one of the app's secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    Text(String),
    Secret(String),
}

impl App {
    /// Reads a complete definition; a relative id is taken below the root group.
    pub fn create(body: &Value) -> Result<App, Invalid> {
        parse::app(body, parse::Naming::InGroup(None))
    }

    /// Reads a complete definition that stands in a group document.
    pub fn create_in(group: &AppId, body: &Value) -> Result<App, Invalid> {
        parse::app(body, parse::Naming::InGroup(Some(group)))
    }

    /// Reads a complete definition whose id is known from elsewhere (the URL): one in `body` is
    /// ignored.
    pub fn create_as(id: &AppId, body: &Value) -> Result<App, Invalid> {
        parse::app(body, parse::Naming::Is(id))
    }

    /// This app changed by `body`. With `partial`, each key of `body` replaces the whole value of
    /// that key, `null` puts its default back, and other keys stay; without, `body` is complete.
    pub fn update(&self, body: &Value, partial: bool) -> Result<App, Invalid> {
        if !partial {
            return App::create_as(&self.id, body);
        }
        App::create_as(&self.id, &update::overlay(self, body)?)
    }

    /// Whether tasks of both may run side by side as the same version: all but the number of
    /// instances is equal.
    pub fn same_definition(&self, other: &App) -> bool {
        let scaled = App {
            instances: other.instances,
            ..self.clone()
        };
        scaled == *other
    }

    /// An app with persistent volumes, whose instances are bound to their agents.
    pub fn is_resident(&self) -> bool {
        self.container
            .as_ref()
            .is_some_and(Container::has_persistent_volume)
    }

    /// The canonical form, without version, counters and tasks, which only the scheduler knows.
    pub fn to_json(&self) -> Map<String, Value> {
        output::app(self)
    }
}

/// The version that `body` asks to go back to, if that is what it says: `version`, alone or with
/// `id`. A copy of the current version beside other keys (GET, edit, PUT) is no such request.
pub fn rollback(body: &Value, current: Option<Timestamp>) -> Result<Option<Timestamp>, Invalid> {
    update::rollback(body, current)
}

impl TryFrom<Value> for App {
    type Error = Invalid;

    fn try_from(body: Value) -> Result<App, Invalid> {
        App::create(&body)
    }
}

impl From<App> for Value {
    fn from(app: App) -> Value {
        Value::Object(app.to_json())
    }
}

#[cfg(test)]
mod tests;
