//! `features`: what a spec may ask of this runtime, for engines that ask first.
//!
//! Source: OCI runtime spec, features.md.

use std::io::{self, Write as _};

use containerizer::hooks::Kind;
use oci_spec::runtime::{
    Arch, LinuxNamespaceType as Namespace, LinuxSeccomp, LinuxSeccompAction as Action,
    LinuxSeccompFilterFlag as Flag, LinuxSeccompOperator as Operator,
};
use serde_json::{Value, json};

use crate::error::{Error, call};
use crate::version;

pub fn print() -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&features()).map_err(call("write features as JSON"))?;
    writeln!(io::stdout(), "{text}").map_err(call("write to stdout"))
}

fn features() -> Value {
    let mut mount_options: Vec<&str> = containerizer::mount_options().collect();
    mount_options.sort_unstable();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": version::SPEC,
        "hooks": Kind::ALL.map(Kind::name),
        "mountOptions": mount_options,
        "linux": {
            "namespaces": [
                Namespace::Cgroup, Namespace::Ipc, Namespace::Mount, Namespace::Network,
                Namespace::Pid, Namespace::Time, Namespace::User, Namespace::Uts,
            ],
            "capabilities": capabilities(),
            "cgroup": {
                "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false,
            },
            "seccomp": seccomp(),
            "memoryPolicy": memory_policy(),
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": mount_options.contains(&"idmap")}},
        },
        "annotations": {"longshore.version": env!("CARGO_PKG_VERSION")},
    })
}

fn capabilities() -> Vec<String> {
    let mut names: Vec<_> = caps::all().iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

/// Asked of what makes filters, where it does not do everything.
fn seccomp() -> Value {
    let actions = [
        Action::ScmpActAllow,
        Action::ScmpActErrno,
        Action::ScmpActKill,
        Action::ScmpActKillProcess,
        Action::ScmpActKillThread,
        Action::ScmpActLog,
        Action::ScmpActNotify,
        Action::ScmpActTrace,
        Action::ScmpActTrap,
    ];
    let flags = [
        Flag::SeccompFilterFlagLog,
        Flag::SeccompFilterFlagSpecAllow,
        Flag::SeccompFilterFlagTsync,
        Flag::SeccompFilterFlagWaitKillableRecv,
    ];
    let rule = |action: &Action| json!({"syscalls": [{"names": ["mkdir"], "action": action}]});
    let actions = actions.into_iter().filter(|action| takes(rule(action)));
    let flags = flags
        .into_iter()
        .filter(|flag| takes(json!({"flags": [flag]})));
    let flags: Vec<Flag> = flags.collect();
    json!({
        "enabled": true,
        "actions": actions.collect::<Vec<Action>>(),
        "operators": [
            Operator::ScmpCmpEq, Operator::ScmpCmpGe, Operator::ScmpCmpGt, Operator::ScmpCmpLe,
            Operator::ScmpCmpLt, Operator::ScmpCmpMaskedEq, Operator::ScmpCmpNe,
        ],
        "archs": [
            Arch::ScmpArchAarch64, Arch::ScmpArchArm, Arch::ScmpArchX32, Arch::ScmpArchX86,
            Arch::ScmpArchX86_64,
        ],
        "knownFlags": &flags,
        "supportedFlags": &flags,
    })
}

fn memory_policy() -> Value {
    use oci_spec::runtime::{MemoryPolicyFlagType as Flag, MemoryPolicyModeType as Mode};
    json!({
        "modes": [
            Mode::MpolBind, Mode::MpolDefault, Mode::MpolInterleave, Mode::MpolLocal,
            Mode::MpolPreferred, Mode::MpolPreferredMany, Mode::MpolWeightedInterleave,
        ],
        "flags": [Flag::MpolFNumaBalancing, Flag::MpolFRelativeNodes, Flag::MpolFStaticNodes],
    })
}

/// Whether filters are made of a profile with this in it.
fn takes(mut profile: Value) -> bool {
    profile["defaultAction"] = json!(Action::ScmpActAllow);
    profile["listenerPath"] = json!("/run/listener");
    let profile = serde_json::from_value::<LinuxSeccomp>(profile);
    profile.is_ok_and(|profile| containerizer::takes_seccomp(&profile))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Features;

    use super::*;

    #[test]
    fn features_are_what_the_spec_calls_so() {
        let told: Features = serde_json::from_value(features()).expect("is valid");
        let options = told.mount_options().clone().unwrap_or_default();
        for option in ["bind", "ro", "rro", "rslave", "nosymfollow"] {
            assert!(options.iter().any(|known| known == option), "{option}");
        }
        let linux = told.linux().as_ref().expect("linux");
        let capabilities = linux.capabilities().clone().unwrap_or_default();
        assert!(capabilities.contains(&"CAP_SYS_ADMIN".to_owned()));
        let seccomp = linux.seccomp().as_ref().expect("seccomp");
        let flags = seccomp.supported_flags().clone().unwrap_or_default();
        for flag in ["TSYNC", "WAIT_KILLABLE_RECV"] {
            assert!(flags.contains(&format!("SECCOMP_FILTER_FLAG_{flag}")));
        }
        let actions = seccomp.actions().clone().unwrap_or_default();
        assert!(actions.contains(&Action::ScmpActErrno));
        assert!(actions.contains(&Action::ScmpActNotify));
    }
}
