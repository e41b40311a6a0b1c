//! What seccomp(2) takes.

use crate::wire::{BadProgram, Wire, wire_struct};

/// A seccomp(2) filter: classic BPF over `struct seccomp_data`. It is installed right before the exec,
/// after which it must let through capset(2) where the command may gain new privileges, and execve(2);
/// with [`NEW_LISTENER`] sendmsg(2) before them, and may ask about those two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// SECCOMP_FILTER_FLAG_*.
    pub flags: u32,
    pub instructions: Vec<Instruction>,
}

/// SECCOMP_FILTER_FLAG_NEW_LISTENER of linux/seccomp.h.
pub const NEW_LISTENER: u32 = 1 << 3;

/// One instruction in the form of the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// And when it does not.
    pub jf: u8,
    pub k: u32,
}

wire_struct!(Filter {
    flags,
    instructions
});

wire_struct!(Instruction { code, jt, jf, k });
