//! Hostile programs that make system calls no shell makes: a list of calls becomes a static program,
//! whose output is what they returned.
//!
//! Each call's result is kept, and a later call may use it. At its end the program writes all results to
//! its stdout.

/// System calls, in order.
#[derive(Debug, Clone, Default)]
pub struct Program {
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Call {
    door: Door,
    number: u64,
    args: Vec<Arg>,
}

/// How the kernel is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Native,
    /// i386, by interrupt 0x80 of x86-64.
    Interrupt,
}

#[derive(Debug, Clone)]
pub enum Arg {
    Number(u64),
    /// A pointer to these.
    Bytes(Vec<u8>),
    /// What an earlier call returned, by its place.
    Result(usize),
}

#[derive(Debug, Clone, Copy)]
enum Placed {
    Number(u64),
    Address(usize),
    Result(usize),
}

/// Where the file lies in memory. All below 4 GiB, for i386.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// Whether this machine is one that programs can be made for.
pub const KNOWN: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

impl Program {
    /// Returns its place.
    pub fn call(&mut self, number: i64, args: Vec<Arg>) -> usize {
        self.call_by(Door::Native, number as u64, args)
    }

    pub fn call_by(&mut self, door: Door, number: u64, args: Vec<Arg>) -> usize {
        self.calls.push(Call { door, number, args });
        self.calls.len() - 1
    }

    /// What each call returned, from the program's output; `None` when it was cut short.
    pub fn results(&self, output: &[u8]) -> Option<Vec<i64>> {
        let words = output.chunks_exact(8).take(self.calls.len());
        let results: Vec<i64> = words
            .map(|word| word.try_into().map(i64::from_ne_bytes))
            .collect::<Result<_, _>>()
            .ok()?;
        (results.len() == self.calls.len()).then_some(results)
    }

    /// A static ELF program of this machine. elf(5).
    pub fn to_elf(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let calls: Vec<(Door, u64, Vec<Placed>)> = self
            .calls
            .iter()
            .map(|call| {
                let args = call.args.iter().map(|arg| place(arg, &mut data)).collect();
                (call.door, call.number, args)
            })
            .collect();
        // The code's length does not depend on the addresses in it.
        let length = code(&calls, 0, 0).len() as u64;
        let results = (BASE + HEADERS + length).next_multiple_of(16);
        let contents = results + 8 * calls.len() as u64;
        let mut file = headers(contents - BASE + data.len() as u64);
        file.extend(code(&calls, results, contents));
        file.resize((contents - BASE) as usize, 0);
        file.extend(data);
        file
    }
}

fn place(arg: &Arg, data: &mut Vec<u8>) -> Placed {
    match arg {
        Arg::Number(number) => Placed::Number(*number),
        Arg::Result(call) => Placed::Result(*call),
        Arg::Bytes(bytes) => {
            data.resize(data.len().next_multiple_of(16), 0);
            let at = data.len();
            data.extend(bytes);
            // Whoever reads a string past its end finds one.
            data.push(0);
            Placed::Address(at)
        }
    }
}

fn headers(size: u64) -> Vec<u8> {
    const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let (executable, version): (u16, u32) = (2, 1);
    file.extend(executable.to_le_bytes());
    file.extend(MACHINE.to_le_bytes());
    file.extend(version.to_le_bytes());
    // Entry, program headers, section headers.
    [BASE + HEADERS, 64, 0]
        .iter()
        .for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    [64_u16, 56, 1, 64, 0, 0]
        .iter()
        .for_each(|half| file.extend(half.to_le_bytes()));
    // One segment that is loaded as a whole, and may be read, written and executed.
    let (load, all): (u32, u32) = (1, 7);
    file.extend(load.to_le_bytes());
    file.extend(all.to_le_bytes());
    [0, BASE, BASE, size, size, 0x1000]
        .iter()
        .for_each(|word| file.extend(word.to_le_bytes()));
    file
}

fn code(calls: &[(Door, u64, Vec<Placed>)], results: u64, contents: u64) -> Vec<u8> {
    let mut code = Vec::new();
    let result = |call: usize| results + 8 * call as u64;
    for (at, (door, number, args)) in calls.iter().enumerate() {
        for (register, arg) in args.iter().enumerate() {
            match arg {
                Placed::Number(number) => machine::set(&mut code, *door, register, *number),
                Placed::Address(at) => {
                    machine::set(&mut code, *door, register, contents + *at as u64);
                }
                Placed::Result(call) => machine::load(&mut code, *door, register, result(*call)),
            }
        }
        machine::call(&mut code, *door, *number);
        machine::store(&mut code, result(at));
    }
    let told = 8 * calls.len() as u64;
    for (register, value) in [1, results, told].into_iter().enumerate() {
        machine::set(&mut code, Door::Native, register, value);
    }
    machine::call(&mut code, Door::Native, libc::SYS_write as u64);
    machine::set(&mut code, Door::Native, 0, 0);
    machine::call(&mut code, Door::Native, libc::SYS_exit_group as u64);
    code
}

#[cfg(not(target_arch = "aarch64"))]
mod machine {
    use super::Door;

    /// `mov register, number` of the argument registers: rdi, rsi, rdx, r10, r8, r9.
    const NATIVE: [[u8; 2]; 6] = [
        [0x48, 0xbf],
        [0x48, 0xbe],
        [0x48, 0xba],
        [0x49, 0xba],
        [0x49, 0xb8],
        [0x49, 0xb9],
    ];
    /// rbx, rcx, rdx, rsi, rdi, rbp.
    const I386: [[u8; 2]; 6] = [
        [0x48, 0xbb],
        [0x48, 0xb9],
        [0x48, 0xba],
        [0x48, 0xbe],
        [0x48, 0xbf],
        [0x48, 0xbd],
    ];
    /// `mov register, rax`.
    const FROM_RAX: [[u8; 3]; 6] = [
        [0x48, 0x89, 0xc7],
        [0x48, 0x89, 0xc6],
        [0x48, 0x89, 0xc2],
        [0x49, 0x89, 0xc2],
        [0x49, 0x89, 0xc0],
        [0x49, 0x89, 0xc1],
    ];

    pub fn set(code: &mut Vec<u8>, door: Door, register: usize, value: u64) {
        let table = match door {
            Door::Native => NATIVE,
            Door::Interrupt => I386,
        };
        code.extend(table[register]);
        code.extend(value.to_le_bytes());
    }

    pub fn load(code: &mut Vec<u8>, _native: Door, register: usize, address: u64) {
        code.extend([0x48, 0xa1]);
        code.extend(address.to_le_bytes());
        code.extend(FROM_RAX[register]);
    }

    pub fn call(code: &mut Vec<u8>, door: Door, number: u64) {
        code.extend([0x48, 0xb8]);
        code.extend(number.to_le_bytes());
        code.extend(match door {
            Door::Native => [0x0f, 0x05],
            Door::Interrupt => [0xcd, 0x80],
        });
        if door == Door::Interrupt {
            // movsxd rax, eax: the kernel answers with 32 bits.
            code.extend([0x48, 0x63, 0xc0]);
        }
    }

    pub fn store(code: &mut Vec<u8>, address: u64) {
        code.extend([0x48, 0xa3]);
        code.extend(address.to_le_bytes());
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::Door;

    const NUMBER: u32 = 8;
    const SCRATCH: u32 = 9;

    /// movz, then movk for each further 16 bits.
    fn constant(code: &mut Vec<u8>, register: u32, value: u64) {
        for part in 0..4_u32 {
            let base: u32 = if part == 0 { 0xd280_0000 } else { 0xf280_0000 };
            let bits = (value >> (16 * part)) as u32 & 0xffff;
            code.extend((base | part << 21 | bits << 5 | register).to_le_bytes());
        }
    }

    pub fn set(code: &mut Vec<u8>, _native: Door, register: usize, value: u64) {
        constant(code, register as u32, value);
    }

    pub fn load(code: &mut Vec<u8>, _native: Door, register: usize, address: u64) {
        constant(code, SCRATCH, address);
        code.extend((0xf940_0000_u32 | SCRATCH << 5 | register as u32).to_le_bytes());
    }

    pub fn call(code: &mut Vec<u8>, _native: Door, number: u64) {
        constant(code, NUMBER, number);
        code.extend(0xd400_0001_u32.to_le_bytes());
    }

    pub fn store(code: &mut Vec<u8>, address: u64) {
        constant(code, SCRATCH, address);
        code.extend((0xf900_0000_u32 | SCRATCH << 5).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_tells_what_its_calls_returned() {
        let mut program = Program::default();
        program.call(libc::SYS_getpid, vec![]);
        program.call(libc::SYS_close, vec![Arg::Number(77)]);
        let path = b"/proc/self/exe".to_vec();
        let here = Arg::Number(libc::AT_FDCWD as u64);
        let args = vec![here, Arg::Bytes(path), Arg::Number(0), Arg::Number(0)];
        let opened = program.call(libc::SYS_openat, args);
        program.call(libc::SYS_close, vec![Arg::Result(opened)]);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("program");
        std::fs::write(&path, program.to_elf()).expect("writes");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("opens up");
        let output = std::process::Command::new(&path).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        let results = program.results(&output.stdout).expect("results");
        assert!(results[0] > 0 && results[2] > 2, "{results:?}");
        assert_eq!((results[1], results[3]), (-i64::from(libc::EBADF), 0));
        assert_eq!(program.results(&output.stdout[1..]), None);
    }
}
