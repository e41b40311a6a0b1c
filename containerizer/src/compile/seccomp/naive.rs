//! Profiles as one reads them, and many to read: what compiled programs are held against.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Op,
    LinuxSyscall,
};

use super::abi::Abi;
use super::interpreter::Call;

const KILL: u32 = 0x8000_0000;
pub const EPERM: u32 = 0x0005_0001;
pub const ENOSYS: u32 = 0x0005_0026;

/// What a profile says of a call, read from top to bottom.
pub fn model(profile: &LinuxSeccomp, native: Abi, call: &Call) -> u32 {
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
