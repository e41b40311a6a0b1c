//! What holds of every text and message that is read here, whatever its bytes. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../../fuzz/hold.rs"]
mod hold;

use std::collections::BTreeSet;

use crate::{ExitRecord, Program, Word, exit_record, interpreter, passwd};

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[
    ("exit_record", an_exit_record),
    ("interpreter", an_interpreter),
    ("passwd", a_home),
    ("program", a_program),
    ("word", a_word),
];

/// There is one way to write each program, and no other bytes are one.
fn a_program(bytes: &[u8]) {
    if let Ok(program) = Program::decode(bytes) {
        assert_eq!(program.encode(), bytes);
        assert!(Program::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

fn a_word(bytes: &[u8]) {
    if let Ok(word) = Word::decode(bytes) {
        assert_eq!(word.encode(), bytes);
        assert!(Word::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

/// What was understood of a record is understood again when that alone is written.
fn an_exit_record(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(record) = ExitRecord::parse(&text) {
        let again = exit_record(record.status, record.sender);
        assert_eq!(ExitRecord::parse(&again), Some(record));
    }
}

/// It stands in the file, and that of a script in its first line.
fn an_interpreter(head: &[u8]) {
    let Some(name) = interpreter(head) else {
        return;
    };
    let name = name.as_bytes();
    let stands_in =
        |bytes: &[u8]| name.is_empty() || bytes.windows(name.len()).any(|window| window == name);
    match head.strip_prefix(b"#!") {
        Some(script) => {
            let line = script.split(|byte| *byte == b'\n').next();
            assert!(line.is_some_and(stands_in));
            assert!(!name.is_empty() && !name.contains(&b' ') && !name.contains(&b'\t'));
        }
        None => assert!(head.starts_with(b"\x7fELF") && stands_in(head)),
    }
}

/// A home is what some line of that user says, and safe as the value of a variable.
fn a_home(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let fields: Vec<Vec<&str>> = text.lines().map(|line| line.split(':').collect()).collect();
    let named = fields
        .iter()
        .filter_map(|fields| fields.get(2)?.parse().ok());
    let uids: BTreeSet<u32> = named.chain([0, u32::MAX]).collect();
    for uid in uids {
        let Some(home) = passwd::home(&text, uid) else {
            continue;
        };
        assert!(home.starts_with('/') && !home.contains(['\0', ':', '\n']));
        assert!(fields.iter().any(|fields| {
            let its_uid = fields.get(2).and_then(|uid| uid.parse().ok());
            (its_uid, fields.get(5)) == (Some(uid), Some(&home.as_str()))
        }));
    }
}

#[test]
fn what_holds_of_every_text_holds_of_seeds_and_what_is_near_them() {
    hold::all("init", ALL);
}

/// Or nothing would be held of any.
#[test]
fn seeds_are_programs_and_words() {
    let program = include_bytes!("../../../fuzz/seeds/init/program/small");
    assert!(Program::decode(program).is_ok());
    let word = include_bytes!("../../../fuzz/seeds/init/word/failed");
    assert!(Word::decode(word).is_ok());
}
