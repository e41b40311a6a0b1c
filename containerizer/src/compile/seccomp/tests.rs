//! The compiled program against a naive reading of the profile, run by an interpreter of classic BPF.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompFilterFlag,
    LinuxSeccompOperator as Op, LinuxSyscall, LinuxSyscallBuilder,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::abi::X32;
use super::*;

const X86_64: Abi = Abi::X86_64 { x32: X32::Unlisted };
const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

/// `struct seccomp_data` but for the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

impl Call {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.number.to_le_bytes(), self.audit.to_le_bytes()].concat();
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(self.args.iter().flat_map(|arg| arg.to_le_bytes()));
        bytes
    }
}

/// Classic BPF as the kernel runs it for seccomp; whatever its checker would refuse panics.
fn run(program: &[Instruction], call: &Call) -> u32 {
    let data = call.bytes();
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        let skip = |holds: bool| if holds { jt } else { jf } as usize;
        at += 1;
        match code {
            0x20 => {
                assert!(k % 4 == 0, "an unaligned load");
                let word = data[k as usize..][..4].try_into().expect("4 bytes");
                accumulator = u32::from_le_bytes(word);
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += skip(accumulator == k),
            0x25 => at += skip(accumulator > k),
            0x35 => at += skip(accumulator >= k),
            0x06 => return k,
            other => panic!("code {other:#x}"),
        }
    }
}

/// What a profile says of a call, read from top to bottom.
fn model(profile: &LinuxSeccomp, native: Abi, call: &Call) -> u32 {
    let lists = |arch| profile.architectures().iter().flatten().any(|a| *a == arch);
    let default = meant(profile.default_action(), profile.default_errno_ret());
    let number_of = |name: &str| -> Option<u32> {
        let id = match call.audit {
            0xc000_003e => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
            0x4000_0003 => name.parse::<syscalls::x86::Sysno>().ok()?.id(),
            0xc000_00b7 => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
            _ => name.parse::<syscalls::arm::Sysno>().ok()?.id(),
        };
        Some(id as u32)
    };
    // file_setattr is the newest call of the tables, and has one number everywhere.
    let newest = syscalls::x86_64::Sysno::file_setattr.id() as u32;
    match (native, call.audit) {
        (Abi::X86_64 { .. }, 0xc000_003e) | (Abi::Aarch64, 0xc000_00b7) => {}
        (Abi::X86_64 { .. }, 0x4000_0003) if lists(Arch::ScmpArchX86) => {}
        (Abi::Aarch64, 0x4000_0028) if lists(Arch::ScmpArchArm) => {}
        _ => return KILL,
    }
    let is_x32 = call.audit == 0xc000_003e && call.number >= 1 << 30 && call.number != u32::MAX;
    if is_x32 {
        return if lists(Arch::ScmpArchX32) {
            ENOSYS
        } else {
            KILL
        };
    }
    for rule in profile.syscalls().iter().flatten() {
        let is_named = (rule.names().iter()).any(|name| number_of(name) == Some(call.number));
        if is_named && matches(rule, call) {
            return meant(rule.action(), rule.errno_ret());
        }
    }
    let is_skip = call.audit == 0xc000_003e && call.number == u32::MAX;
    if default == EPERM && call.number > newest && !is_skip {
        return ENOSYS;
    }
    default
}

fn meant(action: Action, data: Option<u32>) -> u32 {
    match action {
        Action::ScmpActErrno | Action::ScmpActTrace => u32::from(action) & !1 | data.unwrap_or(1),
        _ => u32::from(action),
    }
}

fn matches(rule: &LinuxSyscall, call: &Call) -> bool {
    let args = rule.args().clone().unwrap_or_default();
    let holds = |arg: &LinuxSeccompArg| holds(arg, call);
    let twice = |arg: &LinuxSeccompArg| {
        args.iter()
            .filter(|other| other.index() == arg.index())
            .count()
            > 1
    };
    if args.iter().any(twice) {
        args.iter().any(holds)
    } else {
        args.iter().all(holds)
    }
}

fn holds(arg: &LinuxSeccompArg, call: &Call) -> bool {
    let is_narrow = call.audit & 0x8000_0000 == 0;
    let given = call.args[arg.index()];
    let bits = if is_narrow {
        u64::from(u32::MAX)
    } else {
        u64::MAX
    };
    let given = given & bits;
    let value = arg.value();
    match arg.op() {
        Op::ScmpCmpEq => given == value & bits,
        Op::ScmpCmpNe => given != value & bits,
        Op::ScmpCmpLt => given < value,
        Op::ScmpCmpLe => given <= value,
        Op::ScmpCmpGt => given > value,
        Op::ScmpCmpGe => given >= value,
        Op::ScmpCmpMaskedEq => given & value == arg.value_two().unwrap_or(0) & bits,
    }
}

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
fn value() -> impl Strategy<Value = u64> {
    let half = select(vec![
        0_u32,
        1,
        2,
        0x7e02_0000,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
    ]);
    (half.clone(), half).prop_map(|(high, low)| u64::from(high) << 32 | u64::from(low))
}

fn action() -> impl Strategy<Value = (Action, Option<u32>)> {
    prop_oneof![
        Just((Action::ScmpActAllow, None)),
        Just((Action::ScmpActErrno, None)),
        Just((Action::ScmpActErrno, Some(38))),
        Just((Action::ScmpActKill, None)),
        Just((Action::ScmpActKillProcess, None)),
        Just((Action::ScmpActTrap, None)),
        Just((Action::ScmpActTrace, Some(9))),
        Just((Action::ScmpActLog, None)),
    ]
}

fn arg() -> impl Strategy<Value = LinuxSeccompArg> {
    let op = select(vec![
        Op::ScmpCmpEq,
        Op::ScmpCmpNe,
        Op::ScmpCmpLt,
        Op::ScmpCmpLe,
        Op::ScmpCmpGt,
        Op::ScmpCmpGe,
        Op::ScmpCmpMaskedEq,
    ]);
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

fn profile() -> impl Strategy<Value = LinuxSeccomp> {
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

fn call() -> impl Strategy<Value = Call> {
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

proptest! {
    #[test]
    fn a_program_decides_as_its_profile_reads(
        profile in profile(),
        native in select(vec![X86_64, Abi::Aarch64]),
        calls in proptest::collection::vec(call(), 64),
    ) {
        let compiled = compile(&profile, native).expect("compiles");
        for call in calls {
            let (decided, read) =
                (run(&compiled.instructions, &call), model(&profile, native, &call));
            prop_assert_eq!(decided, read, "{:?}", call);
        }
    }

    /// Numbers of the calls that the profile names are rare among all, and what it is about.
    #[test]
    fn a_program_decides_as_its_profile_reads_for_every_call_by_name(
        profile in profile(),
        args in [value(), value(), value()],
    ) {
        let compiled = compile(&profile, X86_64).expect("compiles");
        let args = [args[0], args[1], args[2], 0, 0, 0];
        for audit in [0xc000_003e, 0x4000_0003] {
            for number in 0..480 {
                let call = Call { number, audit, args };
                let (decided, read) =
                    (run(&compiled.instructions, &call), model(&profile, X86_64, &call));
                prop_assert_eq!(decided, read, "{:?}", call);
            }
        }
    }
}

fn rule(names: &[&str], action: Action, args: &[(usize, u64, Op)]) -> LinuxSyscall {
    let arg = |(index, value, op): &(usize, u64, Op)| {
        let arg = LinuxSeccompArgBuilder::default()
            .index(*index)
            .value(*value)
            .op(*op);
        arg.build().expect("builds")
    };
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let rule = LinuxSyscallBuilder::default().names(names).action(action);
    let rule = rule.args(args.iter().map(arg).collect::<Vec<_>>());
    rule.build().expect("builds")
}

fn denying(rules: Vec<LinuxSyscall>) -> LinuxSeccomp {
    let profile = LinuxSeccompBuilder::default().default_action(Action::ScmpActErrno);
    profile.syscalls(rules).build().expect("builds")
}

fn native_call(number: u32, args: &[u64]) -> Call {
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    Call {
        number,
        audit: 0xc000_003e,
        args: six,
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let vsock = rule(&["socket"], Action::ScmpActErrno, &[(0, 40, Op::ScmpCmpEq)]);
    let rest = rule(&["socket"], Action::ScmpActAllow, &[]);
    let compiled = compile(&denying(vec![vsock, rest]), X86_64).expect("compiles");
    let socket = |family| run(&compiled.instructions, &native_call(41, &[family]));
    assert_eq!(
        (socket(40), socket(2), socket(40 | 1 << 32)),
        (EPERM, ALLOW, ALLOW)
    );
}

#[test]
fn calls_later_than_all_known_ones_are_not_implemented_rather_than_forbidden() {
    let compiled = compile(&denying(vec![]), X86_64).expect("compiles");
    let answer = |number| run(&compiled.instructions, &native_call(number, &[]));
    assert_eq!(
        (answer(0), answer(10_000), answer(u32::MAX)),
        (EPERM, ENOSYS, EPERM)
    );
}

#[test]
fn far_jumps_reach_what_they_mean() {
    // Each test takes several instructions, so that the whole is near the kernel's limit.
    let tests: Vec<_> = (0..600)
        .map(|n| {
            rule(
                &["write"],
                Action::ScmpActAllow,
                &[(1, n * 2, Op::ScmpCmpEq)],
            )
        })
        .collect();
    let compiled = compile(&denying(tests), X86_64).expect("compiles");
    assert!(compiled.instructions.len() > 2000 && compiled.instructions.len() <= LONGEST);
    for n in 0..1300 {
        let allowed = n % 2 == 0 && n < 1200;
        let wanted = if allowed { ALLOW } else { EPERM };
        let call = native_call(1, &[0, n]);
        assert_eq!(run(&compiled.instructions, &call), wanted, "{n}");
        assert_eq!(run(&compiled.instructions, &native_call(0, &[0, n])), EPERM);
    }
}

#[test]
fn what_the_kernel_would_not_take_is_refused_with_the_remedy() {
    let tests = |n| rule(&["write"], Action::ScmpActAllow, &[(1, n, Op::ScmpCmpEq)]);
    let long = denying((0..2000).map(tests).collect());
    let error = compile(&long, X86_64).expect_err("refused").to_string();
    assert!(
        error.contains("the kernel takes at most 4096: it needs fewer rules with \"args\""),
        "{error}"
    );
}

#[test]
fn what_cannot_be_done_is_named_by_its_place() {
    let index = denying(vec![rule(
        &["read"],
        Action::ScmpActAllow,
        &[(6, 0, Op::ScmpCmpEq)],
    )]);
    let mut errno = rule(&["read"], Action::ScmpActAllow, &[]);
    errno.set_errno_ret(Some(1));
    let table = [
        (index, "linux.seccomp.syscalls[0].args[0].index is 6"),
        (
            denying(vec![errno]),
            "linux.seccomp.syscalls[0].errnoRet is 1",
        ),
    ];
    for (profile, beginning) in table {
        let error = compile(&profile, X86_64).expect_err("refused").to_string();
        assert!(error.starts_with(beginning), "{error}");
    }
}

#[test]
fn flags_have_the_kernels_numbers_and_unknown_names_are_told() {
    let mut profile = denying(vec![rule(&["raed", "read"], Action::ScmpActAllow, &[])]);
    profile.set_flags(Some(vec![
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
    ]));
    let compiled = compile(&profile, X86_64).expect("compiles");
    assert_eq!(
        (compiled.flags, compiled.unknown),
        (4, vec!["raed".to_owned()])
    );
}

/// A profile that has somebody asked.
fn asking(mut rules: Vec<LinuxSyscall>, path: &str) -> LinuxSeccomp {
    rules.push(rule(&["mkdir"], Action::ScmpActNotify, &[]));
    let mut profile = denying(rules);
    profile.set_listener_path(Some(path.into()));
    profile
}

#[test]
fn a_profile_that_asks_has_a_listener_and_a_verdict_for_it() {
    let allowed = rule(&["sendmsg"], Action::ScmpActAllow, &[]);
    let mut profile = asking(vec![allowed], "/run/agent");
    profile.set_flags(Some(vec![
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
    ]));
    let compiled = compile(&profile, X86_64).expect("compiles");
    assert_eq!(compiled.flags, 40);
    let number = X86_64.number("mkdir").expect("is known");
    let answer = run(&compiled.instructions, &native_call(number, &[]));
    assert_eq!(answer, 0x7fc0_0000);
}

#[test]
fn a_listener_that_could_not_be_handed_on_is_refused() {
    let allowed = || rule(&["sendmsg"], Action::ScmpActAllow, &[]);
    let notified = |name: &str, args: &[_]| rule(&[name], Action::ScmpActNotify, args);
    let partly = [(0, 3, Op::ScmpCmpEq)];
    let table = [
        (
            asking(vec![allowed()], ""),
            "linux.seccomp uses SCMP_ACT_NOTIFY without a listenerPath",
        ),
        (
            asking(vec![allowed(), notified("write", &[])], "/run/agent"),
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (
            asking(vec![notified("sendmsg", &partly), allowed()], "/run/agent"),
            "SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall",
        ),
        (
            asking(vec![], "/run/agent"),
            "linux.seccomp must allow sendmsg",
        ),
    ];
    for (profile, beginning) in table {
        let error = compile(&profile, X86_64).expect_err("refused").to_string();
        assert!(error.starts_with(beginning), "{error}");
    }
}

#[test]
fn calls_that_are_in_no_table_have_numbers() {
    assert_eq!(Abi::Aarch64.number("newfstatat"), Some(79));
    assert_eq!(Abi::Arm.number("set_tls"), Some(0x0f_0005));
    assert_eq!(Abi::Arm.number("read"), Some(3));
    assert_eq!(Abi::Aarch64.number("set_tls"), None);
}

/// Of root in a container of ours, on a machine of today.
fn builtin(architecture: Arch, bounding: &[Capability]) -> LinuxSeccomp {
    let kernel = isolators::seccomp::Kernel { major: 6, minor: 1 };
    let machine = isolators::seccomp::Machine {
        architecture,
        kernel,
    };
    let profile = isolators::seccomp::Profile::builtin();
    let resolved = profile.resolve(&machine, &bounding.iter().copied().collect());
    resolved.expect("resolves")
}

#[test]
fn the_default_is_a_short_program() {
    let intel = compile(&builtin(Arch::ScmpArchX86_64, &[]), X86_64).expect("compiles");
    let arm = compile(&builtin(Arch::ScmpArchAarch64, &[]), Abi::Aarch64).expect("compiles");
    let lengths = (intel.instructions.len(), arm.instructions.len());
    assert!(lengths.0 <= 300 && lengths.1 <= 300, "{lengths:?}");
    assert_eq!(intel.unknown, [""; 0]);
}

/// The whole list, for review, in the order of their numbers; those that depend on their arguments are
/// given strange ones. What is not in it is let through.
#[test]
fn the_default_refuses_these_calls_and_no_others() {
    let compiled = compile(&builtin(Arch::ScmpArchX86_64, &[]), X86_64).expect("compiles");
    let answers = |call: syscalls::x86_64::Sysno| {
        let call = native_call(call.id() as u32, &[u64::from(u32::MAX), u64::MAX]);
        run(&compiled.instructions, &call)
    };
    let all = syscalls::x86_64::Sysno::iter().chain([syscalls::x86_64::Sysno::last()]);
    let refused: Vec<&str> = all
        .filter(|call| answers(*call) != ALLOW)
        .map(|call| call.name())
        .collect();
    let written = include_str!("refused.txt").split_whitespace();
    assert_eq!(
        refused,
        written.collect::<Vec<_>>(),
        "{}",
        refused.join(" ")
    );
}

#[test]
fn the_default_looks_at_arguments() {
    let compiled = compile(&builtin(Arch::ScmpArchX86_64, &[]), X86_64).expect("compiles");
    let answer = |name: &str, args: &[u64]| {
        let number = X86_64.number(name).expect("a call");
        run(&compiled.instructions, &native_call(number, args))
    };
    let (thread, user_namespace, high) = (0x003d_0f00, 0x1000_0011, 1 << 32);
    let table: &[(&str, &[u64], u32)] = &[
        ("clone", &[thread], ALLOW),
        ("clone", &[user_namespace], EPERM),
        ("clone", &[0x0002_0000], EPERM),
        ("clone3", &[0], ENOSYS),
        ("socket", &[2, 1], ALLOW),
        ("socket", &[38, 5], EPERM),
        ("socket", &[40, 1], EPERM),
        // The kernel would cut it down to 40.
        ("socket", &[40 | high, 1], EPERM),
        ("personality", &[0xffff_ffff], ALLOW),
        ("personality", &[0x0040_0000], EPERM),
        ("personality", &[high], EPERM),
        ("ptrace", &[0], ALLOW),
        ("io_uring_setup", &[8], EPERM),
    ];
    for (name, args, wanted) in table {
        assert_eq!(answer(name, args), *wanted, "{name} {args:x?}");
    }
}

#[test]
fn a_capability_opens_the_calls_that_go_with_it() {
    let answer = |bounding: &[Capability], name: &str| {
        let profile = builtin(Arch::ScmpArchX86_64, bounding);
        let compiled = compile(&profile, X86_64).expect("compiles");
        let number = X86_64.number(name).expect("a call");
        run(&compiled.instructions, &native_call(number, &[0x1000_0000]))
    };
    for (capability, name) in [
        (Capability::SysAdmin, "mount"),
        (Capability::SysAdmin, "unshare"),
        (Capability::SysAdmin, "clone"),
        (Capability::SysAdmin, "clone3"),
        (Capability::SysChroot, "chroot"),
        (Capability::Perfmon, "perf_event_open"),
        (Capability::SysTime, "clock_settime"),
    ] {
        assert_ne!(answer(&[], name), ALLOW, "{name}");
        assert_eq!(answer(&[capability], name), ALLOW, "{name}");
    }
}
