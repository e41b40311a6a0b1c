//! One comparison of an argument, in steps of 32 bits: BPF knows no larger numbers.

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Op};

use super::assembler::{Assembler, Jump, Label};

/// Where `struct seccomp_data` holds the arguments, 8 bytes each, on little-endian machines.
const ARGS: u32 = 16;

#[derive(Debug, Clone, Copy)]
struct Halves {
    low: u32,
    high: u32,
}

fn halves(value: u64) -> Halves {
    Halves {
        low: value as u32,
        high: (value >> 32) as u32,
    }
}

/// Emits code that goes on at `yes` when the comparison holds, else at `no`; says where it begins.
pub fn emit(
    code: &mut Assembler,
    arg: &LinuxSeccompArg,
    is_narrow: bool,
    yes: Label,
    no: Label,
) -> Label {
    let value = arg.value();
    // "Less" is "not greater or equal": both ways to say it are one piece of code.
    match arg.op() {
        Op::ScmpCmpEq => equal(code, arg, is_narrow, (u64::MAX, value), yes, no),
        Op::ScmpCmpNe => equal(code, arg, is_narrow, (u64::MAX, value), no, yes),
        Op::ScmpCmpMaskedEq => {
            let masked = (value, arg.value_two().unwrap_or(0));
            equal(code, arg, is_narrow, masked, yes, no)
        }
        Op::ScmpCmpGt => greater(code, arg, is_narrow, Jump::Greater, yes, no),
        Op::ScmpCmpGe => greater(code, arg, is_narrow, Jump::GreaterOrEqual, yes, no),
        Op::ScmpCmpLt => greater(code, arg, is_narrow, Jump::GreaterOrEqual, no, yes),
        Op::ScmpCmpLe => greater(code, arg, is_narrow, Jump::Greater, no, yes),
    }
}

/// `argument & mask == wanted`. Code is emitted backwards: the low half, which is asked last, first.
fn equal(
    code: &mut Assembler,
    arg: &LinuxSeccompArg,
    is_narrow: bool,
    (mask, wanted): (u64, u64),
    yes: Label,
    no: Label,
) -> Label {
    let (mask, wanted) = (halves(mask), halves(wanted));
    let low = half_equal(code, low_at(arg), mask.low, wanted.low, yes, no);
    // Of 32 bits the low half is all there is; -1 is written with all 64 for both.
    if is_narrow {
        return low;
    }
    half_equal(code, low_at(arg) + 4, mask.high, wanted.high, low, no)
}

fn half_equal(
    code: &mut Assembler,
    offset: u32,
    mask: u32,
    wanted: u32,
    yes: Label,
    no: Label,
) -> Label {
    if wanted & !mask != 0 {
        return no;
    }
    match mask {
        0 => yes,
        u32::MAX => {
            let asked = code.jump(Jump::Equal, wanted, yes, no);
            code.load(offset, asked)
        }
        mask => {
            let asked = code.jump(Jump::Equal, wanted, yes, no);
            let masked = code.and(mask, asked);
            code.load(offset, masked)
        }
    }
}

/// `jump` compares the low half; the high half decides alone unless it is equal.
fn greater(
    code: &mut Assembler,
    arg: &LinuxSeccompArg,
    is_narrow: bool,
    jump: Jump,
    yes: Label,
    no: Label,
) -> Label {
    let value = halves(arg.value());
    if is_narrow && value.high != 0 {
        return no;
    }
    let asked = code.jump(jump, value.low, yes, no);
    let low = code.load(low_at(arg), asked);
    if is_narrow {
        return low;
    }
    let is_equal = code.jump(Jump::Equal, value.high, low, no);
    let asked = code.jump(Jump::Greater, value.high, yes, is_equal);
    code.load(low_at(arg) + 4, asked)
}

fn low_at(arg: &LinuxSeccompArg) -> u32 {
    ARGS + 8 * arg.index() as u32
}
