//! The command: from the spec's `process` to what `init` executes.

use init::{Capabilities, Exec, Filter, Preserved, Rlimit};
use oci_spec::runtime::{Linux, LinuxCapabilities, PosixRlimit, PosixRlimitType, Process};

use super::seccomp::Filters;
use super::{CompileError, at, scheduling, text};

/// The -1 of setresuid(2): a process that becomes this user stays who it is.
const NOBODY: u32 = u32::MAX;

pub fn exec(process: &Process, linux: &Linux, filters: &Filters) -> Result<Exec, CompileError> {
    let argv = process.args().clone().unwrap_or_default();
    let path = argv
        .first()
        .cloned()
        .ok_or(CompileError::Missing("process.args"))?;
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    if [user.uid(), user.gid()].contains(&NOBODY) || groups.contains(&NOBODY) {
        return Err(at("process.user")(CompileError::Nobody(NOBODY)));
    }
    Ok(Exec {
        path,
        argv,
        env: process.env().clone().unwrap_or_default(),
        cwd: text("working directory", process.cwd())?,
        uid: user.uid(),
        gid: user.gid(),
        groups,
        // What login(1) leaves users with.
        umask: user.umask().unwrap_or(0o022),
        rlimits: rlimits(process.rlimits().as_deref().unwrap_or_default())?,
        scheduling: scheduling::of(process, linux)?,
        capabilities: of_process(process, linux.seccomp().is_some()),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj(),
        terminal: false,
        seccomp: match linux.seccomp() {
            None => None,
            Some(profile) => {
                let compiled = filters.of(profile)?;
                Some(Filter {
                    flags: compiled.flags,
                    instructions: compiled.instructions.clone(),
                })
            }
        },
        gate: None,
        preserved: Preserved::default(),
        engine: false,
    })
}

/// As the spec says. Where it says nothing another user than root has none, whatever installing a
/// filter takes meanwhile.
fn of_process(process: &Process, filtered: bool) -> Option<Capabilities> {
    let said = process.capabilities().as_ref().map(capabilities);
    let none = || Capabilities {
        bounding: u64::MAX,
        ..Capabilities::default()
    };
    said.or_else(|| (filtered && process.user().uid() != 0).then(none))
}

fn capabilities(caps: &LinuxCapabilities) -> Capabilities {
    let mask = |set: &Option<_>| set.as_ref().map_or(0, isolators::capability_mask);
    Capabilities {
        bounding: mask(caps.bounding()),
        effective: mask(caps.effective()),
        permitted: mask(caps.permitted()),
        inheritable: mask(caps.inheritable()),
        ambient: mask(caps.ambient()),
    }
}

/// Source: OCI runtime spec, config.md, "rlimits", and getrlimit(2).
fn rlimits(limits: &[PosixRlimit]) -> Result<Vec<Rlimit>, CompileError> {
    for (n, limit) in limits.iter().enumerate() {
        let kind = limit.typ();
        let fault = match (limit.soft(), limit.hard()) {
            _ if limits[..n].iter().any(|other| other.typ() == kind) => "is there twice",
            (soft, hard) if soft > hard => "is above its own hard limit",
            _ => continue,
        };
        let limit = kind.to_string();
        let place = format!("process.rlimits[{n}]");
        return Err(at(place)(CompileError::Limit { limit, fault }));
    }
    Ok(limits.iter().map(rlimit).collect())
}

fn rlimit(limit: &PosixRlimit) -> Rlimit {
    let resource = match limit.typ() {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    };
    Rlimit {
        resource,
        soft: limit.soft(),
        hard: limit.hard(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_that_no_process_can_have_is_refused_by_its_place() {
        let refused = |second| {
            let first = json!({"type": "RLIMIT_CORE", "soft": 1, "hard": 1});
            let limits = serde_json::from_value(json!([first, second])).expect("limits");
            let limits: Vec<PosixRlimit> = limits;
            rlimits(&limits).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
        };
        for (second, why) in [
            (
                json!({"type": "RLIMIT_NOFILE", "soft": 7, "hard": 7}),
                "taken",
            ),
            (
                json!({"type": "RLIMIT_NOFILE", "soft": 8, "hard": 7}),
                "process.rlimits[1]: RLIMIT_NOFILE is above its own hard limit",
            ),
            (
                json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 1}),
                "process.rlimits[1]: RLIMIT_CORE is there twice",
            ),
        ] {
            assert_eq!(refused(second), why);
        }
    }

    #[test]
    fn nobody_stays_root_by_a_number_that_is_no_users() {
        let linux = serde_json::from_value(json!({})).expect("a linux section");
        let compiled = |user| {
            let process = json!({"user": user, "cwd": "/", "args": ["true"]});
            let process = serde_json::from_value(process).expect("a process");
            exec(&process, &linux, &Filters::default()).map(|exec| exec.uid)
        };
        let largest = u32::MAX - 1;
        assert_eq!(
            compiled(json!({"uid": largest, "gid": largest})),
            Ok(largest)
        );
        for bad in [
            json!({"uid": u32::MAX, "gid": 1}),
            json!({"uid": 1, "gid": u32::MAX}),
            json!({"uid": 1, "gid": 1, "additionalGids": [2, u32::MAX]}),
        ] {
            let nobody = at("process.user")(CompileError::Nobody(u32::MAX));
            assert_eq!(compiled(bad), Err(nobody));
        }
    }
}
