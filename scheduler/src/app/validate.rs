//! Rules between the fields of an app. Source: spec/marathon-api.md section 4.1.

mod checks;

use std::collections::BTreeSet;

use super::container::{Container, ContainerKind};
use super::parse::{Problems, SINGLE_INSTANCE};
use super::ports;
use super::volumes::{DiskKind, Mode, Persistent, VolumeSource};
use super::{App, AppId, EnvValue, Limit, Networks, UnreachableStrategy, UpgradeStrategy, fetch};

/// A sentence that is true or false of a whole app.
struct Rule {
    path: &'static str,
    says: &'static str,
    broken: fn(&App) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        path: "/",
        says: "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
        broken: |app| match (&app.cmd, app.args.is_empty()) {
            (Some(_), false) => true,
            (None, true) => !has_image(app),
            (Some(_), true) | (None, false) => false,
        },
    },
    Rule {
        path: "/cmd",
        says: "must not be empty",
        broken: |app| app.cmd.as_deref().is_some_and(|cmd| cmd.trim().is_empty()),
    },
    Rule {
        path: "/args(0)",
        says: "must not be empty: name the program to run",
        // What an image's entrypoint makes of its arguments is its own affair.
        broken: |app| !has_image(app) && app.args.first().is_some_and(|a| a.trim().is_empty()),
    },
    Rule {
        path: "/user",
        says: "must not be empty: name a user, or leave it out to run as the scheduler's --mesos_user",
        broken: |app| app.user.as_deref() == Some(""),
    },
    Rule {
        path: "/cpus",
        says: "must be 0 or at least 0.001",
        broken: |app| app.cpus > 0.0 && app.cpus < 0.001,
    },
    Rule {
        path: "/gpus",
        says: "GPU resources only work with the Mesos containerizer",
        broken: |app| app.gpus > 0 && kind(app) == ContainerKind::Docker,
    },
    Rule {
        path: "/executor",
        says: "must be '//cmd', empty, or the path of an executor",
        broken: |app| !is_executor(&app.executor),
    },
    Rule {
        path: "/portDefinitions",
        says: "Ports must be unique.",
        broken: |app| {
            has_twins(
                app.port_definitions
                    .iter()
                    .map(|d| d.port)
                    .filter(|p| *p != 0),
            )
        },
    },
    Rule {
        path: "/container/portMappings",
        says: "Ports must be unique.",
        broken: |app| has_twins(fixed_host_ports(app).into_iter()),
    },
    Rule {
        path: "/networks",
        says: "the network \"none\" leads nowhere: name it alone",
        broken: |app| app.networks.lead_nowhere() && count(&app.networks) > 1,
    },
    Rule {
        path: "/container/portMappings",
        says: "must be empty: the network \"none\" leads nowhere",
        broken: |app| app.networks.lead_nowhere() && !ports::requested(app).is_empty(),
    },
    Rule {
        path: "/",
        says: "Port names must be unique.",
        broken: |app| has_twins(ports::requested(app).into_iter().filter_map(|p| p.name)),
    },
    Rule {
        path: "/healthChecks",
        says: "AppDefinition can contain at most one Mesos health check",
        broken: |app| {
            app.health_checks
                .iter()
                .filter(|c| c.probe.is_by_agent())
                .count()
                > 1
        },
    },
    Rule {
        path: "/check",
        says: "general checks are supported only without a container or in a MESOS container",
        broken: |app| app.check.is_some() && kind(app) == ContainerKind::Docker,
    },
    Rule {
        path: "/readinessChecks",
        says: "AppDefinition can contain at most one readiness check",
        broken: |app| app.readiness_checks.len() > 1,
    },
    Rule {
        path: "/instances",
        says: "Single instance app may only have one instance",
        broken: |app| is_single_instance(app) && app.instances > 1,
    },
    Rule {
        path: "/upgradeStrategy",
        says: "Single instance app must have minimumHealthCapacity 0 and maximumOverCapacity 0",
        broken: |app| {
            is_single_instance(app) && app.upgrade_strategy != UpgradeStrategy::SINGLE_INSTANCE
        },
    },
    Rule {
        path: "/labels",
        says: "label DCOS_MIGRATION_API_VERSION needs DCOS_PACKAGE_FRAMEWORK_NAME and \
               DCOS_MIGRATION_API_PATH too",
        broken: |app| {
            let has = |label: &str| app.labels.contains_key(label);
            has("DCOS_MIGRATION_API_VERSION")
                && !(has("DCOS_PACKAGE_FRAMEWORK_NAME") && has("DCOS_MIGRATION_API_PATH"))
        },
    },
    Rule {
        path: "/taskKillGracePeriodSeconds",
        says: "must be greater than 0",
        broken: |app| app.task_kill_grace_period_seconds == Some(0),
    },
    Rule {
        path: "/unreachableStrategy",
        says: "inactiveAfterSeconds must not be greater than expungeAfterSeconds",
        broken: |app| match app.unreachable_strategy {
            UnreachableStrategy::Replace {
                inactive_after_seconds,
                expunge_after_seconds,
            } => inactive_after_seconds > expunge_after_seconds,
            UnreachableStrategy::Disabled => false,
        },
    },
    Rule {
        path: "/unreachableStrategy",
        says: "must be \"disabled\" for an app with persistent volumes",
        broken: |app| {
            app.is_resident() && app.unreachable_strategy != UnreachableStrategy::Disabled
        },
    },
    Rule {
        path: "/role",
        says: "Resident apps cannot have the role *",
        broken: |app| app.is_resident() && app.role.as_deref() == Some("*"),
    },
    Rule {
        path: "/container/docker/privileged",
        says: "is supported only by containers of type DOCKER",
        broken: |app| kind(app) == ContainerKind::Mesos && docker(app, |d| d.privileged),
    },
    Rule {
        path: "/container/docker/pullConfig",
        says: "is supported only by containers of type MESOS",
        broken: |app| {
            kind(app) == ContainerKind::Docker && docker(app, |d| d.pull_secret.is_some())
        },
    },
    Rule {
        path: "/container/linuxInfo",
        says: "is supported only by containers of type MESOS",
        broken: |app| {
            kind(app) == ContainerKind::Docker
                && app
                    .container
                    .as_ref()
                    .is_some_and(|c| c.linux_info.is_some())
        },
    },
    Rule {
        path: "/dependencies",
        says: "Dependency graph has cyclic dependencies.",
        broken: |app| {
            let contains = |group: &AppId| app.id == *group || app.id.is_below(group);
            app.dependencies.iter().any(contains)
        },
    },
];

/// Rules of which an app can break several, each at a path of its own.
const EACH: &[fn(&App, &Problems)] = &[
    amounts,
    resource_limits,
    env,
    fetched_files,
    volumes,
    networks_of_mappings,
    checks::health_checks,
    checks::readiness_checks,
];

pub(super) fn check(app: &App, problems: &Problems) {
    for rule in RULES.iter().filter(|rule| (rule.broken)(app)) {
        problems.rule(rule.path, rule.says);
    }
    for each in EACH {
        each(app, problems);
    }
}

fn amounts(app: &App, problems: &Problems) {
    let share = 0.0..=1.0;
    let upgrade = app.upgrade_strategy;
    for (path, value) in [
        (
            "/upgradeStrategy/minimumHealthCapacity",
            upgrade.minimum_health_capacity,
        ),
        (
            "/upgradeStrategy/maximumOverCapacity",
            upgrade.maximum_over_capacity,
        ),
    ] {
        if !share.contains(&value) {
            problems.rule(path, format!("got {value:?}, expected between 0.0 and 1.0"));
        }
    }
    let executor = app.executor_resources;
    for (path, value, least) in [
        ("/backoffFactor", Some(app.backoff_factor), 1.0),
        ("/executorResources/cpus", executor.map(|r| r.cpus), 0.1),
        ("/executorResources/mem", executor.map(|r| r.mem), 32.0),
        ("/executorResources/disk", executor.map(|r| r.disk), 10.0),
    ] {
        if let Some(value) = value.filter(|value| *value < least) {
            problems.rule(path, format!("got {value:?}, expected {least:?} or more"));
        }
    }
}

fn resource_limits(app: &App, problems: &Problems) {
    let Some(limits) = app.resource_limits else {
        return;
    };
    for (path, limit, request) in [
        ("/resourceLimits/cpus", limits.cpus, app.cpus),
        ("/resourceLimits/mem", limits.mem, app.mem),
    ] {
        if let Some(Limit::At(value)) = limit.filter(|limit| below(*limit, request)) {
            problems.rule(
                path,
                format!(
                    "got {value:?}, expected \"unlimited\" or at least the request, {request:?}"
                ),
            );
        }
    }
}

fn below(limit: Limit, request: f64) -> bool {
    match limit {
        Limit::At(value) => value < request,
        Limit::Unlimited => false,
    }
}

fn env(app: &App, problems: &Problems) {
    for (name, value) in &app.env {
        let path = format!("/env/{name}");
        if name.is_empty() || name.contains('=') {
            problems.rule(&path, "a variable's name must not be empty nor contain '='");
        }
        match value {
            EnvValue::Secret(secret) if !app.secrets.contains_key(secret) => {
                problems.rule(
                    &path,
                    "references an undefined secret named '".to_owned() + secret + "'",
                );
            }
            EnvValue::Text(_) | EnvValue::Secret(_) => {}
        }
    }
}

fn fetched_files(app: &App, problems: &Problems) {
    for (i, fetch) in app.fetch.iter().enumerate() {
        let path = format!("/fetch({i})/checksum");
        match &fetch.checksum {
            Some(checksum) if !fetch::is_checksum(checksum) => problems.rule(
                &path,
                "must be \"sha256:\" with 64 hexadecimal digits, or \"sha512:\" with 128",
            ),
            Some(_) if fetch::has_checksum(&fetch.uri) => {
                problems.rule(&path, "must not be set where the uri ends with a checksum");
            }
            _ => {}
        }
        if fetch.unpacked && !(fetch.cache && fetch.extract && !fetch.executable) {
            problems.rule(
                &format!("/fetch({i})/unpacked"),
                "must not be set without cache and extract, or with executable",
            );
        }
        let Some(name) = &fetch.dest_path else {
            continue;
        };
        if name.is_empty() || name.starts_with('/') || climbs(name) {
            problems.rule(
                &format!("/fetch({i})/destPath"),
                "must be a path inside the sandbox: relative, and without '..'",
            );
        }
    }
}

fn climbs(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

fn volumes(app: &App, problems: &Problems) {
    let volumes = app.container.iter().flat_map(|c| &c.volumes);
    for (i, volume) in volumes.enumerate() {
        let rule = |key: &str, says: &str| {
            problems.rule(&format!("/container/volumes({i})/{key}"), says);
        };
        if volume.container_path.is_empty() {
            rule("containerPath", "must not be empty");
        }
        if climbs(&volume.container_path) {
            rule(
                "containerPath",
                "must be absolute, or relative to the sandbox, and without '..'",
            );
        }
        match &volume.source {
            VolumeSource::Host { host_path } => {
                if host_path.is_empty() {
                    rule("hostPath", "must not be empty");
                }
            }
            VolumeSource::Persistent(disk) => {
                if volume.container_path.contains('/') {
                    rule(
                        "containerPath",
                        "must be one name without '/' for a persistent volume",
                    );
                }
                if volume.mode == Mode::ReadOnly {
                    rule("mode", "must be RW for a persistent volume");
                }
                persistent(disk, rule);
            }
            VolumeSource::External(disk) => {
                if disk.name.is_empty() {
                    rule("external/name", "must not be empty");
                }
            }
            VolumeSource::Secret { secret } => {
                if !app.secrets.contains_key(secret) {
                    rule("secret", "references an undefined secret");
                }
            }
        }
    }
}

fn persistent(disk: &Persistent, rule: impl Fn(&str, &str)) {
    if disk.size <= 0.0 {
        rule("persistent/size", "must be greater than 0");
    }
    match (disk.max_size, disk.disk) {
        (Some(_), DiskKind::Root | DiskKind::Path) => {
            rule("persistent/maxSize", "is allowed only for type mount");
        }
        (Some(most), DiskKind::Mount) if most <= disk.size => {
            rule("persistent/maxSize", "must be greater than size");
        }
        (Some(_) | None, _) => {}
    }
    if disk.disk == DiskKind::Root && !disk.constraints.is_empty() {
        rule("persistent/constraints", "are not allowed for type root");
    }
}

fn networks_of_mappings(app: &App, problems: &Problems) {
    let names: BTreeSet<&str> = match &app.networks {
        Networks::Container(networks) => networks.iter().map(|n| n.name.as_str()).collect(),
        Networks::Host | Networks::Bridge { .. } => BTreeSet::new(),
    };
    let mappings = app.container.iter().flat_map(|c| &c.port_mappings);
    for (i, mapping) in mappings.enumerate() {
        if !mapping
            .network_names
            .iter()
            .all(|name| names.contains(name.as_str()))
        {
            problems.rule(
                &format!("/container/portMappings({i})/networkNames"),
                "must be names of the app's networks",
            );
        }
    }
}

fn has_image(app: &App) -> bool {
    app.container.as_ref().is_some_and(|c| c.docker.is_some())
}

/// An app without a container runs natively.
fn kind(app: &App) -> ContainerKind {
    app.container
        .as_ref()
        .map_or(ContainerKind::Mesos, |c| c.kind)
}

fn docker(app: &App, is: fn(&super::container::Docker) -> bool) -> bool {
    app.container
        .as_ref()
        .and_then(|c: &Container| c.docker.as_ref())
        .is_some_and(is)
}

fn is_single_instance(app: &App) -> bool {
    app.labels
        .get(SINGLE_INSTANCE)
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// `//cmd`, nothing, or a path without empty segments.
fn is_executor(text: &str) -> bool {
    let path = text.strip_prefix('/').unwrap_or(text);
    text.is_empty() || text == "//cmd" || path.split('/').all(|segment| !segment.is_empty())
}

fn count(networks: &Networks) -> usize {
    match networks {
        Networks::Container(several) => several.len(),
        Networks::Host | Networks::Bridge { .. } => 1,
    }
}

/// Each fixed host port with each of its transport protocols.
fn fixed_host_ports(app: &App) -> Vec<(u16, &'static str)> {
    let mappings = app.container.iter().flat_map(|c| &c.port_mappings);
    mappings
        .filter_map(|m| Some((m.host_port.filter(|p| *p != 0)?, m.protocol.each())))
        .flat_map(|(port, protocols)| protocols.iter().map(move |protocol| (port, *protocol)))
        .collect()
}

fn has_twins<T: Ord>(mut items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    !items.all(|item| seen.insert(item))
}
