//! What a file names to run it: the first line of a script, the loader of a dynamic program.
//!
//! execve(2) answers `ENOENT` both for a program that is not there and for one whose interpreter is
//! not; telling them apart is left to whoever reads the file.

/// How much of a file is looked at: the kernel reads less of a script, and linkers put an ELF file's
/// headers and the loader's name at its beginning.
pub const HEAD: usize = 4096;

/// The interpreter that a file of this beginning names; `None` for one that needs none, or whose
/// beginning does not say.
pub fn interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        return of_script(line);
    }
    of_elf(head)
}

/// See execve(2), "Interpreter scripts": blanks, the path, and perhaps one argument.
fn of_script(line: &[u8]) -> Option<String> {
    let end = line.iter().position(|byte| *byte == b'\n');
    let line = line.get(..end?)?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let path = line.split(is_blank).find(|word| !word.is_empty())?;
    text(path)
}

/// The PT_INTERP segment of a 64-bit little-endian file. See elf(5).
fn of_elf(head: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = head.get(at..at.checked_add(bytes)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(field.iter().rev().fold(0, fold))
    };
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let header = usize::try_from(table.checked_add(index * size)?).ok()?;
        if number(header, 4)? == PT_INTERP {
            let start = usize::try_from(number(header.checked_add(8)?, 8)?).ok()?;
            let length = usize::try_from(number(header.checked_add(32)?, 8)?).ok()?;
            let name = head.get(start..start.checked_add(length)?)?;
            return text(name.strip_suffix(b"\0").unwrap_or(name));
        }
    }
    None
}

fn text(path: &[u8]) -> Option<String> {
    String::from_utf8(path.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_interpreter_in_the_first_line() {
        let table: [(&[u8], Option<&str>); 7] = [
            (b"#!/bin/sh\necho", Some("/bin/sh")),
            (b"#! \t/usr/bin/env python9 -u\n", Some("/usr/bin/env")),
            (b"#!/bin/sh\r\n", Some("/bin/sh\r")),
            (b"#!\n/bin/sh\n", None),
            (b"#!/bin/sh", None),
            (b"echo\n", None),
            (b"", None),
        ];
        for (head, wanted) in table {
            assert_eq!(interpreter(head).as_deref(), wanted, "{head:?}");
        }
    }

    fn program() -> Vec<u8> {
        let mut file = vec![0_u8; 256];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64; // where the program headers are
        file[54] = 56; // how long each is
        file[56] = 2; // how many there are
        file[64] = 1; // the first is to be loaded
        file[120] = 3; // the second names the interpreter,
        file[128] = 200; // which stands there
        file[152] = 11; // and is so long
        file[200..211].copy_from_slice(b"/lib/ld.so\0");
        file
    }

    #[test]
    fn a_dynamic_program_names_its_loader() {
        assert_eq!(interpreter(&program()).as_deref(), Some("/lib/ld.so"));
        let mut fixed = program();
        fixed[120] = 1;
        assert_eq!(interpreter(&fixed), None);
    }

    #[test]
    fn no_file_makes_it_fail() {
        let whole = program();
        for end in 0..200 {
            assert_eq!(interpreter(&whole[..end]), None, "{end} bytes");
        }
        for at in (32..64).chain(120..160) {
            let mut wild = whole.clone();
            wild[at] = 0xff;
            // Whatever comes out, it is no more than what the file holds.
            assert!(interpreter(&wild).is_none_or(|name| name.len() <= whole.len()));
        }
    }

    #[test]
    fn this_programs_loader_is_there() {
        let program = std::fs::read("/proc/self/exe").expect("reads");
        if let Some(loader) = interpreter(&program[..HEAD]) {
            assert!(std::path::Path::new(&loader).exists(), "{loader}");
        }
    }
}
