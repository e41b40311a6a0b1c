//! zips, byte by byte.

use super::Verdict::{Refused, Safe, Unpacked};
use super::*;

/// One entry, and what its headers say of it.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    extra: Vec<u8>,
    /// What the local header says, when that differs.
    local: Option<Box<Entry>>,
    content: Vec<u8>,
    /// What stands behind it.
    descriptor: Vec<u8>,
    method: u16,
    flags: u16,
    mode: u32,
    crc: u32,
    size: u32,
    /// Shares the local header of the first entry.
    overlaps: bool,
}

fn entry(name: &str, content: &[u8]) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        extra: Vec::new(),
        local: None,
        content: content.to_vec(),
        descriptor: Vec::new(),
        method: 0,
        flags: 0,
        mode: 0o100_644,
        crc: crc(content),
        size: content.len() as u32,
        overlaps: false,
    }
}

/// Whose local header is another.
fn differing(name: &str, change: impl Fn(&mut Entry)) -> Entry {
    let plain = entry(name, b"dead");
    let mut local = plain.clone();
    change(&mut local);
    Entry {
        local: Some(Box::new(local)),
        ..plain
    }
}

/// What is known once the content was written: with a signature or without, in four bytes or eight.
fn described(descriptor: &[u8], wide: bool, size: u64) -> Entry {
    let mut described = differing("x", |it| {
        (it.flags, it.crc, it.size) = (8, 0, 0);
        it.content.clear();
    });
    described.flags = 8;
    let mut bytes = [descriptor, &described.crc.to_le_bytes()].concat();
    for number in [4, size] {
        let length = if wide { 8 } else { 4 };
        bytes.extend(&number.to_le_bytes()[..length]);
    }
    described.descriptor = bytes;
    described
}

/// Another name, as Info-ZIP has it.
fn unicode(name: &[u8], path: &[u8]) -> Vec<u8> {
    let length = (path.len() + 5) as u16;
    let crc = crc(name).to_le_bytes();
    [&b"up"[..], &length.to_le_bytes(), &[1], &crc, path].concat()
}

/// What it is called, and what it does to a local header.
type Change = (&'static str, fn(&mut Entry));

/// In the list of entries and in front of what they hold.
fn disagreeing(add: &mut impl FnMut(&str, Vec<u8>, Verdict)) {
    let changes: [Change; 9] = [
        ("names that differ", |it| it.name = b"../x".to_vec()),
        ("methods that differ", |it| it.method = 8),
        ("encrypted by one header", |it| it.flags = 1),
        ("masked by one header", |it| it.flags = 1 << 13),
        ("checksums that differ", |it| it.crc ^= 1),
        ("sizes that differ", |it| it.size = 3),
        ("packed sizes that differ", |it| it.content = vec![0; 3]),
        ("no size", |it| it.size = 0),
        ("another size than behind", |it| {
            (it.flags, it.size) = (8, 3);
        }),
    ];
    for (name, change) in changes {
        let entries = [entry("first", b"1"), differing("x", change)];
        add(name, zip(&entries), Refused);
    }
    add(
        "names that differ the other way",
        zip(&[differing("../x", |it| it.name = b"y".to_vec())]),
        Refused,
    );
    add(
        "another hint of how it was packed",
        zip(&[differing("x", |it| it.flags = 2)]),
        Unpacked,
    );
    let mut utf8 = differing("\u{e9}", |it| it.flags = 0);
    utf8.flags = 1 << 11;
    add("a name of two encodings", zip(&[utf8]), Refused);
    let plain = |it: &mut Entry| it.flags = 0;
    let mut ascii = differing("x", plain);
    ascii.flags = 1 << 11;
    add("a plain name of two encodings", zip(&[ascii]), Unpacked);
    for (signature, wide) in [
        (&b"PK\x07\x08"[..], false),
        (b"PK\x07\x08", true),
        (b"", false),
        (b"", true),
    ] {
        let right = described(signature, wide, 4);
        add("sizes behind", zip(&[right, entry("y", b"1")]), Unpacked);
        let wrong = described(signature, wide, 5);
        add(
            "wrong sizes behind",
            zip(&[wrong, entry("y", b"1")]),
            Refused,
        );
    }
    let mut missing = described(b"", false, 4);
    missing.descriptor.clear();
    add("no sizes at all", zip(&[missing]), Refused);
    let long = |size: u64| {
        let mut it = entry("x", b"dead");
        let mut local = it.clone();
        local.size = u32::MAX;
        local.extra = [
            &[1, 0, 16, 0][..],
            &size.to_le_bytes(),
            &4_u64.to_le_bytes(),
        ]
        .concat();
        it.local = Some(Box::new(local));
        it
    };
    add("zip64 in one header", zip(&[long(4)]), Unpacked);
    add("another zip64 in one header", zip(&[long(5)]), Refused);
    let named = |path: &[u8]| with("x", |it| it.extra = unicode(b"x", path));
    add("a second name", zip(&[named(b"y")]), Refused);
    add("the same name twice", zip(&[named(b"x")]), Unpacked);
}

fn crc(content: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    crc.sum()
}

fn with(name: &str, change: impl Fn(&mut Entry)) -> Entry {
    let mut entry = entry(name, b"dead");
    change(&mut entry);
    entry
}

fn symlink(name: &str, to: &str) -> Entry {
    let mut entry = entry(name, to.as_bytes());
    entry.mode = 0o120_777;
    entry
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = if entry.overlaps {
            0
        } else {
            bytes.len() as u32
        };
        let fields = |entry: &Entry| {
            let mut fields = [20_u16, entry.flags, entry.method, 0, 0]
                .map(u16::to_le_bytes)
                .concat();
            for number in [entry.crc, entry.content.len() as u32, entry.size] {
                fields.extend(number.to_le_bytes());
            }
            for length in [entry.name.len(), entry.extra.len()] {
                fields.extend((length as u16).to_le_bytes());
            }
            fields
        };
        if !entry.overlaps {
            let local = entry.local.as_deref().unwrap_or(entry);
            bytes.extend(
                [
                    &b"PK\x03\x04"[..],
                    &fields(local),
                    &local.name,
                    &local.extra,
                ]
                .concat(),
            );
            bytes.extend([&entry.content[..], &entry.descriptor].concat());
        }
        // Made on Unix.
        directory.extend([&b"PK\x01\x02\x14\x03"[..], &fields(entry), &[0; 6]].concat());
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend([&entry.name[..], &entry.extra].concat());
    }
    let (start, size) = (bytes.len() as u32, directory.len() as u32);
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend(directory);
    bytes.extend([&b"PK\x05\x06"[..], &[0; 4], &count, &count].concat());
    bytes.extend([size.to_le_bytes(), start.to_le_bytes()].concat());
    bytes.extend([0, 0]);
    bytes
}

fn deflated(name: &str, content: &[u8], size: u32) -> Entry {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut out, content).unwrap();
    let mut entry = entry(name, &out.finish().unwrap());
    (entry.method, entry.crc, entry.size) = (8, crc(content), size);
    entry
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, verdict| {
        cases.push(Case {
            name: format!("zip: {name}"),
            kind: Kind::Archive(Format::Zip),
            bytes,
            verdict,
        });
    };
    for name in [
        "../x",
        "a/../../x",
        "/x",
        "..",
        "//x",
        "stderr",
        "./stdout",
        ".fetching/0",
        "../canary",
        "a/..",
    ] {
        add(
            &format!("file {name}"),
            zip(&[entry("first", b"1"), entry(name, b"dead")]),
            Refused,
        );
    }
    // Readers count the entries, or the bytes of their list.
    let mut fewer = zip(&[entry("a", b"1"), entry("b", b"2")]);
    let counts = fewer.len() - 14..fewer.len() - 10;
    fewer[counts].copy_from_slice(&[1, 0, 1, 0]);
    add("fewer entries than there are", fewer, Refused);
    for name in ["..x", "a/b", "./x", "a//b", "~/x", "a/stderr", "\u{e9}"] {
        add(
            &format!("harmless {name}"),
            zip(&[entry(name, b"x")]),
            Unpacked,
        );
    }
    for to in ["/", "/etc/passwd", "..", "../canary", "a/../..", ""] {
        let link = [symlink("l", to), entry("l/x", b"dead")];
        add(&format!("symlink to {to}"), zip(&link), Refused);
    }
    for name in ["n".repeat(4096), "d/".repeat(2048) + "x"] {
        let entries = [entry(&name, b"dead")];
        add("name of 4096 bytes", zip(&entries), Refused);
    }
    let endless = "a/".repeat(3000);
    add(
        "symlink of 6000 bytes",
        zip(&[symlink("l", &endless)]),
        Refused,
    );
    add(
        "through a link of its own",
        zip(&[entry("d/x", b"1"), symlink("l", "d"), entry("l/x", b"dead")]),
        Refused,
    );
    add(
        "link, then a file of its name",
        zip(&[entry("x", b"1"), symlink("l", "x"), entry("l", b"2")]),
        Unpacked,
    );
    for (mode, name) in [
        (0o020_666, "char"),
        (0o060_666, "block"),
        (0o010_666, "fifo"),
        (0o140_666, "socket"),
    ] {
        add(name, zip(&[with("d", |it| it.mode = mode)]), Refused);
    }
    add(
        "setuid",
        zip(&[with("run", |it| it.mode = 0o107_777)]),
        Unpacked,
    );
    add(
        "wrong checksum",
        zip(&[with("x", |it| it.crc ^= 1)]),
        Refused,
    );
    add("encrypted", zip(&[with("x", |it| it.flags = 1)]), Refused);
    add(
        "of an unknown method",
        zip(&[with("x", |it| it.method = 77)]),
        Refused,
    );
    disagreeing(&mut add);
    add("NUL in a name", zip(&[entry("a\0../x", b"dead")]), Refused);
    add("line in a name", zip(&[entry("a\nb", b"x")]), Unpacked);
    add("no name", zip(&[entry("", b"x")]), Safe);
    add(
        "a directory with content",
        zip(&[entry("d/", b"dead")]),
        Safe,
    );
    add(
        "file below a file",
        zip(&[entry("x", b"1"), entry("x/y", b"2")]),
        Refused,
    );
    add(
        "the same twice",
        zip(&[entry("x", b"1"), entry("x", b"2")]),
        Safe,
    );
    add(
        "name that is no UTF-8",
        zip(&[with("x", |it| it.name = vec![0xff, 0xfe])]),
        Safe,
    );
    add(
        "bomb",
        zip(&[deflated("x", &vec![0; 8 << 20], 8 << 20)]),
        Refused,
    );
    add(
        "bomb that says it is small",
        zip(&[deflated("x", &vec![0; 8 << 20], 10)]),
        Refused,
    );
    let first = deflated("0", &vec![0; 1 << 20], 1 << 20);
    let overlapping = (0..20).map(|n| Entry {
        name: n.to_string().into_bytes(),
        overlaps: n > 0,
        ..first.clone()
    });
    add(
        "entries that overlap",
        zip(&overlapping.collect::<Vec<_>>()),
        Refused,
    );
    let first = deflated("0", b"little", 6);
    let second = Entry {
        name: b"1".to_vec(),
        overlaps: true,
        ..first.clone()
    };
    add(
        "two small entries that overlap",
        zip(&[first, second]),
        Refused,
    );
    let many: Vec<Entry> = (0..501).map(|n| entry(&n.to_string(), b"")).collect();
    add("too many entries", zip(&many), Refused);
    add(
        "behind something else",
        [b"#!/bin/sh\nexit\n".to_vec(), zip(&[entry("x", b"1")])].concat(),
        Safe,
    );
    add("nothing", zip(&[]), Unpacked);
    add("no zip", b"<html>".to_vec(), Refused);
    cases
}
