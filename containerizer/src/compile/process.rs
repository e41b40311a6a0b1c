//! The command: from the spec's `process` to what `init` executes.

use init::{Capabilities, Exec, Filter, Moment, Preserved, Rlimit};
use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, PosixRlimit, PosixRlimitType, Process,
};

use super::seccomp::{Compiled, Filters};
use super::{CompileError, text};

pub fn exec(process: &Process, linux: &Linux, filters: &Filters) -> Result<Exec, CompileError> {
    let argv = process.args().clone().unwrap_or_default();
    let path = argv
        .first()
        .cloned()
        .ok_or(CompileError::Missing("process.args"))?;
    let user = process.user();
    Ok(Exec {
        path,
        argv,
        env: process.env().clone().unwrap_or_default(),
        cwd: text("working directory", process.cwd())?,
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        // What login(1) leaves users with.
        umask: user.umask().unwrap_or(0o022),
        rlimits: process.rlimits().iter().flatten().map(rlimit).collect(),
        capabilities: process.capabilities().as_ref().map(capabilities),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj(),
        terminal: false,
        seccomp: match linux.seccomp() {
            None => None,
            Some(profile) => {
                let compiled = filters.of(profile)?;
                Some(filter(process, &compiled))
            }
        },
        gate: None,
        preserved: Preserved::default(),
        home: false,
    })
}

/// As late as the process may: seccomp(2) takes no_new_privs, or CAP_SYS_ADMIN.
fn filter(process: &Process, compiled: &Compiled) -> Filter {
    let effective = process.capabilities().as_ref().map(|c| c.effective());
    let stays_able = effective
        .and_then(Option::as_ref)
        .is_some_and(|set| set.contains(&Capability::SysAdmin));
    let moment = if process.no_new_privileges() == Some(true) || stays_able {
        Moment::BeforeExec {}
    } else {
        Moment::BeforeUser {}
    };
    Filter {
        moment,
        flags: compiled.flags,
        instructions: compiled.instructions.clone(),
    }
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
    use std::collections::HashSet;

    use oci_spec::runtime::{LinuxCapabilitiesBuilder, ProcessBuilder};

    use super::*;

    fn moment(no_new_privileges: bool, effective: &[Capability]) -> Moment {
        let capabilities = LinuxCapabilitiesBuilder::default()
            .effective(effective.iter().copied().collect::<HashSet<_>>())
            .build()
            .expect("builds");
        let process = ProcessBuilder::default()
            .no_new_privileges(no_new_privileges)
            .capabilities(capabilities)
            .build()
            .expect("builds");
        let compiled = Compiled {
            instructions: vec![],
            flags: 0,
            unknown: vec![],
        };
        filter(&process, &compiled).moment
    }

    #[test]
    fn a_filter_is_installed_as_late_as_it_may_be() {
        let admin = [Capability::SysAdmin];
        assert_eq!(moment(true, &[]), Moment::BeforeExec {});
        assert_eq!(moment(false, &admin), Moment::BeforeExec {});
        assert_eq!(moment(false, &[Capability::Chown]), Moment::BeforeUser {});
    }
}
