//! Whether an agent may go on under its old id: frameworks rely on what they were told of it.
//!
//! Source: spec/mesos-agent.md section 14.

use std::path::PathBuf;

use proto::resources::Ranges;
use proto::v1;

use crate::config::Config;

/// How much of itself an agent may change between two starts: `--reconfiguration_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Reconfiguration {
    /// Nothing.
    Equal,
    /// There may be more of everything.
    Additive,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent's {what} was {old} when it last ran and is {new} now: {remedy}, or remove {} to start \
     as a new agent (its tasks are then lost)", .latest.display()
)]
pub struct Changed {
    what: &'static str,
    old: String,
    new: String,
    remedy: &'static str,
    latest: PathBuf,
}

/// `port` is `None` when any would do; `latest` is the link that stands for the old agent.
pub fn check_unchanged(
    old: &v1::AgentInfo,
    config: &Config,
    port: Option<u16>,
    policy: Reconfiguration,
    latest: PathBuf,
) -> Result<(), Changed> {
    let resources = crate::book::total(&old.resources);
    let is_more = policy == Reconfiguration::Additive;
    let old_port = old.port().to_string();
    let new_port = port.map_or_else(|| old_port.clone(), |port| port.to_string());
    let may_grow = match policy {
        Reconfiguration::Equal => {
            "restore the flag (with --reconfiguration_policy=additive it may \
                                   grow)"
        }
        Reconfiguration::Additive => "restore what is missing",
    };
    let restore = "restore the flag";
    let table = [
        (
            "--resources",
            resources == config.resources || is_more && config.resources.contains(&resources),
            (resources.to_string(), config.resources.to_string()),
            may_grow,
        ),
        (
            "--attributes",
            old.attributes == config.attributes
                || is_more && has_all(&config.attributes, &old.attributes),
            (text(&old.attributes), text(&config.attributes)),
            may_grow,
        ),
        (
            "--hostname",
            old.hostname == config.hostname,
            (old.hostname.clone(), config.hostname.clone()),
            restore,
        ),
        (
            "--port",
            old_port == new_port,
            (old_port, new_port),
            restore,
        ),
    ];
    match table.into_iter().find(|(_, is_fine, ..)| !is_fine) {
        None => Ok(()),
        Some((what, _, (old, new), remedy)) => Err(Changed {
            what,
            old,
            new,
            remedy,
            latest,
        }),
    }
}

fn has_all(new: &[v1::Attribute], old: &[v1::Attribute]) -> bool {
    let has = |old: &v1::Attribute| new.iter().any(|new| covers(new, old));
    old.iter().all(has)
}

/// Equal, or ranges that hold those of before.
fn covers(new: &v1::Attribute, old: &v1::Attribute) -> bool {
    let ranges = |attribute: &v1::Attribute| {
        let wire = attribute.ranges.as_ref()?;
        let pairs = wire.range.iter().map(|r| (r.begin, r.end));
        Ranges::from_pairs(pairs).ok()
    };
    match (ranges(new), ranges(old)) {
        (Some(more), Some(less)) => new.name == old.name && less.subtract(&more).is_empty(),
        _ => new == old,
    }
}

fn text(attributes: &[v1::Attribute]) -> String {
    let flat = proto::attributes::flat_json(attributes);
    serde_json::Value::Object(flat).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;
    use crate::host::HostFacts;

    const BEFORE: [&str; 3] = [
        "--resources=cpus:2;mem:64;disk:9;ports:[1-9]",
        "--attributes=rack:1;zones:[1-3];disk:hdd",
        "--hostname=n5",
    ];

    fn config(arguments: &[&str]) -> Config {
        let host = HostFacts {
            cpus: 8,
            memory: None,
            disk: None,
            hostname: "n".into(),
        };
        Config::new(&parse(arguments), &host).unwrap()
    }

    /// The flag that must not have changed so, if any.
    fn refused(changed: &[&str], policy: Reconfiguration) -> Option<&'static str> {
        let old = config(&BEFORE).agent_info(5051, None);
        let mut now = BEFORE.to_vec();
        for flag in changed {
            let name = flag.split('=').next().unwrap();
            now.retain(|known| !known.starts_with(name));
            now.push(flag);
        }
        let check = check_unchanged(&old, &config(&now), Some(5051), policy, "latest".into());
        check.err().map(|changed| changed.what)
    }

    #[test]
    fn an_agent_stays_as_it_was_unless_it_may_grow() {
        use Reconfiguration::{Additive, Equal};
        let more = "--resources=cpus:3;mem:64;disk:9;ports:[1-12]";
        let less = "--resources=cpus:3;mem:63;disk:9;ports:[1-9]";
        let attributes = "--attributes=rack:1;zones:[1-4];disk:hdd;gpu:none";
        let table: [(&[&str], _, _); 9] = [
            (&[], Equal, None),
            (&[more], Equal, Some("--resources")),
            (&[attributes], Equal, Some("--attributes")),
            (&[more, attributes], Additive, None),
            (&[less], Additive, Some("--resources")),
            (
                &["--attributes=rack:2;zones:[1-3];disk:hdd"],
                Additive,
                Some("--attributes"),
            ),
            (
                &["--attributes=rack:1;zones:[2-3];disk:hdd"],
                Additive,
                Some("--attributes"),
            ),
            (
                &["--attributes=rack:1;disk:hdd"],
                Additive,
                Some("--attributes"),
            ),
            (&["--hostname=n6"], Additive, Some("--hostname")),
        ];
        for (changed, policy, wanted) in table {
            assert_eq!(refused(changed, policy), wanted, "{changed:?} {policy:?}");
        }
    }

    #[test]
    fn another_port_is_another_agent() {
        let old = config(&BEFORE).agent_info(5051, None);
        let check = |port| {
            let policy = Reconfiguration::Additive;
            check_unchanged(&old, &config(&BEFORE), port, policy, "latest".into())
        };
        let changed = check(Some(5052)).unwrap_err().to_string();
        assert!(
            changed
                .contains("--port was 5051 when it last ran and is 5052 now: restore the flag, "),
            "{changed}"
        );
        assert_eq!(check(None), Ok(()));
    }
}
