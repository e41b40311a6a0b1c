//! Classic BPF as the kernel runs it for seccomp.

use init::Instruction;

/// `struct seccomp_data` but for the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub number: u32,
    pub audit: u32,
    pub args: [u64; 6],
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
pub fn run(program: &[Instruction], call: &Call) -> u32 {
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
