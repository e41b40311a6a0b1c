//! The program: which machine, which range, which arguments.

use init::Instruction;

use super::action::KILL_PROCESS;
use super::assembler::{Assembler, Jump, Label};
use super::comparison;
use super::decision::{Answers, Decision};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;

/// Calls of a machine that has no answers kill: nobody has said what they may do.
pub fn program(answers: &[Answers]) -> Vec<Instruction> {
    let mut code = Assembler::default();
    let mut next = code.answer(KILL_PROCESS);
    for answers in answers.iter().rev() {
        let found = range(&mut code, answers, &answers.ranges);
        let number = code.load(NUMBER, found);
        next = code.jump(Jump::Equal, answers.abi.audit(), number, next);
    }
    let first = code.load(MACHINE, next);
    code.finish(first)
}

/// Halves until one range is left. There is at least one.
fn range(code: &mut Assembler, answers: &Answers, ranges: &[(u32, Decision)]) -> Label {
    if let [(_, only)] = ranges {
        return decision(code, only, answers.abi.is_narrow());
    }
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let no = range(code, answers, below);
    let yes = range(code, answers, above);
    code.jump(Jump::GreaterOrEqual, above[0].0, yes, no)
}

fn decision(code: &mut Assembler, decision: &Decision, is_narrow: bool) -> Label {
    let mut next = code.answer(decision.otherwise);
    for test in decision.tests.iter().rev() {
        let mut holds = code.answer(test.verdict);
        for arg in test.comparisons.iter().rev() {
            holds = comparison::emit(code, arg, is_narrow, holds, next);
        }
        next = holds;
    }
    next
}
