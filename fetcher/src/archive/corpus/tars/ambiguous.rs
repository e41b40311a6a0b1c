//! What readers of tar do not agree about, each.

use tar::EntryType::{Directory, GNULongName, Symlink, XGlobalHeader};

use super::*;

pub fn bodies() -> Vec<(String, Vec<Vec<u8>>, Verdict)> {
    let comment = vec![entry("g", XGlobalHeader, "", b"13 comment=x\n"), file("y")];
    let mut bodies = vec![("comment on all".to_owned(), comment, Unpacked)];
    let (long_name, both) = (long(GNULongName, b"a\0"), pax(&[("path", "b")]));
    for (name, entries) in [
        (
            "name twice",
            vec![pax(&[("path", "a"), ("path", "b")]), file("y")],
        ),
        ("long and extended name", vec![long_name, both, file("y")]),
        ("file that ends as a directory", vec![file("d/")]),
        (
            "directory with content",
            vec![entry("d/", Directory, "", b"dead")],
        ),
        ("link with content", vec![entry("l", Symlink, "x", b"dead")]),
        ("size of no number", vec![pax(&[("size", "x")]), file("x")]),
        (
            "size of all",
            vec![entry("g", XGlobalHeader, "", b"9 size=0\n"), file("y")],
        ),
    ] {
        bodies.push((name.to_owned(), entries, Refused));
    }
    bodies
}
