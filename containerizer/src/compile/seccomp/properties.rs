//! A program decides as its profile reads.

use isolators::seccomp::{Machine, Profile};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator as Op, LinuxSyscall, LinuxSyscallBuilder,
};

use super::abi::{Abi, X32};
use super::compile;
use super::interpreter::{Call, run};
use super::naive::model;

const X86_64: Abi = Abi::X86_64 { x32: X32::Unlisted };

/// One that the bytes choose, with calls that it is about and others.
pub fn a_chosen_profile(bytes: &[u8]) {
    let mut choices = Choices(bytes.iter());
    let native = choices.of(&[X86_64, Abi::Aarch64]);
    let profile = choices.profile();
    let values = choices.values();
    decides_as_it_reads(&profile, native, calls(&values));
}

/// In the form that operators write, and for the calls that it is about.
pub fn a_profile_in_json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(profile) = text.parse::<Profile>() else {
        return;
    };
    let machine = Machine::here("6.1.0");
    let profile = profile.resolve(&machine, &[].into()).expect("resolves");
    decides_as_it_reads(&profile, X86_64, calls_of(&profile));
}

fn decides_as_it_reads(profile: &LinuxSeccomp, native: Abi, calls: Vec<Call>) {
    let Ok(compiled) = compile(profile, native) else {
        return;
    };
    for call in calls {
        let decided = run(&compiled.instructions, &call);
        assert_eq!(decided, model(profile, native, &call), "{call:?}");
    }
}

/// By name, with arguments at and around the values that they are compared with.
fn calls_of(profile: &LinuxSeccomp) -> Vec<Call> {
    const MACHINES: [(Abi, u32); 2] = [(X86_64, 0xc000_003e), (Abi::X86, 0x4000_0003)];
    let rules = profile.syscalls().iter().flatten().take(8);
    let compared = rules.clone().flat_map(|rule| rule.args().iter().flatten());
    let near = compared.take(4).flat_map(|arg| {
        let (value, two) = (arg.value(), arg.value_two().unwrap_or(0));
        [
            value,
            value.wrapping_add(1),
            value.wrapping_sub(1),
            value ^ 1 << 32,
            two,
        ]
    });
    let values: Vec<u64> = near.chain([0, u64::MAX]).collect();
    let names = rules.flat_map(|rule| rule.names().iter().take(4));
    let mut calls = Vec::new();
    for name in names {
        for (abi, audit) in MACHINES {
            let Some(number) = abi.number(name) else {
                continue;
            };
            let with = |value: &u64| Call {
                number,
                audit,
                args: [*value; 6],
            };
            calls.extend(values.iter().map(with));
        }
    }
    calls
}

/// Few, so that they meet.
const NAMES: &[&str] = &[
    "read",
    "write",
    "clone",
    "socket",
    "openat",
    "keyctl",
    "socketcall",
    "no_such_call",
];
pub(super) const ACTIONS: &[(Action, Option<u32>)] = &[
    (Action::ScmpActAllow, None),
    (Action::ScmpActErrno, None),
    (Action::ScmpActErrno, Some(38)),
    (Action::ScmpActKillProcess, None),
    (Action::ScmpActTrap, None),
    (Action::ScmpActTrace, Some(9)),
    (Action::ScmpActLog, None),
    (Action::ScmpActKill, None),
];
pub(super) const OPERATORS: &[Op] = &[
    Op::ScmpCmpEq,
    Op::ScmpCmpNe,
    Op::ScmpCmpLt,
    Op::ScmpCmpLe,
    Op::ScmpCmpGt,
    Op::ScmpCmpGe,
    Op::ScmpCmpMaskedEq,
];
/// Around the borders of both halves.
pub(super) const HALVES: &[u32] = &[0, 1, 2, 0x7e02_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// Bytes, as choices; 0 when they are at their end.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn value(&mut self) -> u64 {
        let (high, low) = (self.of(HALVES), self.of(HALVES));
        u64::from(high) << 32 | u64::from(low)
    }

    fn values(&mut self) -> [u64; 3] {
        [self.value(), self.value(), self.value()]
    }

    fn profile(&mut self) -> LinuxSeccomp {
        let foreign = [
            Arch::ScmpArchX86,
            Arch::ScmpArchX32,
            Arch::ScmpArchArm,
            Arch::ScmpArchMips,
        ];
        let listed = self.below(16);
        let machines = foreign
            .into_iter()
            .enumerate()
            .filter(|(n, _)| listed >> n & 1 == 1);
        let machines: Vec<_> = machines.map(|(_, arch)| arch).collect();
        let (action, errno) = self.of(ACTIONS);
        let rules: Vec<_> = (0..self.below(10)).map(|_| self.rule()).collect();
        let profile = LinuxSeccompBuilder::default().default_action(action);
        let profile = profile.architectures(machines).syscalls(rules);
        let mut profile = profile.build().expect("builds");
        profile.set_default_errno_ret(errno);
        profile
    }

    fn rule(&mut self) -> LinuxSyscall {
        let names: Vec<_> = (0..=self.below(3))
            .map(|_| self.of(NAMES).to_owned())
            .collect();
        let args: Vec<_> = (0..self.below(4)).map(|_| self.arg()).collect();
        let (action, errno) = self.of(ACTIONS);
        let rule = LinuxSyscallBuilder::default().names(names).action(action);
        let mut rule = rule.args(args).build().expect("builds");
        rule.set_errno_ret(errno);
        rule
    }

    fn arg(&mut self) -> LinuxSeccompArg {
        let arg = LinuxSeccompArgBuilder::default().index(self.below(3));
        let arg = arg.value(self.value()).value_two(self.value());
        arg.op(self.of(OPERATORS)).build().expect("builds")
    }
}

/// Of every machine: those with names, and numbers that mean something else.
fn calls(values: &[u64; 3]) -> Vec<Call> {
    const MACHINES: [(Abi, u32); 4] = [
        (X86_64, 0xc000_003e),
        (Abi::X86, 0x4000_0003),
        (Abi::Aarch64, 0xc000_00b7),
        (Abi::Arm, 0x4000_0028),
    ];
    let args = [values[0], values[1], values[2], 0, 0, 0];
    let of = |(abi, audit): (Abi, u32)| {
        let named = NAMES.iter().filter_map(move |name| abi.number(name));
        let others = [0, 479, 1 << 30, (1 << 30) + 1, u32::MAX - 1, u32::MAX];
        let numbers = named.chain(others);
        numbers.map(move |number| Call {
            number,
            audit,
            args,
        })
    };
    let strange = Call {
        number: 0,
        audit: 0x8000_0016,
        args,
    };
    MACHINES.into_iter().flat_map(of).chain([strange]).collect()
}
