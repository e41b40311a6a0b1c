//! The kernel's side of a program: what it decides, and whether the verifier would take it.

use super::super::rule::{Access, Key, Kind};
use super::*;

fn decode(word: u64) -> Instruction {
    let [operation, registers, offset_low, offset_high, a, b, c, d] = word.to_le_bytes();
    Instruction {
        operation,
        destination: registers & 0xf,
        source: registers >> 4,
        offset: i16::from_le_bytes([offset_low, offset_high]),
        number: i32::from_le_bytes([a, b, c, d]),
    }
}

/// As the kernel executes it, for the operations that are used.
pub fn run(program: &[u64], device: Key, access: Access) -> bool {
    let kind = match device.kind {
        Kind::Block => 1,
        Kind::Char => 2,
    };
    let number = |n: Option<u32>| n.expect("a number");
    let context = [
        u32::from(access.0) << 16 | kind,
        number(device.major),
        number(device.minor),
    ];
    let mut registers = [0_u64; 11];
    let mut at = 0_usize;
    loop {
        let i = decode(program[at]);
        let (to, from) = (usize::from(i.destination), usize::from(i.source));
        at += 1;
        match i.operation {
            LOAD_WORD => {
                assert_eq!(i.source, CONTEXT);
                registers[to] = context[i.offset as usize / 4].into();
            }
            MOVE => registers[to] = registers[from],
            MOVE_NUMBER => registers[to] = i64::from(i.number) as u64,
            AND_NUMBER => registers[to] = u64::from(registers[to] as u32 & i.number as u32),
            SHIFT_RIGHT => registers[to] = u64::from(registers[to] as u32 >> i.number),
            JUMP_IF_EQUAL | JUMP_IF_NOT => {
                let equal = registers[to] == i64::from(i.number) as u64;
                if equal == (i.operation == JUMP_IF_EQUAL) {
                    at += usize::try_from(i.offset).expect("forwards");
                }
            }
            EXIT => return registers[0] == 1,
            operation => panic!("operation {operation:#x}"),
        }
    }
}

/// Every instruction can be reached, and the last one ends the program: the kernel's verifier
/// refuses others.
pub fn reached(program: &[u64]) -> bool {
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (at, word) in program.iter().enumerate() {
        let i = decode(*word);
        if !reached[at] {
            return false;
        }
        if i.operation != EXIT {
            reached[at + 1] = true;
        }
        if matches!(i.operation, JUMP_IF_EQUAL | JUMP_IF_NOT) {
            reached[at + 1 + i.offset as usize] = true;
        }
    }
    true
}
