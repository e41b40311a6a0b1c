//! What a call of `update` asks for, as OCI `linux.resources`.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::amount::bytes;
use super::{merge, parse};
use crate::config::remove_nulls;
use crate::error::{Error, file};
use crate::flags::Update;

/// The file's, and above it the flags'.
pub fn read(flags: &Update) -> Result<Value, Error> {
    let mut asked = match &flags.resources {
        Some(path) => from_file(path)?,
        None => json!({}),
    };
    for (group, name, value) in given(flags)? {
        merge(&mut asked, json!({ group: { name: value } }));
    }
    // Memory without a limit under one of memory and swap together would have one all the same.
    if asked["memory"]["limit"] == json!(-1) && asked["memory"]["swap"].is_null() {
        asked["memory"]["swap"] = json!(-1);
    }
    remove_nulls(&mut asked);
    Ok(asked)
}

fn from_file(path: &Path) -> Result<Value, Error> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()).map_err(file("read", "stdin"))?,
        _ => fs::read_to_string(path).map_err(file("read", path))?,
    };
    from_text(&text)
}

/// An object that is right by itself, before anything is laid over it.
pub fn from_text(text: &str) -> Result<Value, Error> {
    let members = serde_json::from_str(text).map_err(|source| Error::BadResources {
        at: ".".to_owned(),
        source,
    })?;
    let mut value = Value::Object(members);
    remove_nulls(&mut value);
    spell(&mut value);
    parse(&value)?;
    Ok(value)
}

/// What flags name: a member of a group, and its value.
fn given(flags: &Update) -> Result<Vec<(&'static str, &'static str, Value)>, Error> {
    let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
    let number = |value: Option<i64>| value.map(|number| json!(number));
    let amounts = [
        ("--memory", "limit", &flags.memory),
        (
            "--memory-reservation",
            "reservation",
            &flags.memory_reservation,
        ),
        ("--memory-swap", "swap", &flags.memory_swap),
        ("--kernel-memory", "kernel", &flags.kernel_memory),
        ("--kernel-memory-tcp", "kernelTCP", &flags.kernel_memory_tcp),
    ];
    let schemas = [
        ("--l3-cache-schema", &flags.l3_cache_schema),
        ("--mem-bw-schema", &flags.mem_bw_schema),
    ];
    for (flag, value) in schemas {
        if let Some(value) = value {
            return Err(Error::BadFlag {
                flag,
                value: value.clone(),
                wanted: "leave it out, for no container here is in a group of Intel RDT",
            });
        }
    }
    let mut given = Vec::new();
    for (flag, name, value) in amounts {
        let Some(value) = value else { continue };
        let amount = bytes(value).ok_or_else(|| Error::BadFlag {
            flag,
            value: value.clone(),
            wanted: "give bytes, an amount like 50M, or -1 for no limit",
        })?;
        given.push(("memory", name, json!(amount)));
    }
    let others = [
        (
            "blockIO",
            "weight",
            flags.blkio_weight.map(|weight| json!(weight)),
        ),
        (
            "cpu",
            "period",
            flags.cpu_period.map(|period| json!(period)),
        ),
        ("cpu", "quota", number(flags.cpu_quota)),
        ("cpu", "burst", flags.cpu_burst.map(|burst| json!(burst))),
        ("cpu", "shares", flags.cpu_share.map(|shares| json!(shares))),
        (
            "cpu",
            "realtimePeriod",
            flags.cpu_rt_period.map(|period| json!(period)),
        ),
        ("cpu", "realtimeRuntime", number(flags.cpu_rt_runtime)),
        ("cpu", "cpus", text(&flags.cpuset_cpus)),
        ("cpu", "mems", text(&flags.cpuset_mems)),
        ("cpu", "idle", number(flags.cpu_idle)),
        ("pids", "limit", number(flags.pids_limit)),
    ];
    let others = others.into_iter();
    given.extend(others.filter_map(|(group, name, value)| Some((group, name, value?))));
    Ok(given)
}

/// As the OCI runtime spec spells them.
const NAMES: &[&str] = &[
    "access",
    "allow",
    "blockIO",
    "burst",
    "checkBeforeUpdate",
    "classID",
    "cpu",
    "cpus",
    "devices",
    "disableOOMKiller",
    "hugepageLimits",
    "idle",
    "kernel",
    "kernelTCP",
    "leafWeight",
    "limit",
    "major",
    "memory",
    "mems",
    "minor",
    "name",
    "network",
    "pageSize",
    "period",
    "pids",
    "priorities",
    "priority",
    "quota",
    "rate",
    "rdma",
    "realtimePeriod",
    "realtimeRuntime",
    "reservation",
    "shares",
    "swap",
    "swappiness",
    "throttleReadBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteBpsDevice",
    "throttleWriteIOPSDevice",
    "type",
    "unified",
    "useHierarchy",
    "weight",
    "weightDevice",
];

/// Some callers write the names of other languages: `CPU` for `cpu`. Members of `unified` and `rdma`
/// are names of files and devices.
fn spell(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(spell),
        Value::Object(members) => {
            let spelt = std::mem::take(members)
                .into_iter()
                .map(|(name, mut value)| {
                    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(&name));
                    let name = known.map_or(name, |known| (*known).to_owned());
                    if !matches!(name.as_str(), "unified" | "rdma") {
                        spell(&mut value);
                    }
                    (name, value)
                });
            *members = spelt.collect::<Map<_, _>>();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Verb;

    fn asked(line: &str) -> Result<Value, Error> {
        let words = ["oci", "update"].into_iter().chain(line.split(' '));
        let line = crate::usage::parse(words.map(Into::into)).expect("is understood");
        let Verb::Update(flags) = line.verb else {
            panic!("another verb")
        };
        read(&flags)
    }

    #[test]
    fn flags_name_what_changes() {
        let found = asked("c1 --memory 50M --cpu-quota -1 --cpuset-cpus 0-1").expect("is right");
        let wanted = json!({
            "memory": {"limit": 50 << 20}, "cpu": {"quota": -1, "cpus": "0-1"},
        });
        assert_eq!(found, wanted);
        let found = asked("--memory -1 --cpu-idle 0 --pids-limit -1 c1").expect("is right");
        let wanted = json!({
            "memory": {"limit": -1, "swap": -1}, "cpu": {"idle": 0}, "pids": {"limit": -1},
        });
        assert_eq!(found, wanted);
        let error = asked("--memory 5X c1").expect_err("refused").to_string();
        assert!(error.starts_with("--memory is \"5X\""), "{error}");
        let error = asked("--l3-cache-schema L3:0=f c1").expect_err("refused");
        let error = error.to_string();
        assert!(error.starts_with("--l3-cache-schema is"), "{error}");
    }

    #[test]
    fn names_are_spelt_as_oci_does() {
        let mut value = json!({
            "CPU": {"Cpus": "1"}, "blockio": {"throttleReadBPSDevice": [{"Major": 8}]},
            "Unified": {"CPU.weight": "5"}, "own": 1,
        });
        spell(&mut value);
        let wanted = json!({
            "cpu": {"cpus": "1"}, "blockIO": {"throttleReadBpsDevice": [{"major": 8}]},
            "unified": {"CPU.weight": "5"}, "own": 1,
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn a_file_may_be_from_another_language() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("r.json");
        fs::write(&path, r#"{"memory": {"Limit": 5, "swap": null}}"#).expect("writes");
        let line = format!("-r {} --pids-limit 7 c1", path.display());
        let wanted = json!({"memory": {"limit": 5}, "pids": {"limit": 7}});
        assert_eq!(asked(&line).expect("is right"), wanted);
    }

    #[test]
    fn a_file_that_is_no_object_of_objects_is_refused_whatever_flags_say() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("r.json");
        let line = format!("-r {} --memory 5M c1", path.display());
        for text in [
            "[]",
            "5",
            "null",
            "",
            r#"{"memory": 5}"#,
            r#"{"memory": [[]]}"#,
        ] {
            fs::write(&path, text).expect("writes");
            let refused = asked(&line).expect_err("refused");
            assert!(matches!(refused, Error::BadResources { .. }), "{text}");
        }
    }
}
