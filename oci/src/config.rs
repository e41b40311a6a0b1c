//! `config.json`: read as leniently as runtimes read it, checked before anything exists.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, CapsHashSet};
use oci_spec::runtime::{
    Capability, LinuxDeviceCgroup, LinuxSeccompFilterFlag, MemoryPolicyFlagType,
    MemoryPolicyModeType, Spec,
};
use serde_json::{Map, Value, json};

use crate::error::{Error, file};

/// A spec whose paths are absolute, and what was ignored in it.
#[derive(Debug)]
pub struct Config {
    pub spec: Spec,
    pub warnings: Vec<String>,
}

impl Config {
    /// Of a bundle, which must be an absolute path; from another file when one is named.
    pub fn load(bundle: &Path, named: Option<&Path>) -> Result<Self, Error> {
        let path = named.map_or_else(|| bundle.join("config.json"), |path| bundle.join(path));
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NoConfig(shown(&path)),
            _ => file("read", &path)(error),
        })?;
        let (mut spec, warnings) = parse(&text, &path)?;
        check(&spec)?;
        deny_devices(&mut spec);
        make_absolute(&mut spec, bundle)?;
        Ok(Self { spec, warnings })
    }
}

/// As it is called: without its directory.
fn shown(path: &Path) -> PathBuf {
    path.file_name()
        .map_or_else(|| path.to_owned(), PathBuf::from)
}

pub fn parse(text: &str, path: &Path) -> Result<(Spec, Vec<String>), Error> {
    let bad = |at: String| {
        let path = path.to_owned();
        move |source| Error::BadConfig { path, at, source }
    };
    let mut value: Value = serde_json::from_str(text).map_err(bad(".".to_owned()))?;
    let mut warnings = Vec::new();
    remove_nulls(&mut value);
    if let Some(process) = value.get_mut("process").and_then(Value::as_object_mut) {
        complete(process, &mut warnings);
    }
    if let Some(linux) = value.get_mut("linux").and_then(Value::as_object_mut) {
        linux
            .get("memoryPolicy")
            .map_or(Ok(()), check_memory_policy)?;
        complete_seccomp(linux);
    }
    let parsed = serde_path_to_error::deserialize(value);
    let spec = parsed.map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        let at = error.path().to_string();
        bad(at)(error.into_inner())
    })?;
    Ok((spec, warnings))
}

/// In the words that are looked for, which naming the place of a fault does not give.
fn check_memory_policy(policy: &Value) -> Result<(), Error> {
    let invalid = |what: &str, name: &str| Error::Invalid {
        at: "linux.memoryPolicy",
        what: format!("invalid memory policy {what} {name:?}"),
    };
    let mode = policy
        .get("mode")
        .and_then(Value::as_str)
        .unwrap_or_default();
    mode.parse::<MemoryPolicyModeType>()
        .map_err(|_unknown| invalid("mode", mode))?;
    let flags = policy.get("flags").and_then(Value::as_array);
    for flag in flags.into_iter().flatten().filter_map(Value::as_str) {
        flag.parse::<MemoryPolicyFlagType>()
            .map_err(|_unknown| invalid("flag", flag))?;
    }
    Ok(())
}

/// Where a profile says nothing of flags, other runtimes let the processor speculate as it does without a
/// filter, and engines count on it. An empty list asks for none.
fn complete_seccomp(linux: &mut Map<String, Value>) {
    if let Some(profile) = linux.get_mut("seccomp").and_then(Value::as_object_mut) {
        let none = || json!([LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow]);
        profile.entry("flags").or_insert_with(none);
    }
}

/// Programs that write specs give what they do not set as null.
pub fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_name, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// What a process may leave out, and what of it is ignored.
pub fn complete(process: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    let user = process
        .entry("user")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(user) = user.as_object_mut() {
        for id in ["uid", "gid"] {
            user.entry(id).or_insert_with(|| Value::from(0));
        }
    }
    let ours = caps::read(None, CapSet::Bounding).ok();
    if let Some(sets) = process
        .get_mut("capabilities")
        .and_then(Value::as_object_mut)
    {
        let all = sets.values_mut().filter_map(Value::as_array_mut);
        all.for_each(|set| keep_possible(set, ours.as_ref(), warnings));
        keep_raisable(sets, warnings);
    }
    if let Some(env) = process.get_mut("env").and_then(Value::as_array_mut) {
        keep_last(env);
    }
    let scheduler = process.get_mut("scheduler");
    let flags = scheduler.and_then(|it| it.get_mut("flags")?.as_array_mut());
    for flag in flags.into_iter().flatten() {
        // The library has names of its own for what the OCI runtime spec calls these.
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = json!("SCHED_RESET_ON_FORK"),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = json!("SCHED_FLAG_D_L_OVERRUN"),
            _ => {}
        }
    }
}

/// A kernel may know more capabilities than we do, and a spec more than both. `ours`: what we can give.
fn keep_possible(set: &mut Vec<Value>, ours: Option<&CapsHashSet>, warnings: &mut Vec<String>) {
    set.retain(|name| {
        let known = serde_json::from_value::<Capability>(name.clone()).is_ok();
        let text = name.as_str().unwrap_or_default();
        let possible = match (text.parse::<caps::Capability>(), ours) {
            (Ok(capability), Some(ours)) => ours.contains(&capability),
            // What cannot be asked is tried.
            (Ok(_), None) | (Err(_), _) => true,
        };
        let keep = known && possible;
        if !keep {
            warnings.push(format!(
                "ignoring unknown or unavailable capabilities: [{text}]"
            ));
        }
        keep
    });
}

/// The kernel takes an ambient capability only where it is permitted and inheritable. capabilities(7).
fn keep_raisable(sets: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    let of = |name: &str| sets.get(name).and_then(Value::as_array).cloned();
    let (permitted, inheritable) = (of("permitted"), of("inheritable"));
    let has =
        |set: &Option<Vec<Value>>, name: &Value| set.iter().flatten().any(|known| known == name);
    if let Some(ambient) = sets.get_mut("ambient").and_then(Value::as_array_mut) {
        ambient.retain(|name| {
            let keep = has(&permitted, name) && has(&inheritable, name);
            if !keep {
                let name = name.as_str().unwrap_or_default();
                warnings.push(format!(
                    "can't raise ambient capability {name}: it is not both permitted and inheritable"
                ));
            }
            keep
        });
    }
}

/// Of variables with one name the last counts; it keeps the place of the first.
fn keep_last(env: &mut Vec<Value>) {
    let name = |entry: &Value| {
        let text = entry.as_str().unwrap_or_default();
        text.split('=').next().unwrap_or_default().to_owned()
    };
    let mut seen = HashSet::new();
    env.reverse();
    env.retain(|entry| seen.insert(name(entry)));
    env.reverse();
}

pub fn check(spec: &Spec) -> Result<(), Error> {
    let invalid = |at, what: &str| {
        Err(Error::Invalid {
            at,
            what: what.to_owned(),
        })
    };
    if spec.root().is_none() {
        return invalid("root", "root must be specified");
    }
    let Some(process) = spec.process() else {
        return invalid("process", "process property must not be empty");
    };
    check_process(process)?;
    if spec.linux().is_none() {
        return invalid("linux", "linux property must not be empty");
    }
    Ok(())
}

pub fn check_process(process: &oci_spec::runtime::Process) -> Result<(), Error> {
    let invalid = |at, what: &str| {
        Err(Error::Invalid {
            at,
            what: what.to_owned(),
        })
    };
    let cwd = process.cwd();
    if cwd.as_os_str().is_empty() {
        return invalid("process.cwd", "Cwd property must not be empty");
    }
    if !cwd.is_absolute() {
        return invalid("process.cwd", "Cwd must be an absolute path");
    }
    match process.args().as_deref().unwrap_or_default() {
        [] => invalid("process.args", "args must not be empty"),
        [_, ..] => Ok(()),
    }
}

/// A container may use the devices that its spec allows, and those that every program may expect.
fn deny_devices(spec: &mut Spec) {
    let Some(mut linux) = spec.linux().clone() else {
        return;
    };
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut rules = resources.devices().clone().unwrap_or_default();
    let mut deny = LinuxDeviceCgroup::default();
    deny.set_allow(false);
    deny.set_access(Some("rwm".to_owned()));
    rules.insert(0, deny);
    resources.set_devices(Some(rules));
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux));
}

fn make_absolute(spec: &mut Spec, bundle: &Path) -> Result<(), Error> {
    if let Some(mut root) = spec.root().clone() {
        let path = bundle.join(root.path());
        let real = fs::canonicalize(&path).map_err(file("find the root file system", &path))?;
        root.set_path(real);
        spec.set_root(Some(root));
    }
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for mount in &mut mounts {
        let options = mount.options().as_deref().unwrap_or_default();
        let binds = options.iter().any(|o| o == "bind" || o == "rbind")
            || mount.typ().as_deref() == Some("bind");
        if let Some(source) = mount.source().clone().filter(|_| binds) {
            mount.set_source(Some(bundle.join(source)));
        }
        if !mount.destination().is_absolute() {
            mount.set_destination(Path::new("/").join(mount.destination()));
        }
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &Value) -> Result<(Spec, Vec<String>), Error> {
        parse(&config.to_string(), Path::new("/b/config.json"))
    }

    fn config() -> Value {
        json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"args": ["sh"], "cwd": "/"},
            "linux": {},
        })
    }

    #[test]
    fn what_may_be_left_out_is_completed() {
        let mut config = config();
        config["process"]["user"] = json!({"uid": 7});
        config["process"]["apparmorProfile"] = Value::Null;
        config["process"]["env"] = json!(["A=1", "B=2", "A=3"]);
        config["process"]["capabilities"] = json!({"bounding": ["CAP_KILL", "CAP_FUTURE"]});
        let (spec, warnings) = read(&config).expect("reads");
        let process = spec.process().as_ref().expect("a process");
        assert_eq!((process.user().uid(), process.user().gid()), (7, 0));
        let env = process.env().as_deref().unwrap_or_default();
        assert_eq!(env, ["B=2", "A=3"]);
        assert_eq!(warnings.len(), 1);
        assert!(check(&spec).is_ok());
    }

    #[test]
    fn flags_of_a_scheduler_are_those_of_the_specification() {
        let mut config = config();
        config["process"]["scheduler"] = json!({
            "policy": "SCHED_DEADLINE",
            "flags": [
                "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
                "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
                "SCHED_FLAG_UTIL_CLAMP_MAX",
            ],
        });
        let (spec, _) = read(&config).expect("reads");
        let process = spec.process().as_ref().expect("a process");
        let scheduler = process.scheduler().as_ref().expect("a scheduler");
        assert_eq!(scheduler.flags().iter().flatten().count(), 7);
    }

    #[test]
    fn an_ambient_capability_that_cannot_be_raised_is_left_out_and_told() {
        let mut config = config();
        let (kill, chown) = (json!(["CAP_KILL"]), json!(["CAP_KILL", "CAP_CHOWN"]));
        config["process"]["capabilities"] = json!({
            "permitted": chown, "inheritable": kill, "ambient": chown,
        });
        let (spec, warnings) = read(&config).expect("reads");
        let process = spec.process().as_ref().expect("a process");
        let sets = process.capabilities().as_ref().expect("sets");
        assert_eq!(sets.ambient().iter().flatten().count(), 1);
        assert_eq!(
            warnings,
            ["can't raise ambient capability CAP_CHOWN: it is not both permitted and inheritable"]
        );
    }

    #[test]
    fn a_fault_is_named_by_its_place() {
        let mut config = config();
        config["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": "x", "hard": 1}]);
        match read(&config) {
            Err(Error::BadConfig { at, .. }) => assert_eq!(at, "process.rlimits[0].soft"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_memory_policy_is_refused_in_the_words_that_are_looked_for() {
        let table = [
            (json!({}), "invalid memory policy mode \"\""),
            (
                json!({"mode": "BIND"}),
                "invalid memory policy mode \"BIND\"",
            ),
            (
                json!({"mode": "MPOL_BIND", "flags": ["badflag"]}),
                "invalid memory policy flag \"badflag\"",
            ),
        ];
        for (policy, words) in table {
            let mut config = config();
            config["linux"]["memoryPolicy"] = policy;
            let error = read(&config).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_profile_without_flags_leaves_speculation_alone() {
        let flags = |profile| {
            let mut config = config();
            config["linux"]["seccomp"] = profile;
            let (spec, _) = read(&config).expect("reads");
            let linux = spec.linux().clone().expect("linux");
            let profile = linux.seccomp().clone().expect("a profile");
            profile.flags().clone().unwrap_or_default()
        };
        let allow = json!("SCMP_ACT_ALLOW");
        assert_eq!(
            flags(json!({"defaultAction": allow})),
            [LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow]
        );
        assert_eq!(flags(json!({"defaultAction": allow, "flags": []})), []);
    }

    #[test]
    fn what_no_container_can_do_without_is_asked_for() {
        let faults = [
            ("/root", "root must be specified"),
            ("/process", "process property must not be empty"),
            ("/process/args", "args must not be empty"),
        ];
        for (pointer, words) in faults {
            let mut config = config();
            *config.pointer_mut(pointer).expect("it is there") = Value::Null;
            let (spec, _) = read(&config).expect("reads");
            let error = check(&spec).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
        for (cwd, words) in [("", "must not be empty"), ("x", "must be an absolute path")] {
            let mut config = config();
            config["process"]["cwd"] = json!(cwd);
            let (spec, _) = read(&config).expect("reads");
            let error = check(&spec).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
