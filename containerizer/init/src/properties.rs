//! What holds of every text and message that is read here, whatever its bytes. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../../fuzz/hold.rs"]
mod hold;

use std::collections::BTreeSet;

use crate::mount_attributes::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME,
};
use crate::unsaid::{alone, from_flags, unlocked};
use crate::{Attributes, ExitRecord, Program, Word, exit_record, interpreter, passwd};

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[
    ("attributes", attributes),
    ("exit_record", an_exit_record),
    ("interpreter", an_interpreter),
    ("passwd", a_home),
    ("program", a_program),
    ("word", a_word),
];

/// Eight bytes are the flags of a file system, each further one an option, of which the last counts: a bind
/// has what was said and, in a user namespace, what is locked.
fn attributes(bytes: &[u8]) {
    const SWITCHES: [u64; 6] = [RDONLY, NOSUID, NODEV, NOEXEC, NOSYMFOLLOW, NODIRATIME];
    const TIMES: [u64; 3] = [RELATIME, NOATIME, STRICTATIME];
    const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC;
    let Some((flags, options)) = bytes.split_first_chunk() else {
        return;
    };
    let source = from_flags(u64::from_le_bytes(*flags));
    let switches = SWITCHES.iter().fold(0, |all, bit| all | bit);
    assert_eq!(source & !(switches | ATIME), 0);
    assert!(TIMES.contains(&(source & ATIME)));
    let (mut on, mut off, mut time) = (0, 0, None);
    for option in options {
        match SWITCHES.get(usize::from(option >> 1)) {
            Some(bit) if option & 1 == 1 => (on, off) = (on | bit, off & !bit),
            Some(bit) => (on, off) = (on & !bit, off | bit),
            None => time = TIMES.get(usize::from(*option) % TIMES.len()),
        }
    }
    let said = Attributes {
        set: on | time.unwrap_or(&0),
        clear: off | if time.is_some() { ATIME } else { 0 },
    };
    let becomes = |change: &Attributes| {
        // Or the kernel refuses it: mount_setattr(2).
        assert!(change.set & ATIME == 0 || change.clear & ATIME == ATIME);
        assert_eq!(change.set & change.clear & !ATIME, 0);
        (source & !change.clear) | change.set
    };
    let speaks_of_times = (on | off) & NODIRATIME != 0 || time.is_some();
    let times = match speaks_of_times {
        true => time.unwrap_or(&RELATIME) | on & NODIRATIME,
        false => source & (ATIME | NODIRATIME),
    };
    let wanted = on & !NODIRATIME | times;
    assert_eq!(becomes(&alone(&said)), wanted, "{said:?} on {source:#x}");
    let locked = source & LOCKABLE;
    let allowed = off & locked == 0 && times == source & (ATIME | NODIRATIME);
    match unlocked(&said, source) {
        Ok(change) => {
            assert!(allowed, "{said:?} on {source:#x}");
            assert_eq!(becomes(&change), wanted | locked);
        }
        Err(_) => assert!(!allowed, "{said:?} on {source:#x}"),
    }
}

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
