//! Profiles in the JSON form that Docker has: also read by Podman, Mesos and others.

use std::str::FromStr;

use oci_spec::runtime::{Capability, LinuxSeccompAction as Action, LinuxSeccompOperator};
use serde_json::Value;

use super::json::Node;
use super::machine::Kernel;
use super::profile::{Answer, Arg, Condition, Machines, Profile, Rule};

#[derive(Debug, thiserror::Error)]
pub enum BadProfile {
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("{} must be {wanted}, and is {found}", place(.path))]
    Wrong {
        path: String,
        wanted: &'static str,
        found: String,
    },
    #[error("{} lacks {key:?}", place(.path))]
    Missing { path: String, key: String },
    #[error("{} has {key:?}, which is none of {known}", place(.path))]
    Unknown {
        path: String,
        key: String,
        known: String,
    },
    #[error("{} has both {one:?} and {other:?}: give one of them", place(.path))]
    Both {
        path: String,
        one: &'static str,
        other: &'static str,
    },
    #[error("{} has {named:?} without {number:?}: give the number", place(.path))]
    Named {
        path: String,
        named: &'static str,
        number: &'static str,
    },
    #[error("{path} stands beside {action}, which takes none: leave it out")]
    Errno { path: String, action: Action },
    #[error("{path} is SCMP_ACT_NOTIFY, which this build cannot do: use SCMP_ACT_ERRNO")]
    Notify { path: String },
}

fn place(path: &str) -> &str {
    if path.is_empty() { "the profile" } else { path }
}

const PROFILE: &[&str] = &[
    "defaultAction",
    "defaultErrnoRet",
    "defaultErrno",
    "architectures",
    "archMap",
    "flags",
    "syscalls",
    "comment",
];
const RULE: &[&str] = &[
    "names", "name", "action", "errnoRet", "errno", "args", "includes", "excludes", "comment",
];
const ARG: &[&str] = &["index", "value", "valueTwo", "op", "comment"];
const MACHINE: &[&str] = &["architecture", "subArchitectures"];
const CONDITION: &[&str] = &["caps", "arches", "minKernel"];

impl FromStr for Profile {
    type Err = BadProfile;

    fn from_str(text: &str) -> Result<Self, BadProfile> {
        let json: Value = serde_json::from_str(text)?;
        let profile = Node::root(&json).object(PROFILE)?;
        let keys = ["defaultAction", "defaultErrnoRet", "defaultErrno"];
        Ok(Profile {
            default: answer(&profile, keys)?,
            machines: machines(&profile)?,
            flags: words(&profile, "flags", "a flag such as SECCOMP_FILTER_FLAG_LOG")?,
            rules: each(profile.list("syscalls")?, rule)?,
        })
    }
}

fn rule(node: Node<'_>) -> Result<Rule, BadProfile> {
    let node = node.object(RULE)?;
    Ok(Rule {
        names: names(&node)?,
        answer: answer(&node, ["action", "errnoRet", "errno"])?,
        args: each(node.list("args")?, arg)?,
        includes: condition(node.get("includes"))?,
        excludes: condition(node.get("excludes"))?,
    })
}

/// `name` is the older way to say it.
fn names(node: &Node<'_>) -> Result<Vec<String>, BadProfile> {
    let text = |node: Node<'_>| Ok(node.text()?.to_owned());
    match (node.get("name"), node.get("names")) {
        (Some(_), Some(_)) => Err(BadProfile::Both {
            path: node.path.clone(),
            one: "name",
            other: "names",
        }),
        (Some(name), None) => Ok(vec![text(name)?]),
        (None, _) => {
            node.required("names")?;
            each(node.list("names")?, text)
        }
    }
}

fn answer(
    node: &Node<'_>,
    [action, number, named]: [&'static str; 3],
) -> Result<Answer, BadProfile> {
    let place = node.required(action)?;
    let action = place.word("an action such as SCMP_ACT_ERRNO", known)?;
    let most = match action {
        Action::ScmpActErrno => Some(4095),
        Action::ScmpActTrace => Some(u64::from(u16::MAX)),
        _ => None,
    };
    if action == Action::ScmpActNotify {
        return Err(BadProfile::Notify { path: place.path });
    }
    let errno = match (node.get(number), most) {
        (Some(errno), Some(most)) => {
            Some(errno.number("an error number that the action takes", most)? as u32)
        }
        (Some(errno), None) => {
            let path = errno.path;
            return Err(BadProfile::Errno { path, action });
        }
        // Podman's files have the name beside the number.
        (None, _) if node.get(named).is_some() => {
            return Err(BadProfile::Named {
                path: node.path.clone(),
                named,
                number,
            });
        }
        (None, _) => None,
    };
    Ok(Answer { action, errno })
}

fn machines(profile: &Node<'_>) -> Result<Machines, BadProfile> {
    let listed = words(profile, "architectures", MACHINE_WORD)?;
    let rows = each(profile.list("archMap")?, |row| {
        let row = row.object(MACHINE)?;
        let native = row.required("architecture")?.word(MACHINE_WORD, known)?;
        Ok((native, words(&row, "subArchitectures", MACHINE_WORD)?))
    })?;
    match (listed.is_empty(), rows.is_empty()) {
        (false, false) => Err(BadProfile::Both {
            path: String::new(),
            one: "architectures",
            other: "archMap",
        }),
        (true, false) => Ok(Machines::ByNative(rows)),
        _ => Ok(Machines::Listed(listed)),
    }
}

const MACHINE_WORD: &str = "a machine such as SCMP_ARCH_X86_64";

fn arg(node: Node<'_>) -> Result<Arg, BadProfile> {
    let node = node.object(ARG)?;
    let number = "a number from 0 to 18446744073709551615";
    let value_two = node.get("valueTwo");
    let index = node.required("index")?;
    Ok(Arg {
        index: index.number("the number of an argument, 0 to 5", 5)? as usize,
        op: (node.required("op")?)
            .word::<LinuxSeccompOperator>("a comparison such as SCMP_CMP_EQ", known)?,
        value: node.required("value")?.number(number, u64::MAX)?,
        value_two: value_two
            .map(|two| two.number(number, u64::MAX))
            .transpose()?,
    })
}

fn condition(node: Option<Node<'_>>) -> Result<Condition, BadProfile> {
    let Some(node) = node else {
        return Ok(Condition::default());
    };
    let node = node.object(CONDITION)?;
    let capability = |node: Node<'_>| {
        node.word("a capability such as CAP_SYS_ADMIN", |word| {
            known::<Capability>(word.strip_prefix("CAP_")?)
        })
    };
    let kernel = node.get("minKernel");
    Ok(Condition {
        capabilities: each(node.list("caps")?, capability)?,
        machines: each(node.list("arches")?, |node| Ok(node.text()?.to_owned()))?,
        kernel: kernel
            .map(|node| node.word("a kernel's version such as 4.8", Kernel::parse))
            .transpose()?,
    })
}

fn words<T: FromStr>(
    node: &Node<'_>,
    key: &str,
    wanted: &'static str,
) -> Result<Vec<T>, BadProfile> {
    each(node.list(key)?, |node| node.word(wanted, known))
}

fn known<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

fn each<T>(
    nodes: Vec<Node<'_>>,
    parse: impl Fn(Node<'_>) -> Result<T, BadProfile>,
) -> Result<Vec<T>, BadProfile> {
    nodes.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Arch;

    use super::*;

    #[test]
    fn a_profile_of_docker_is_read() {
        let text = r#"{
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "archMap": [
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}
            ],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null,
                 "comment": "", "includes": {}, "excludes": {}},
                {"name": "clone", "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 2114060288, "valueTwo": 0,
                           "op": "SCMP_CMP_MASKED_EQ"}],
                 "includes": {"minKernel": "4.8"},
                 "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}}
            ]
        }"#;
        let profile: Profile = text.parse().expect("a profile");
        let allow = Answer {
            action: Action::ScmpActAllow,
            errno: None,
        };
        let expected = Profile {
            default: Answer {
                action: Action::ScmpActErrno,
                errno: Some(1),
            },
            machines: Machines::ByNative(vec![(Arch::ScmpArchX86_64, vec![Arch::ScmpArchX86])]),
            flags: vec![],
            rules: vec![
                Rule {
                    names: vec!["read".into(), "write".into()],
                    answer: allow,
                    args: vec![],
                    includes: Condition::default(),
                    excludes: Condition::default(),
                },
                Rule {
                    names: vec!["clone".into()],
                    answer: allow,
                    args: vec![Arg {
                        index: 0,
                        op: LinuxSeccompOperator::ScmpCmpMaskedEq,
                        value: 0x7e02_0000,
                        value_two: Some(0),
                    }],
                    includes: Condition::kernel(Kernel { major: 4, minor: 8 }),
                    excludes: Condition {
                        machines: vec!["s390x".into()],
                        ..Condition::capability(Capability::SysAdmin)
                    },
                },
            ],
        };
        assert_eq!(profile, expected);
    }

    #[test]
    fn an_error_names_its_place() {
        let with =
            |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#);
        let arg = |arg: &str| {
            with(&format!(
                r#"{{"names": [], "action": "SCMP_ACT_KILL", "args": [{arg}]}}"#
            ))
        };
        let table = [
            ("[]".to_owned(), "the profile must be an object, and is []"),
            ("{}".to_owned(), "the profile lacks \"defaultAction\""),
            (
                r#"{"defaultAction": "ALLOW"}"#.to_owned(),
                "defaultAction must be an action such as SCMP_ACT_ERRNO, and is \"ALLOW\"",
            ),
            (
                with(r#"{"action": "SCMP_ACT_KILL"}"#),
                "syscalls[0] lacks \"names\"",
            ),
            (
                with(r#"{"names": ["a"], "name": "a", "action": "SCMP_ACT_KILL"}"#),
                "syscalls[0] has both \"name\" and \"names\": give one of them",
            ),
            (
                with(r#"{"names": [1], "action": "SCMP_ACT_KILL"}"#),
                "syscalls[0].names[0] must be a text, and is 1",
            ),
            (
                with(r#"{"names": [], "action": "SCMP_ACT_KILL", "errnoRet": 1}"#),
                "syscalls[0].errnoRet stands beside SCMP_ACT_KILL, which takes none: leave it out",
            ),
            (
                with(r#"{"names": [], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#),
                "syscalls[0].errnoRet must be an error number that the action takes, and is 4096",
            ),
            (
                with(r#"{"names": [], "action": "SCMP_ACT_ERRNO", "errno": "EPERM"}"#),
                "syscalls[0] has \"errno\" without \"errnoRet\": give the number",
            ),
            (
                with(r#"{"names": [], "action": "SCMP_ACT_NOTIFY"}"#),
                "syscalls[0].action is SCMP_ACT_NOTIFY, which this build cannot do: use \
                 SCMP_ACT_ERRNO",
            ),
            (
                with(r#"{"names": [], "action": "SCMP_ACT_KILL", "exclude": {}}"#),
                "syscalls[0] has \"exclude\", which is none of names, name, action, errnoRet, \
                 errno, args, includes, excludes, comment",
            ),
            (
                with(
                    r#"{"names": [], "action": "SCMP_ACT_KILL", "excludes": {"caps": ["ADMIN"]}}"#,
                ),
                "syscalls[0].excludes.caps[0] must be a capability such as CAP_SYS_ADMIN, and is \
                 \"ADMIN\"",
            ),
            (
                with(
                    r#"{"names": [], "action": "SCMP_ACT_KILL", "includes": {"minKernel": "new"}}"#,
                ),
                "syscalls[0].includes.minKernel must be a kernel's version such as 4.8, and is \
                 \"new\"",
            ),
            (
                arg(r#"{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}"#),
                "syscalls[0].args[0].index must be the number of an argument, 0 to 5, and is 6",
            ),
            (
                arg(r#"{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}"#),
                "syscalls[0].args[0].value must be a number from 0 to 18446744073709551615, and \
                 is -1",
            ),
            (
                arg(r#"{"index": 0, "value": 1, "op": "=="}"#),
                "syscalls[0].args[0].op must be a comparison such as SCMP_CMP_EQ, and is \"==\"",
            ),
        ];
        for (text, expected) in table {
            let error = text.parse::<Profile>().expect_err(&text);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_profile_that_was_cut_off_or_mangled_is_refused_or_read_but_never_more() {
        let whole = include_str!("../golden/seccomp.json");
        let end = whole.trim_end().len();
        for cut in (0..end).step_by(7) {
            assert!(whole[..cut].parse::<Profile>().is_err(), "{cut} bytes");
        }
        for at in (0..end).step_by(7) {
            let mut mangled = whole.as_bytes().to_vec();
            mangled[at] = b'0';
            let mangled = String::from_utf8(mangled).expect("ASCII");
            // What it says is of no matter here: it must come back.
            let _ = mangled.parse::<Profile>();
        }
        assert!(whole.parse::<Profile>().is_ok());
    }

    #[test]
    fn machines_are_listed_or_mapped() {
        let both = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
                       "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#;
        let error = both.parse::<Profile>().expect_err("refused").to_string();
        assert!(error.starts_with("the profile has both"), "{error}");
        let listed = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X32"]}"#;
        let machines = listed.parse::<Profile>().expect("a profile").machines;
        assert_eq!(machines, Machines::Listed(vec![Arch::ScmpArchX32]));
    }
}
