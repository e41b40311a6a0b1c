//! From JSON, in any form that was ever accepted, to an [`App`].

mod checks;
mod container;
mod docker_words;
mod network;
mod reader;

use std::collections::BTreeMap;

use serde_json::Value;

use self::reader::{At, Fields, Read};
use super::strategy::{
    ExecutorResources, KillSelection, Limit, ResourceLimits, UnreachableStrategy, UpgradeStrategy,
};
use super::{App, AppId, BadAppId, Constraint, EnvValue, Fetch, Invalid, fetch, validate};

pub(super) use self::reader::Problems;

/// Label of apps of which no two instances may ever run.
pub(super) const SINGLE_INSTANCE: &str = "MARATHON_SINGLE_INSTANCE_APP";

/// Where an app's id comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Naming<'a> {
    /// From the document, as a direct child of a group (anywhere when `None`).
    InGroup(Option<&'a AppId>),
    /// From elsewhere; the document's is ignored.
    Is(&'a AppId),
}

pub(super) fn app(body: &Value, naming: Naming<'_>) -> Result<App, Invalid> {
    let problems = Problems::default();
    let Some(doc) = At::root(body, &problems).object() else {
        problems.check()?;
        return Err(Invalid::argument("not an app"));
    };
    let id = match naming {
        Naming::Is(id) => Some(id.clone()),
        Naming::InGroup(group) => id_in(&doc, group),
    };
    // Without an id the app never leaves this function, but its other errors are found too.
    let named = id.is_some();
    let app = definition(&doc, id.unwrap_or_else(AppId::stand_in));
    validate::check(&app, &problems);
    problems.check()?;
    debug_assert!(named, "an unnamed app passed");
    Ok(app)
}

fn id_in(doc: &Fields<'_>, group: Option<&AppId>) -> Option<AppId> {
    let at = doc.get("id");
    let text: String = doc.required("id")?;
    let at = at?;
    let id = match AppId::resolve(group, &text) {
        Ok(id) => id,
        Err(error) => return at.breaks(error.to_string()),
    };
    match group {
        Some(group) if id.parent().as_ref() != Some(group) => at.breaks(format!(
            "Identifier is not child of '{group}'. Hint: write the id as '{group}/name' or 'name'."
        )),
        _ => Some(id),
    }
}

fn definition(doc: &Fields<'_>, id: AppId) -> App {
    let settled = network::settle(network::Forms::read(doc), doc);
    let labels: BTreeMap<String, String> = doc.map("labels");
    let mut env = settled.env;
    env.extend(doc.map("env"));
    let dependencies = dependencies(doc, &id);
    let app = App {
        id,
        cmd: doc.optional("cmd"),
        args: doc.list("args"),
        user: doc.optional("user"),
        env,
        instances: doc.or("instances", 1),
        cpus: doc.or("cpus", 1.0),
        mem: doc.or("mem", 128.0),
        disk: doc.or("disk", 0.0),
        gpus: doc.or("gpus", 0),
        executor: doc.or("executor", String::new()),
        executor_resources: doc.optional("executorResources"),
        resource_limits: doc.optional("resourceLimits"),
        constraints: doc.list("constraints"),
        fetch: files(doc),
        container: settled.container,
        // Ports can be required only where the app is in the host's network.
        require_ports: settled.networks == super::Networks::Host && doc.or("requirePorts", false),
        networks: settled.networks,
        port_definitions: settled.port_definitions,
        health_checks: doc.list("healthChecks"),
        check: doc.optional("check"),
        readiness_checks: doc.list("readinessChecks"),
        dependencies,
        labels,
        accepted_resource_roles: doc.list("acceptedResourceRoles"),
        role: doc.optional("role"),
        secrets: secrets(doc),
        backoff_seconds: doc.or("backoffSeconds", 1.0),
        backoff_factor: doc.or("backoffFactor", 1.15),
        max_launch_delay_seconds: doc.or("maxLaunchDelaySeconds", 300.0),
        task_kill_grace_period_seconds: doc.optional("taskKillGracePeriodSeconds"),
        upgrade_strategy: UpgradeStrategy::DEFAULT,
        unreachable_strategy: UnreachableStrategy::Replace {
            inactive_after_seconds: 0,
            expunge_after_seconds: 0,
        },
        kill_selection: doc.or("killSelection", KillSelection::YoungestFirst),
        tty: doc.optional("tty"),
    };
    let usual_upgrade = usual_upgrade(&app);
    let usual_unreachable = match app.is_resident() {
        true => UnreachableStrategy::Disabled,
        false => app.unreachable_strategy,
    };
    App {
        upgrade_strategy: upgrade(doc, usual_upgrade),
        unreachable_strategy: doc.or("unreachableStrategy", usual_unreachable),
        ..app
    }
}

/// The upgrade strategy of an app that names none.
fn usual_upgrade(app: &App) -> UpgradeStrategy {
    let single_external = app
        .container
        .as_ref()
        .is_some_and(super::Container::has_exclusive_external_volume);
    if app
        .labels
        .get(SINGLE_INSTANCE)
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        UpgradeStrategy::SINGLE_INSTANCE
    } else if app.is_resident() || single_external {
        UpgradeStrategy::RESIDENT
    } else {
        UpgradeStrategy::DEFAULT
    }
}

fn upgrade(doc: &Fields<'_>, usual: UpgradeStrategy) -> UpgradeStrategy {
    let Some(given) = doc.object("upgradeStrategy") else {
        return usual;
    };
    UpgradeStrategy {
        minimum_health_capacity: given.or("minimumHealthCapacity", usual.minimum_health_capacity),
        maximum_over_capacity: given.or("maximumOverCapacity", usual.maximum_over_capacity),
    }
}

/// `fetch`, or the old `uris`. Both may stand there if they name the same files.
fn files(doc: &Fields<'_>) -> Vec<Fetch> {
    let uris: Option<Vec<String>> = doc.optional("uris");
    let fetch: Option<Vec<Fetch>> = doc.optional("fetch");
    match (fetch, uris) {
        (Some(fetch), Some(uris)) => {
            // Old clients send back `uris` as well, perhaps empty, beside what they read.
            if !uris.is_empty() && !fetch.iter().map(|f| &f.uri).eq(&uris) {
                doc.breaks(
                    "uris",
                    "may not be set in conjunction with fetch: use fetch alone",
                );
            }
            fetch
        }
        (Some(fetch), None) => fetch,
        (None, Some(uris)) => {
            for (i, uri) in uris
                .iter()
                .enumerate()
                .filter(|(_, uri)| !fetch::is_uri(uri))
            {
                doc.breaks(
                    &format!("uris({i})"),
                    format!("URI has invalid syntax. Got {uri:?}"),
                );
            }
            uris.iter().map(|uri| Fetch::from_uri(uri)).collect()
        }
        (None, None) => Vec::new(),
    }
}

fn dependencies(doc: &Fields<'_>, id: &AppId) -> Vec<AppId> {
    let items = doc
        .get("dependencies")
        .and_then(|at| at.items())
        .unwrap_or_default();
    let group = id.parent();
    let dependency = |at: &At<'_>| match AppId::resolve(group.as_ref(), &String::read(at)?) {
        Ok(dependency) => Some(dependency),
        // The root holds every app, so it says nothing about order.
        Err(BadAppId::Root) => None,
        Err(error) => at.breaks(error.to_string()),
    };
    items.iter().filter_map(dependency).collect()
}

fn secrets(doc: &Fields<'_>) -> BTreeMap<String, String> {
    let sources: BTreeMap<String, SecretSource> = doc.map("secrets");
    sources
        .into_iter()
        .map(|(name, source)| (name, source.0))
        .collect()
}

struct SecretSource(String);

impl Read for SecretSource {
    fn read(at: &At<'_>) -> Option<SecretSource> {
        at.object()?.required("source").map(SecretSource)
    }
}

impl Read for EnvValue {
    fn read(at: &At<'_>) -> Option<EnvValue> {
        match at.value {
            Value::Object(_) => at.object()?.required("secret").map(EnvValue::Secret),
            _ => at.text().map(EnvValue::Text),
        }
    }
}

impl Read for Fetch {
    fn read(at: &At<'_>) -> Option<Fetch> {
        let fields = at.object()?;
        let uri: String = fields.required("uri")?;
        if !fetch::is_uri(&uri) {
            fields.breaks("uri", format!("URI has invalid syntax. Got {uri:?}"));
        }
        Some(Fetch {
            uri,
            extract: fields.or("extract", true),
            executable: fields.or("executable", false),
            cache: fields.or("cache", false),
            dest_path: fields.optional("destPath"),
            checksum: fields.optional("checksum"),
            unpacked: fields.or("unpacked", false),
        })
    }
}

impl Read for Constraint {
    fn read(at: &At<'_>) -> Option<Constraint> {
        let words: Vec<String> = if at.value.is_object() {
            let fields = at.object()?;
            let word = |key: &str| fields.get(key).and_then(|at| at.text());
            let (field, operator) = (fields.required("fieldName")?, fields.required("operator")?);
            [field, operator].into_iter().chain(word("value")).collect()
        } else {
            at.items()?.iter().filter_map(At::text).collect()
        };
        Constraint::parse(&words).map_or_else(|error| at.breaks(error.to_string()), Some)
    }
}

impl Read for ExecutorResources {
    fn read(at: &At<'_>) -> Option<ExecutorResources> {
        let fields = at.object()?;
        Some(ExecutorResources {
            cpus: fields.or("cpus", 0.1),
            mem: fields.or("mem", 32.0),
            disk: fields.or("disk", 10.0),
        })
    }
}

impl Read for ResourceLimits {
    fn read(at: &At<'_>) -> Option<ResourceLimits> {
        let fields = at.object()?;
        Some(ResourceLimits {
            cpus: fields.optional("cpus"),
            mem: fields.optional("mem"),
        })
    }
}

impl Read for Limit {
    fn read(at: &At<'_>) -> Option<Limit> {
        match at.value {
            Value::String(_) => at.word(&[("unlimited", Limit::Unlimited)]),
            _ => f64::read(at).map(Limit::At),
        }
    }
}

impl Read for UnreachableStrategy {
    fn read(at: &At<'_>) -> Option<UnreachableStrategy> {
        if at.value.is_string() {
            return at.word(&[("disabled", UnreachableStrategy::Disabled)]);
        }
        let fields = at.object()?;
        let inactive_after_seconds = fields.or("inactiveAfterSeconds", 0);
        Some(UnreachableStrategy::Replace {
            inactive_after_seconds,
            expunge_after_seconds: fields.or("expungeAfterSeconds", inactive_after_seconds),
        })
    }
}

impl Read for KillSelection {
    fn read(at: &At<'_>) -> Option<KillSelection> {
        at.word(&[
            ("YOUNGEST_FIRST", KillSelection::YoungestFirst),
            ("OLDEST_FIRST", KillSelection::OldestFirst),
            ("YoungestFirst", KillSelection::YoungestFirst),
            ("OldestFirst", KillSelection::OldestFirst),
        ])
    }
}
