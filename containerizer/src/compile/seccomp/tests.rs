//! The compiled program against a naive reading of the profile, run by an interpreter of classic BPF.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSeccompOperator as Op, LinuxSyscall,
    LinuxSyscallBuilder,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::abi::X32;
use super::interpreter::{Call, run};
use super::naive::{ENOSYS, EPERM, model};
use super::profiles::{call, profile, value};
use super::*;

const X86_64: Abi = Abi::X86_64 { x32: X32::Unlisted };
const ALLOW: u32 = 0x7fff_0000;

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
            "linux.seccomp: SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (
            asking(vec![notified("sendmsg", &partly), allowed()], "/run/agent"),
            "linux.seccomp: SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall",
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
