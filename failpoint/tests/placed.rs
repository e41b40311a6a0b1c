//! The table and the sources agree.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

const CRATES: &[&str] = &["isolators", "network", "cni", "containerizer", "agent"];

#[test]
fn every_point_is_placed_exactly_once() {
    let text: String = CRATES.iter().map(|name| sources_of(name)).collect();
    for point in failpoint::ALL {
        let place = format!("Point::{}", point.name());
        let places = text.match_indices(&place).filter(|(at, _)| {
            let next = text[at + place.len()..].chars().next();
            !next.is_some_and(|c| c.is_alphanumeric())
        });
        assert_eq!(places.count(), 1, "{place}");
    }
}

/// Without its tests.
fn sources_of(name: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let mut waiting = vec![top.join("src")];
    let mut text = String::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if !is_of_tests(&path) {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

fn is_of_tests(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|it| it.ends_with("tests"))
}
