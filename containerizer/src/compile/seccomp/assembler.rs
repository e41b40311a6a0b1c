//! Classic BPF, written from its end: what an instruction jumps to is then there already, and how far
//! away it is is known. Jumps only lead forward, so every program ends.

use std::collections::BTreeMap;

use init::Instruction;

/// An instruction that was emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// Comparisons of the accumulator with a constant, unsigned. Codes of linux/bpf_common.h.
#[derive(Debug, Clone, Copy)]
pub enum Jump {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const GOTO: u16 = 0x05;
const RETURN: u16 = 0x06;

/// How many instructions a comparison can skip.
const REACH: usize = u8::MAX as usize;

#[derive(Debug, Default)]
pub struct Assembler {
    /// Last instruction first.
    backwards: Vec<Instruction>,
    /// The nearest return of each value.
    returns: BTreeMap<u32, Label>,
}

impl Assembler {
    pub fn answer(&mut self, verdict: u32) -> Label {
        if let Some(known) = self.returns.get(&verdict) {
            return *known;
        }
        self.push_return(verdict)
    }

    /// The accumulator becomes the word at `offset` of `struct seccomp_data`.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        self.follow(next);
        self.push(LOAD, 0, 0, offset)
    }

    pub fn and(&mut self, mask: u32, next: Label) -> Label {
        self.follow(next);
        self.push(AND, 0, 0, mask)
    }

    pub fn jump(&mut self, jump: Jump, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        // One to spare: bringing `yes` near may push `no` one further away.
        let no = self.bring_near(no, 1);
        let yes = self.bring_near(yes, 0);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(jump as u16, jt, jf, k)
    }

    /// `first` must be where the program begins.
    pub fn finish(mut self, first: Label) -> Vec<Instruction> {
        self.follow(first);
        self.backwards.reverse();
        self.backwards
    }

    /// Makes sure that what is emitted next is followed by `next`.
    fn follow(&mut self, next: Label) {
        if self.distance(next) > 0 {
            self.repeat(next);
        }
    }

    fn bring_near(&mut self, label: Label, spare: usize) -> Label {
        if self.distance(label) + spare > REACH {
            self.repeat(label)
        } else {
            label
        }
    }

    /// An instruction here that does what the one at `label` does: a return is as short as a jump.
    fn repeat(&mut self, label: Label) -> Label {
        let there = self.backwards[label.0];
        if there.code == RETURN {
            return self.push_return(there.k);
        }
        let skip = self.distance(label) as u32;
        self.push(GOTO, 0, 0, skip)
    }

    /// Instructions between the one that is emitted next and `label`.
    fn distance(&self, label: Label) -> usize {
        self.backwards.len() - 1 - label.0
    }

    fn push_return(&mut self, verdict: u32) -> Label {
        let label = self.push(RETURN, 0, 0, verdict);
        self.returns.insert(verdict, label);
        label
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.backwards.push(Instruction { code, jt, jf, k });
        Label(self.backwards.len() - 1)
    }
}
