//! The machines whose programs one kernel runs, each with numbers of its own for system calls.

use std::collections::HashMap;
use std::sync::LazyLock;

use oci_spec::runtime::{Arch, LinuxSeccomp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    /// x32 has the same audit number and is told by a bit of the call's number.
    X86_64 {
        x32: X32,
    },
    X86,
    Aarch64,
    Arm,
}

/// Calls of x86_64 with pointers of 32 bits. They are never let through: hardly a kernel has them,
/// and they reach code that is seldom tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum X32 {
    /// Not in the profile, so as deadly as any other strange machine.
    Unlisted,
    /// A profile that knows of x32 is answered as by a kernel that does not.
    Listed,
}

/// Calls that the tables of numbers lack, or have under another name. asm/unistd.h of each machine.
const MORE: &[(Abi, &str, u32)] = &[
    (Abi::Aarch64, "newfstatat", 79),
    (Abi::Arm, "sync_file_range2", 341),
    (Abi::Arm, "breakpoint", 0x0f_0001),
    (Abi::Arm, "cacheflush", 0x0f_0002),
    (Abi::Arm, "usr26", 0x0f_0003),
    (Abi::Arm, "usr32", 0x0f_0004),
    (Abi::Arm, "set_tls", 0x0f_0005),
    (Abi::Arm, "get_tls", 0x0f_0006),
];

/// Numbers by name.
type Table = LazyLock<HashMap<&'static str, u32>>;

/// A table of the crate syscalls, whose own look-up by name goes through all names.
macro_rules! table {
    ($machine:ident) => {
        LazyLock::new(|| {
            use syscalls::$machine::Sysno;
            // Its iterator leaves out the last one.
            let all = Sysno::iter().chain([Sysno::last()]);
            all.map(|call| (call.name(), call.id().unsigned_abs()))
                .collect()
        })
    };
}

static X86_64: Table = table!(x86_64);
static X86: Table = table!(x86);
static AARCH64: Table = table!(aarch64);
static ARM: Table = table!(arm);

impl Abi {
    pub const ALL: &[Abi] = &[
        Abi::X86_64 { x32: X32::Unlisted },
        Abi::X86,
        Abi::Aarch64,
        Abi::Arm,
    ];

    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Abi = Abi::X86_64 { x32: X32::Unlisted };
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Abi = Abi::Aarch64;

    /// Those of a profile that a kernel for `native` can run, itself first and always: a container
    /// that may not make the calls of its own machine could not even end.
    pub fn listed(profile: &LinuxSeccomp, native: Abi) -> Vec<Abi> {
        let lists = |arch| profile.architectures().iter().flatten().any(|a| *a == arch);
        match native {
            Abi::X86_64 { .. } | Abi::X86 => {
                let x32 = if lists(Arch::ScmpArchX32) {
                    X32::Listed
                } else {
                    X32::Unlisted
                };
                let x86 = lists(Arch::ScmpArchX86).then_some(Abi::X86);
                [Abi::X86_64 { x32 }].into_iter().chain(x86).collect()
            }
            Abi::Aarch64 | Abi::Arm => {
                let arm = lists(Arch::ScmpArchArm).then_some(Abi::Arm);
                [Abi::Aarch64].into_iter().chain(arm).collect()
            }
        }
    }

    /// AUDIT_ARCH_* of linux/audit.h.
    pub fn audit(self) -> u32 {
        match self {
            Abi::X86_64 { .. } => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments have 32 bits. The upper half of what the kernel shows is then no part of
    /// them, and whatever is there must not decide.
    pub fn is_narrow(self) -> bool {
        matches!(self, Abi::X86 | Abi::Arm)
    }

    pub fn number(self, name: &str) -> Option<u32> {
        let known = match self {
            Abi::X86_64 { .. } => &*X86_64,
            Abi::X86 => &*X86,
            Abi::Aarch64 => &*AARCH64,
            Abi::Arm => &*ARM,
        };
        let more = || {
            MORE.iter()
                .find(|(abi, more, _)| (*abi, *more) == (self, name))
        };
        let known = known.get(name).copied();
        known.or_else(|| more().map(|(_, _, number)| *number))
    }

    /// The highest number that a name is known for, private ones aside: what is above came with a
    /// later kernel.
    pub fn last(self) -> u32 {
        let id = match self {
            Abi::X86_64 { .. } => syscalls::x86_64::Sysno::last().id(),
            Abi::X86 => syscalls::x86::Sysno::last().id(),
            Abi::Aarch64 => syscalls::aarch64::Sysno::last().id(),
            Abi::Arm => syscalls::arm::Sysno::last().id(),
        };
        id.unsigned_abs()
    }
}
