//! What the kernel's log says of a process that the kernel itself ended.
//!
//! Two kinds of line tell of one, both with its host pid:
//!
//! ```text
//! audit: type=1326 audit(1795649994.314:61): auid=… pid=13109 comm="python3" … sig=31 arch=c000003e syscall=102 …
//! python3[13110]: segfault at 1234 ip 00007fb86d985ad8 sp 00007ffedf21bcb8 error 4 in libc.so.6[167ad8,…]
//! traps: a.out[123] trap divide error ip:401136 sp:7ffc3a40 error:0 in a.out[401000+1000]
//! ```
//!
//! The kernel limits how many of either it writes, and an audit daemon takes the first away.

use std::time::Duration;

use isolators::{KernelLog, Line};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelWord {
    /// A seccomp filter killed it for this system call.
    SystemCall(String),
    Fault(Fault),
    /// The log can be read and has no line about it.
    Silent,
    /// The log cannot be read, as a sentence.
    Unreadable(String),
}

/// An access or instruction that the processor refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In the kernel's words, such as `segfault at 1234` or `trap divide error`.
    pub what: String,
    /// Of an access to memory: what was tried.
    pub access: Option<Access>,
    /// The mapped file whose code did it.
    pub object: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// What the last line about the process `pid` says; lines from before `since` are about an earlier one
/// of the same number.
pub fn word(log: &KernelLog, pid: u32, since: Duration) -> Option<KernelWord> {
    let lines = log.lines().iter().rev();
    lines
        .take_while(|line| line.at >= since)
        .find_map(|line| said(line, pid))
}

fn said(line: &Line, pid: u32) -> Option<KernelWord> {
    let (about, word) = match system_call(&line.text) {
        Some((about, call)) => (about, KernelWord::SystemCall(call)),
        None => {
            let (about, fault) = fault(&line.text)?;
            (about, KernelWord::Fault(fault))
        }
    };
    (about == pid).then_some(word)
}

/// Names in such a line are quoted, or in hexadecimal, and have no spaces.
fn system_call(text: &str) -> Option<(u32, String)> {
    const SECCOMP: &str = "audit: type=1326 audit(";
    let mut words = text.strip_prefix(SECCOMP)?.split(' ').skip(1);
    let mut value = |key: &str| words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let pid = value("pid")?.parse().ok()?;
    // 0 of what was only logged.
    let signal: u32 = value("sig")?.parse().ok()?;
    let arch = u32::from_str_radix(value("arch")?, 16).ok()?;
    let number = value("syscall")?.parse().ok()?;
    (signal != 0).then(|| (pid, name(arch, number)))
}

fn name(arch: u32, number: usize) -> String {
    // linux/audit.h
    const X86_64: u32 = 0xc000_003e;
    const X86: u32 = 0x4000_0003;
    const AARCH64: u32 = 0xc000_00b7;
    const ARM: u32 = 0x4000_0028;
    /// A call of the x32 ABI, which has the numbers of x86_64 but for a few.
    const X32: usize = 0x4000_0000;
    let name = match arch {
        X86_64 => syscalls::x86_64::Sysno::new(number & !X32).map(|call| call.name()),
        X86 => syscalls::x86::Sysno::new(number).map(|call| call.name()),
        AARCH64 => syscalls::aarch64::Sysno::new(number).map(|call| call.name()),
        ARM => syscalls::arm::Sysno::new(number).map(|call| call.name()),
        _ => None,
    };
    match name {
        Some(name) if arch == X86_64 && number & X32 != 0 => format!("{name} of x32"),
        Some(name) => name.to_owned(),
        None => format!("number {number} (architecture {arch:x})"),
    }
}

/// A process' name has at most 15 bytes, so it cannot hold what is looked for; a file's can, but comes
/// after it.
fn fault(text: &str) -> Option<(u32, Fault)> {
    const AT: &str = "segfault at ";
    let split = text.split_once(&format!("]: {AT}"));
    if let Some((process, rest)) = split {
        let (address, rest) = rest.split_once(" ip ")?;
        u64::from_str_radix(address, 16).ok()?;
        let (_, rest) = rest.split_once(" error ")?;
        let (error, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let fault = Fault {
            what: format!("{AT}0x{address}"),
            access: Some(access(u64::from_str_radix(error, 16).ok()?)),
            object: object(rest),
        };
        return Some((pid(process)?, fault));
    }
    let (head, rest) = text.strip_prefix("traps: ")?.split_once(" error:")?;
    let (head, _) = head.rsplit_once(" sp:")?;
    let (head, _) = head.rsplit_once(" ip:")?;
    let (process, what) = head.rsplit_once("] ")?;
    let fault = Fault {
        what: what.to_owned(),
        access: None,
        object: rest.split_once(' ').and_then(|(_, rest)| object(rest)),
    };
    Some((pid(process)?, fault))
}

/// `NAME[PID`.
fn pid(process: &str) -> Option<u32> {
    process.rsplit_once('[')?.1.parse().ok()
}

/// The error code of a page fault on x86: arch/x86/include/asm/trap_pf.h.
fn access(error: u64) -> Access {
    const WRITE: u64 = 1 << 1;
    const INSTRUCTION: u64 = 1 << 4;
    if error & INSTRUCTION != 0 {
        Access::Execute
    } else if error & WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

/// `in NAME[WHERE+SIZE] …`, at the end of the line.
fn object(rest: &str) -> Option<String> {
    let (name, _) = rest.strip_prefix("in ")?.rsplit_once('[')?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECCOMP: &str = "audit: type=1326 audit(1795649994.314:61): auid=4294967295 uid=0 gid=0 \
        ses=4294967295 subj=unconfined pid=13109 comm=\"python3\" exe=\"/usr/bin/python3.11\" sig=31 \
        arch=c000003e syscall=101 compat=0 ip=0x7fb86d8f3507 code=0x80000000";
    const SEGFAULT: &str = "python3[13110]: segfault at 1234 ip 00007fb86d985ad8 sp \
        00007ffedf21bcb8 error 6 in libc.so.6[167ad8,7fb86d844000+156000] likely on CPU 0 (core 0, \
        socket 0)";
    const TRAP: &str = "traps: a.out[123] trap divide error ip:401136 sp:7ffc3a40 error:0 in \
        a.out[401000+1000]";

    fn log(lines: &[&str]) -> KernelLog {
        let records = lines.iter().zip(1..);
        let records = records.map(|(line, n)| format!("5,{n},{n}000000,-;{line}\n"));
        KernelLog::parse(&records.collect::<String>())
    }

    fn told(line: &str, pid: u32) -> Option<KernelWord> {
        word(&log(&[line]), pid, Duration::ZERO)
    }

    fn call(line: &str) -> String {
        match told(line, 13109) {
            Some(KernelWord::SystemCall(name)) => name,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_seccomp_kill_names_its_system_call() {
        assert_eq!(call(SECCOMP), "ptrace");
        let table = [
            ("arch=40000003 syscall=26", "ptrace"),
            ("arch=c00000b7 syscall=117", "ptrace"),
            ("arch=c000003e syscall=1073741925", "ptrace of x32"),
            (
                "arch=c000003e syscall=9999",
                "number 9999 (architecture c000003e)",
            ),
            (
                "arch=8000000f syscall=1",
                "number 1 (architecture 8000000f)",
            ),
        ];
        for (number, name) in table {
            assert_eq!(
                call(&SECCOMP.replace("arch=c000003e syscall=101", number)),
                name
            );
        }
        assert_eq!(told(&SECCOMP.replace("sig=31", "sig=0"), 13109), None);
    }

    #[test]
    fn a_fault_tells_address_access_and_whose_code_it_was() {
        let fault = |what: &str, access, object: Option<&str>| {
            Some(KernelWord::Fault(Fault {
                what: what.to_owned(),
                access,
                object: object.map(str::to_owned),
            }))
        };
        let wrote = fault("segfault at 0x1234", Some(Access::Write), Some("libc.so.6"));
        assert_eq!(told(SEGFAULT, 13110), wrote);
        let nowhere = "x[1]: segfault at 0 ip 0000000000000000 sp 00007ffe error 14";
        let jumped = fault("segfault at 0x0", Some(Access::Execute), None);
        assert_eq!(told(nowhere, 1), jumped);
        assert_eq!(
            told(TRAP, 123),
            fault("trap divide error", None, Some("a.out"))
        );
        let protection = TRAP.replace("trap divide error", "general protection fault");
        let protection = told(&protection, 123);
        assert_eq!(
            protection,
            fault("general protection fault", None, Some("a.out"))
        );
    }

    #[test]
    fn only_what_is_said_of_this_process_counts_and_the_last_of_it() {
        let stale = SECCOMP.replace("syscall=101", "syscall=39");
        let lines = log(&[&stale, SEGFAULT, SECCOMP, TRAP]);
        let ptrace = Some(KernelWord::SystemCall("ptrace".to_owned()));
        assert_eq!(word(&lines, 13109, Duration::from_secs(1)), ptrace);
        assert_eq!(word(&lines, 13109, Duration::from_secs(4)), None);
        assert_eq!(word(&lines, 1310, Duration::ZERO), None);
    }

    #[test]
    fn names_cannot_pose_as_another_process() {
        let name = SEGFAULT.replace("python3", "[7]: segfault a");
        assert_eq!(told(&name, 7), None);
        let name = SEGFAULT.replace("python3", "]: segfault at ");
        assert_eq!(told(&name, 13110), None);
        let file = SEGFAULT.replace("libc.so.6", "x[7]: segfault at 0 ip 0 sp 0 error 4 in y");
        assert_eq!(told(&file, 7), None);
        let name = TRAP.replace("a.out[123]", "[7]  ip:0 sp:0[123]");
        assert_eq!(told(&name, 7), None);
        let exe = SECCOMP.replace("/usr/bin/python3.11", "/x\" pid=7 sig=31");
        assert_eq!(told(&exe, 7), None);
    }

    fn shuffled() -> impl Strategy<Value = String> {
        let words: Vec<String> = [SECCOMP, SEGFAULT, TRAP]
            .iter()
            .flat_map(|line| line.split_inclusive([' ', '=', '[', ':']))
            .map(str::to_owned)
            .collect();
        let word = prop_oneof![4 => proptest::sample::select(words), 1 => "[^\n]{0,8}"];
        proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
    }

    /// What a process or a file may be called; a process' name has at most 15 bytes.
    fn name(longest: usize) -> impl Strategy<Value = String> {
        let tricky = [
            "[7]",
            ": segfault at ",
            "]: segfault at ",
            " ip:0",
            " sp:0",
            " ip 0 sp 0",
            " error 4",
            " error:0",
            " in ",
            "] trap ",
            "traps: ",
            "pid=7",
            "audit: type=1326 ",
        ];
        let part = prop_oneof![
            4 => proptest::sample::select(tricky.to_vec()).prop_map(str::to_owned),
            1 => "[ -~]{1,4}",
        ];
        let name = proptest::collection::vec(part, 1..5).prop_map(|parts| parts.concat());
        name.prop_map(move |name| name.chars().take(longest).collect())
    }

    proptest! {
        #[test]
        fn no_name_speaks_for_another_process(process in name(15), file in name(255)) {
            let segfault = SEGFAULT.replace("libc.so.6", &file).replace("python3", &process);
            prop_assert_eq!(told(&segfault, 7), None);
            let trap = TRAP.replace(" a.out[4", &format!(" {file}[4")).replace("a.out[1", &format!("{process}[1"));
            prop_assert_eq!(told(&trap, 7), None);
        }

        #[test]
        fn no_text_makes_it_fail(
            begin in proptest::sample::select(vec!["", "traps: ", "audit: type=1326 audit("]),
            text in shuffled(),
        ) {
            let text = format!("{begin}{text}");
            for pid in [1, 123, 13109, 13110] {
                if let Some(KernelWord::Fault(fault)) = told(&text, pid) {
                    prop_assert!(text.contains(fault.what.trim_start_matches("segfault at 0x")));
                }
            }
        }
    }
}
