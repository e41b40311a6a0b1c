//! Profiles and calls of all kinds.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSyscall, LinuxSyscallBuilder,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::interpreter::Call;
use super::properties::{ACTIONS, HALVES, OPERATORS};

/// Few, so that they meet; private ones of ARM are tested apart.
const NAMES: &[&str] = &[
    "read",
    "write",
    "open",
    "close",
    "clone",
    "personality",
    "socket",
    "ptrace",
    "mount",
    "openat",
    "unshare",
    "keyctl",
    "file_setattr",
    "socketcall",
    "no_such_call",
];

/// Around the borders of both halves.
pub fn value() -> impl Strategy<Value = u64> {
    let half = select(HALVES);
    (half.clone(), half).prop_map(|(high, low)| u64::from(high) << 32 | u64::from(low))
}

fn action() -> impl Strategy<Value = (Action, Option<u32>)> {
    select(ACTIONS)
}

fn arg() -> impl Strategy<Value = LinuxSeccompArg> {
    let op = select(OPERATORS);
    (0_usize..3, value(), value(), op).prop_map(|(index, value, two, op)| {
        let arg = LinuxSeccompArgBuilder::default().index(index).value(value);
        arg.value_two(two).op(op).build().expect("builds")
    })
}

fn syscall() -> impl Strategy<Value = LinuxSyscall> {
    let names = proptest::collection::vec(select(NAMES), 1..6);
    let args = proptest::collection::vec(arg(), 0..4);
    (names, action(), args).prop_map(|(names, (action, errno), args)| {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let syscall = LinuxSyscallBuilder::default().names(names).action(action);
        let mut syscall = syscall.args(args).build().expect("builds");
        syscall.set_errno_ret(errno);
        syscall
    })
}

pub fn profile() -> impl Strategy<Value = LinuxSeccomp> {
    let rules = proptest::collection::vec(syscall(), 0..12);
    let foreign = [
        Arch::ScmpArchX86,
        Arch::ScmpArchX32,
        Arch::ScmpArchArm,
        Arch::ScmpArchMips,
    ];
    let machines = proptest::sample::subsequence(foreign.to_vec(), 0..4);
    (action(), machines, rules).prop_map(|((action, errno), machines, rules)| {
        let profile = LinuxSeccompBuilder::default().default_action(action);
        let profile = profile.architectures(machines).syscalls(rules);
        let mut profile = profile.build().expect("builds");
        profile.set_default_errno_ret(errno);
        profile
    })
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        0_u32..480,
        select(vec![
            1 << 30,
            (1 << 30) + 1,
            u32::MAX - 1,
            u32::MAX,
            0x0f_0002
        ]),
        any::<u32>(),
    ]
}

pub fn call() -> impl Strategy<Value = Call> {
    let audit = select(vec![
        0xc000_003e,
        0x4000_0003,
        0xc000_00b7,
        0x4000_0028,
        0x8000_0016,
    ]);
    let arg = || prop_oneof![value(), any::<u64>()];
    (number(), audit, [arg(), arg(), arg(), arg(), arg(), arg()]).prop_map(
        |(number, audit, args)| Call {
            number,
            audit,
            args,
        },
    )
}
