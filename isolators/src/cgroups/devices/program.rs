//! cgroup v2: a program of type BPF_PROG_TYPE_CGROUP_DEVICE decides. Pure: rules become instructions.
//!
//! The rules are asked from the last to the first; each that is about the device takes the ways of
//! using it that it allows out of what was asked for, or denies one. Source: bpf(2), the kernel's
//! Documentation/bpf/standardization/instruction-set.rst and include/uapi/linux/bpf.h.

#[cfg(any(test, fuzzing))]
pub mod interpreter;

use super::rule::{Access, Kind, Rule};

/// Registers: the answer and scratch, the context, and what is asked.
const R0: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
/// What of the asked access no rule has allowed yet.
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Operations: class, source of the operand, and what is done.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const AND_NUMBER: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_IF_NOT: u8 = 0x55;
const EXIT: u8 = 0x95;

/// A `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    operation: u8,
    destination: u8,
    source: u8,
    offset: i16,
    number: i32,
}

impl Instruction {
    /// On machines with the least significant byte first, which are all that this runs on.
    fn encode(self) -> u64 {
        let [offset_low, offset_high] = self.offset.to_le_bytes();
        let [a, b, c, d] = self.number.to_le_bytes();
        let registers = self.destination | self.source << 4;
        u64::from_le_bytes([
            self.operation,
            registers,
            offset_low,
            offset_high,
            a,
            b,
            c,
            d,
        ])
    }
}

fn with_number(operation: u8, destination: u8, number: i32) -> Instruction {
    Instruction {
        operation,
        destination,
        source: 0,
        offset: 0,
        number,
    }
}

fn with_register(operation: u8, destination: u8, source: u8, offset: i16) -> Instruction {
    Instruction {
        operation,
        destination,
        source,
        offset,
        number: 0,
    }
}

fn answer(allow: bool) -> [Instruction; 2] {
    [
        with_number(MOVE_NUMBER, R0, i32::from(allow)),
        with_number(EXIT, 0, 0),
    ]
}

pub fn compile(rules: &[Rule]) -> Vec<u64> {
    // `struct bpf_cgroup_dev_ctx`: access << 16 | type, major, minor.
    let mut program = vec![
        with_register(LOAD_WORD, KIND, CONTEXT, 0),
        with_register(MOVE, ASKED, KIND, 0),
        with_number(AND_NUMBER, KIND, 0xffff),
        with_number(SHIFT_RIGHT, ASKED, 16),
        with_register(LOAD_WORD, MAJOR, CONTEXT, 4),
        with_register(LOAD_WORD, MINOR, CONTEXT, 8),
    ];
    let mut decided = false;
    for rule in rules.iter().rev() {
        let Some(conditions) = conditions(rule) else {
            continue;
        };
        program.extend(block(rule, &conditions));
        // The kernel refuses programs with instructions that nothing leads to.
        decided = conditions.is_empty() && rule.access == Access::ALL;
        if decided {
            break;
        }
    }
    if !decided {
        program.extend(answer(false));
    }
    program.into_iter().map(Instruction::encode).collect()
}

/// Registers and what must be in them. `None`: a number that no device has, as the kernel's are not
/// that large.
fn conditions(rule: &Rule) -> Option<Vec<(u8, i32)>> {
    let mut conditions = Vec::new();
    if let Some(kind) = rule.kind {
        let number = match kind {
            Kind::Block => 1,
            Kind::Char => 2,
        };
        conditions.push((KIND, number));
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            conditions.push((register, i32::try_from(number).ok()?));
        }
    }
    Some(conditions)
}

/// A jump without an offset leads behind the block.
fn block(rule: &Rule, conditions: &[(u8, i32)]) -> Vec<Instruction> {
    let access = i32::from(rule.access.0);
    let mut block: Vec<_> = conditions
        .iter()
        .map(|(register, number)| with_number(JUMP_IF_NOT, *register, *number))
        .collect();
    match (rule.allow, rule.access == Access::ALL) {
        (_, true) => {}
        (true, false) => block.extend([
            with_number(AND_NUMBER, ASKED, i32::from(Access::ALL.0) & !access),
            with_number(JUMP_IF_NOT, ASKED, 0),
        ]),
        (false, false) => block.extend([
            with_register(MOVE, R0, ASKED, 0),
            with_number(AND_NUMBER, R0, access),
            with_number(JUMP_IF_EQUAL, R0, 0),
        ]),
    }
    block.extend(answer(rule.allow));
    let end = block.len();
    for (at, instruction) in block.iter_mut().enumerate() {
        if matches!(instruction.operation, JUMP_IF_EQUAL | JUMP_IF_NOT) {
            // A block has at most eight instructions.
            instruction.offset = (end - at - 1) as i16;
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rule::many::{rules, uses};
    use super::super::rule::naive::allows;
    use super::super::rule::{DENY_ALL, defaults};
    use super::interpreter::{reached, run};
    use super::*;

    proptest! {
        #[test]
        fn the_program_decides_as_the_rules_read(
            rules in rules(),
            uses in prop::collection::vec(uses(), 32),
        ) {
            let program = compile(&rules);
            prop_assert!(reached(&program));
            for (device, access) in uses {
                prop_assert_eq!(run(&program, device, access), allows(&rules, device, access));
            }
        }
    }

    #[test]
    fn a_number_beyond_the_kernels_matches_nothing() {
        let rule = Rule {
            allow: true,
            kind: Some(Kind::Char),
            major: Some(u32::MAX),
            ..DENY_ALL
        };
        assert_eq!(compile(&[rule]), compile(&[]));
    }

    #[test]
    fn the_default_list_is_a_short_program() {
        let rules: Vec<_> = [DENY_ALL].into_iter().chain(defaults()).collect();
        assert!(compile(&rules).len() < 80);
    }
}
