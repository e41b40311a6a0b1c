//! A profile, and what is left of it for one container.

use std::collections::HashSet;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};

use super::machine::{Kernel, Machine};

/// What containers may call, with conditions on who they are and where they run. The JSON form is
/// Docker's: see `FromStr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub default: Answer,
    pub machines: Machines,
    pub flags: Vec<LinuxSeccompFilterFlag>,
    /// For each call the first rule that applies to it and matches.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub action: LinuxSeccompAction,
    /// The errno, or what a tracer is told; EPERM when `None`.
    pub errno: Option<u32>,
}

/// Whose system calls, beside those of the kernel's own machine, the rules are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machines {
    Listed(Vec<Arch>),
    /// The machine, and others whose programs its kernel runs.
    ByNative(Vec<(Arch, Vec<Arch>)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub names: Vec<String>,
    pub answer: Answer,
    pub args: Vec<Arg>,
    /// The rule applies where all of this holds.
    pub includes: Condition,
    /// And not where any of this does.
    pub excludes: Condition,
}

/// A comparison of one argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// 0 to 5.
    pub index: usize,
    pub op: LinuxSeccompOperator,
    /// Of `ScmpCmpMaskedEq` the mask.
    pub value: u64,
    /// Of `ScmpCmpMaskedEq` what is left under the mask.
    pub value_two: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// In the container's bounding set.
    pub capabilities: Vec<Capability>,
    /// Words such as `amd64`.
    pub machines: Vec<String>,
    /// This version or a later one.
    pub kernel: Option<Kernel>,
}

impl Profile {
    /// The rules that apply to a container with these capabilities in its bounding set.
    pub fn resolve(
        &self,
        machine: &Machine,
        bounding: &HashSet<Capability>,
    ) -> Result<LinuxSeccomp, OciSpecError> {
        let applying = self.rules.iter().filter(|rule| {
            rule.includes.holds_wholly(machine, bounding)
                && !rule.excludes.holds_partly(machine, bounding)
        });
        let syscalls: Vec<LinuxSyscall> = applying.map(Rule::syscall).collect::<Result<_, _>>()?;
        let mut profile = LinuxSeccompBuilder::default()
            .default_action(self.default.action)
            .architectures(self.machines.with(machine.architecture))
            .syscalls(syscalls)
            .build()?;
        profile.set_default_errno_ret(self.default.errno);
        profile.set_flags((!self.flags.is_empty()).then(|| self.flags.clone()));
        Ok(profile)
    }
}

impl Machines {
    fn with(&self, native: Arch) -> Vec<Arch> {
        match self {
            Machines::Listed(all) => all.clone(),
            Machines::ByNative(table) => {
                let row = table.iter().find(|(arch, _)| *arch == native);
                let others = row.map(|(_, others)| others.as_slice()).unwrap_or_default();
                [&[native], others].concat()
            }
        }
    }
}

impl Rule {
    fn syscall(&self) -> Result<LinuxSyscall, OciSpecError> {
        let mut syscall = LinuxSyscallBuilder::default()
            .names(self.names.clone())
            .action(self.answer.action)
            .build()?;
        syscall.set_errno_ret(self.answer.errno);
        let args: Vec<LinuxSeccompArg> =
            self.args.iter().map(Arg::oci).collect::<Result<_, _>>()?;
        syscall.set_args((!args.is_empty()).then_some(args));
        Ok(syscall)
    }
}

impl Arg {
    fn oci(&self) -> Result<LinuxSeccompArg, OciSpecError> {
        let arg = LinuxSeccompArgBuilder::default()
            .index(self.index)
            .op(self.op)
            .value(self.value);
        match self.value_two {
            Some(two) => arg.value_two(two).build(),
            None => arg.build(),
        }
    }
}

impl Condition {
    pub fn capability(capability: Capability) -> Condition {
        Condition {
            capabilities: vec![capability],
            ..Condition::default()
        }
    }

    pub fn kernel(kernel: Kernel) -> Condition {
        Condition {
            kernel: Some(kernel),
            ..Condition::default()
        }
    }

    fn holds_wholly(&self, machine: &Machine, bounding: &HashSet<Capability>) -> bool {
        let here = |word: &String| machine.is_called(word);
        self.capabilities
            .iter()
            .all(|capability| bounding.contains(capability))
            && (self.machines.is_empty() || self.machines.iter().any(here))
            && self.kernel.is_none_or(|kernel| machine.kernel >= kernel)
    }

    fn holds_partly(&self, machine: &Machine, bounding: &HashSet<Capability>) -> bool {
        let here = |word: &String| machine.is_called(word);
        self.capabilities
            .iter()
            .any(|capability| bounding.contains(capability))
            || self.machines.iter().any(here)
            || self.kernel.is_some_and(|kernel| machine.kernel >= kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(major: u32, minor: u32) -> Machine {
        Machine {
            architecture: Arch::ScmpArchX86_64,
            kernel: Kernel { major, minor },
        }
    }

    fn names(profile: &Profile, machine: &Machine, bounding: &[Capability]) -> Vec<String> {
        let bounding = bounding.iter().copied().collect();
        let resolved = profile.resolve(machine, &bounding).expect("resolves");
        let syscalls = resolved.syscalls().clone().unwrap_or_default();
        syscalls.iter().flat_map(|s| s.names().clone()).collect()
    }

    fn profile(includes: Condition, excludes: Condition) -> Profile {
        let answer = Answer {
            action: LinuxSeccompAction::ScmpActAllow,
            errno: None,
        };
        Profile {
            default: answer,
            machines: Machines::Listed(vec![]),
            flags: vec![],
            rules: vec![Rule {
                names: vec!["mount".into()],
                answer,
                args: vec![],
                includes,
                excludes,
            }],
        }
    }

    #[test]
    fn a_rule_needs_all_of_what_includes_it() {
        let both = Condition {
            capabilities: vec![Capability::SysAdmin, Capability::SysChroot],
            machines: vec!["arm64".into(), "amd64".into()],
            kernel: Some(Kernel { major: 5, minor: 2 }),
        };
        let profile = profile(both, Condition::default());
        let all = [Capability::SysAdmin, Capability::SysChroot];
        assert_eq!(names(&profile, &machine(5, 2), &all), ["mount"]);
        assert_eq!(names(&profile, &machine(5, 1), &all), [""; 0]);
        assert_eq!(names(&profile, &machine(6, 0), &all[..1]), [""; 0]);
        let elsewhere = Machine {
            architecture: Arch::ScmpArchX86,
            ..machine(6, 0)
        };
        assert_eq!(names(&profile, &elsewhere, &all), [""; 0]);
    }

    #[test]
    fn any_of_what_excludes_a_rule_does() {
        let any = Condition {
            capabilities: vec![Capability::SysAdmin, Capability::SysChroot],
            machines: vec!["arm".into()],
            kernel: Some(Kernel { major: 6, minor: 0 }),
        };
        let profile = profile(Condition::default(), any);
        assert_eq!(names(&profile, &machine(5, 2), &[]), ["mount"]);
        assert_eq!(names(&profile, &machine(6, 0), &[]), [""; 0]);
        let one = [Capability::SysChroot];
        assert_eq!(names(&profile, &machine(5, 2), &one), [""; 0]);
    }

    #[test]
    fn the_other_machines_are_those_of_the_native_ones_row() {
        let machines = Machines::ByNative(vec![
            (Arch::ScmpArchX86_64, vec![Arch::ScmpArchX86]),
            (Arch::ScmpArchAarch64, vec![Arch::ScmpArchArm]),
        ]);
        let native = Arch::ScmpArchAarch64;
        assert_eq!(machines.with(native), [native, Arch::ScmpArchArm]);
        let strange = Arch::ScmpArchRiscv64;
        assert_eq!(machines.with(strange), [strange]);
    }
}
