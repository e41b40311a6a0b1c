//! tars, entry by entry and without the checks that a library makes.

mod ambiguous;

use tar::{EntryType, Header};

use super::Verdict::{Refused, Safe, Unpacked};
use super::*;
use crate::archive::codec::Codec;
use crate::archive::codec::tests::encode;

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd];

pub fn header(name: &[u8], kind: EntryType, link: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o7777);
    header.set_mtime(1);
    header.set_size(size);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.name[..name.len()].copy_from_slice(name);
        gnu.linkname[..link.len()].copy_from_slice(link);
    }
    header.set_cksum();
    header
}

fn entry(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let header = header(name.as_bytes(), kind, link.as_bytes(), content.len() as u64);
    padded(header.as_bytes(), content)
}

fn padded(header: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = [header, content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub fn file(name: &str) -> Vec<u8> {
    entry(name, EntryType::Regular, "", b"dead")
}

fn directory(name: &str) -> Vec<u8> {
    entry(name, EntryType::Directory, "", b"")
}

fn symlink(name: &str, to: &str) -> Vec<u8> {
    entry(name, EntryType::Symlink, to, b"")
}

fn link(name: &str, to: &str) -> Vec<u8> {
    entry(name, EntryType::Link, to, b"")
}

/// An extended header of POSIX for the entry after it.
fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len();
        while length.to_string().len() + rest.len() != length {
            length = length.to_string().len() + rest.len();
        }
        body += &format!("{length}{rest}");
    }
    entry("PaxHeaders/x", EntryType::XHeader, "", body.as_bytes())
}

fn long(kind: EntryType, name: &[u8]) -> Vec<u8> {
    padded(
        header(b"././@LongLink", kind, b"", name.len() as u64).as_bytes(),
        name,
    )
}

/// A header that is not what its checksum, or anybody, expects.
fn broken(change: impl Fn(&mut [u8; 512]), with_checksum: bool) -> Vec<u8> {
    let mut header = header(b"x", EntryType::Regular, b"", 4);
    let mut bytes = *header.as_bytes();
    change(&mut bytes);
    if with_checksum {
        header.as_mut_bytes().copy_from_slice(&bytes);
        header.set_cksum();
        bytes = *header.as_bytes();
    }
    padded(&bytes, b"dead")
}

fn sparse(offset: u64, length: u64, size: u64) -> Vec<u8> {
    let octal = |number: u64| format!("{number:011o} ");
    let mut header = header(b"sparse", EntryType::GNUSparse, b"", 512);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.sparse[0]
            .offset
            .copy_from_slice(octal(offset).as_bytes());
        gnu.sparse[0]
            .numbytes
            .copy_from_slice(octal(length).as_bytes());
        gnu.realsize.copy_from_slice(octal(size).as_bytes());
    }
    header.set_cksum();
    padded(header.as_bytes(), &[b'x'; 512])
}

pub fn two_sizes() -> Vec<u8> {
    let hidden = entry("hidden", EntryType::Regular, "", b"dead");
    let outer = header(b"outer", EntryType::Regular, b"", 0);
    end(&[
        pax(&[("size", &hidden.len().to_string())]),
        padded(outer.as_bytes(), &hidden),
        file("last"),
    ])
}

fn end(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// Names that lead out, or to what is not an archive's business.
const BAD_NAMES: &[&str] = &[
    "../x",
    "../../x",
    "a/../../x",
    "./../x",
    "a/b/../../../x",
    "..",
    "../canary",
    "../directory/canary",
    "/x",
    "//x",
    "/tmp/x",
    "/etc/passwd",
    "a/..",
    "stdout",
    "stderr",
    "./stderr",
    ".//stdout",
    ".fetching/0",
    ".fetching",
    "./.fetching/x",
    "../sandbox/x",
];

/// Names that only look so.
const GOOD_NAMES: &[&str] = &[
    "..x",
    "...",
    "a/...",
    "..\\x",
    "C:\\x",
    "~/x",
    "$HOME",
    "-rf",
    "a b",
    "a//b",
    "./x",
    "a/./b",
    "\u{e9}",
    "stdout.txt",
    "a/stderr",
    ".fetching2",
    "x\t",
    "\u{202e}gpj",
];

const BAD_TARGETS: &[&str] = &[
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "../canary",
    "./..",
    "a/../..",
    "../sandbox/../x",
    "/proc/self/root",
    "/proc/self/cwd/../x",
    "",
];

fn bodies() -> Vec<(String, Vec<Vec<u8>>, Verdict)> {
    use EntryType::{Block, Char, Fifo, GNULongLink, GNULongName, Regular};
    let mut bodies = Vec::new();
    let mut add = |name: &str, entries: Vec<Vec<u8>>, verdict| {
        bodies.push((name.to_owned(), entries, verdict));
    };
    for name in BAD_NAMES {
        add(
            &format!("file {name}"),
            vec![file("first"), file(name)],
            Refused,
        );
        add(
            &format!("extended name {name}"),
            vec![pax(&[("path", name)]), file("y")],
            Refused,
        );
        let named = long(GNULongName, format!("{name}\0").as_bytes());
        add(
            &format!("long name {name}"),
            vec![named, file("y")],
            Refused,
        );
    }
    for name in ["../d/", "/d/", "a/../../d/"] {
        add(&format!("directory {name}"), vec![directory(name)], Refused);
    }
    for name in GOOD_NAMES {
        add(&format!("harmless {name}"), vec![file(name)], Unpacked);
    }
    for to in BAD_TARGETS {
        add(
            &format!("symlink to {to}"),
            vec![symlink("l", to), file("l/x")],
            Refused,
        );
        add(
            &format!("hard link to {to}"),
            vec![link("l", to), file("l")],
            Refused,
        );
        let extended = vec![pax(&[("linkpath", to)]), symlink("l", "y")];
        // An empty record means that there is none.
        let verdict = if to.is_empty() { Safe } else { Refused };
        add(&format!("extended link to {to}"), extended, verdict);
    }
    let target = long(GNULongLink, b"../../canary\0");
    add("long link", vec![target, symlink("a/l", "y")], Refused);
    add("link to itself", vec![symlink("l", "l")], Unpacked);
    add(
        "links in a circle",
        vec![symlink("a", "b"), symlink("b", "a")],
        Unpacked,
    );
    add(
        "through a link of its own",
        vec![directory("d/"), symlink("l", "d"), file("l/x")],
        Refused,
    );
    // CVE-2026-33056.
    add(
        "directory in place of a link",
        vec![
            directory("d/"),
            symlink("l", "d"),
            directory("l/"),
            file("l/x"),
        ],
        Refused,
    );
    add(
        "link, then a file of its name",
        vec![file("x"), symlink("l", "x"), file("l")],
        Unpacked,
    );
    add(
        "chain of links",
        vec![symlink("a/s", ".."), symlink("a/t", "s/../x")],
        Refused,
    );
    add(
        "chain of links to the top",
        vec![symlink("a/s", ".."), symlink("t", "a/s/..")],
        Refused,
    );
    add(
        "hard link to a link",
        vec![symlink("l", "x"), link("m", "l"), file("m")],
        Unpacked,
    );
    add("hard link to nothing", vec![link("l", "missing")], Refused);
    add(
        "hard link to itself",
        vec![file("l"), link("l", "l")],
        Refused,
    );
    add("hard link to a log", vec![link("l", "stderr")], Refused);
    add(
        "hard link, then a file of its name",
        vec![file("x"), link("l", "x"), file("l")],
        Unpacked,
    );
    add("file below a file", vec![file("x"), file("x/y")], Refused);
    add(
        "file in place of a directory",
        vec![file("d/x"), file("d")],
        Refused,
    );
    add(
        "directory in place of a file",
        vec![file("d"), directory("d/")],
        Refused,
    );
    for (kind, name) in [(Char, "char"), (Block, "block"), (Fifo, "fifo")] {
        add(name, vec![entry("d", kind, "", b"")], Refused);
    }
    for kind in *b"ADMNSVZ" {
        let kind = EntryType::new(kind);
        add(
            &format!("kind {kind:?}"),
            vec![entry("d", kind, "", b"")],
            Safe,
        );
    }
    add(
        "setuid",
        vec![
            file("run"),
            directory("d/"),
            entry("d/run", Regular, "", b"x"),
        ],
        Unpacked,
    );
    add("no name", vec![file("")], Refused);
    add("only a dot", vec![file(".")], Refused);
    add("itself", vec![directory("./"), file("./x")], Unpacked);
    add("nothing", vec![], Unpacked);
    let endless = "n".repeat(300);
    add(
        "name too long",
        vec![pax(&[("path", &endless)]), file("y")],
        Refused,
    );
    let flat = "n".repeat(4096);
    add(
        "one name of 4096 bytes",
        vec![pax(&[("path", &flat)]), file("y")],
        Refused,
    );
    let named = long(GNULongName, format!("{flat}\0").as_bytes());
    add("long name of 4096 bytes", vec![named, file("y")], Refused);
    let deep = "d/".repeat(2048) + "x";
    add(
        "name of 4096 bytes",
        vec![pax(&[("path", &deep)]), file("y")],
        Refused,
    );
    let deep = "d/".repeat(100) + "x";
    add(
        "a hundred directories",
        vec![pax(&[("path", &deep)]), file("y")],
        Unpacked,
    );
    add(
        "NUL in a name",
        vec![pax(&[("path", "a\0../x")]), file("y")],
        Refused,
    );
    add("line in a name", vec![file("a\nFetched 'x'")], Unpacked);
    add(
        "extended size too large",
        vec![pax(&[("size", "99999999999999")]), file("x")],
        Refused,
    );
    add(
        "extended size of no number",
        vec![pax(&[("size", "-1")]), file("x")],
        Safe,
    );
    add(
        "extended header of wrong length",
        vec![
            entry("p", EntryType::XHeader, "", b"99 path=x\n"),
            file("x"),
        ],
        Safe,
    );
    add(
        "extended header of no length",
        vec![
            entry("p", EntryType::XHeader, "", b"path=../x\n"),
            file("x"),
        ],
        Safe,
    );
    add("extended header alone", vec![pax(&[("path", "x")])], Safe);
    add(
        "extended header twice",
        vec![pax(&[("path", "a")]), pax(&[("path", "../x")]), file("x")],
        Refused,
    );
    add(
        "global header",
        vec![
            entry("g", EntryType::XGlobalHeader, "", b"11 path=../x\n"),
            file("y"),
        ],
        Safe,
    );
    add("long name alone", vec![long(GNULongName, b"x\0")], Safe);
    add(
        "long name twice",
        vec![
            long(GNULongName, b"x\0"),
            long(GNULongName, b"../x\0"),
            file("y"),
        ],
        Refused,
    );
    add(
        "long name of a bomb",
        vec![long(GNULongName, &[b'x'; 80 << 10]), file("y")],
        Refused,
    );
    add(
        "wrong checksum",
        vec![broken(|bytes| bytes[0] = b'y', false)],
        Refused,
    );
    add(
        "size of no number",
        vec![broken(|bytes| bytes[124..136].fill(b'z'), true)],
        Refused,
    );
    add(
        "negative size",
        vec![broken(|bytes| bytes[124..136].fill(0xff), true)],
        Refused,
    );
    add(
        "size of 2^62",
        vec![broken(
            |bytes| bytes[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]),
            true,
        )],
        Refused,
    );
    add(
        "mode of no number",
        vec![broken(|bytes| bytes[100..108].fill(b'z'), true)],
        Refused,
    );
    add("sparse", vec![sparse(4096, 512, 4608)], Unpacked);
    add(
        "sparse and too large",
        vec![sparse((1 << 32) - 512, 512, 1 << 32)],
        Refused,
    );
    add(
        "sparse beyond its end",
        vec![sparse(1 << 20, 512, 100)],
        Refused,
    );
    add(
        "sparse that overlaps itself",
        vec![sparse(0, 1 << 20, 1 << 20)],
        Refused,
    );
    add(
        "too many entries",
        (0..501).map(|n| file(&n.to_string())).collect(),
        Refused,
    );
    add(
        "too many bytes",
        vec![entry("x", Regular, "", &vec![0; 5 << 20])],
        Refused,
    );
    bodies.extend(ambiguous::bodies());
    bodies
}

/// As members of a gzip, most of them the same.
fn a_million_entries() -> Case {
    let thousand: Vec<u8> = (0..1000).flat_map(|n| file(&n.to_string())).collect();
    Case {
        name: "a million entries".to_owned(),
        kind: Kind::Archive(Format::Tar(Some(Codec::Gzip))),
        bytes: encode(Codec::Gzip, &thousand).repeat(1000),
        verdict: Refused,
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![a_million_entries()];
    for ((name, entries, verdict), codec) in bodies().into_iter().zip(CODECS.iter().cycle()) {
        let plain = end(&entries);
        let compressed = encode(*codec, &plain);
        for (codec, bytes) in [(None, plain), (Some(*codec), compressed)] {
            cases.push(Case {
                name: format!("tar {codec:?}: {name}"),
                kind: Kind::Archive(Format::Tar(codec)),
                bytes,
                verdict,
            });
        }
    }
    cases
}
