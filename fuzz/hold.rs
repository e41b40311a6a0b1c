//! A part of the tests of each crate that has properties: they hold of the seeds, of what is near them,
//! and of noise. Far less than a fuzzer tries, but in every run of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Of each property; Miri takes a thousand times as long.
const MANGLED: u64 = if cfg!(miri) { 10 } else { 400 };

pub fn all(package: &str, properties: &[super::Property]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = folder
        .ancestors()
        .find(|path| path.join("fuzz/seeds").exists());
    let seeds = root
        .expect("a folder with seeds")
        .join("fuzz/seeds")
        .join(package);
    let folders: BTreeSet<String> = list(&seeds).iter().map(name).collect();
    let named: BTreeSet<String> = properties
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        folders, named,
        "each property has a folder of seeds, and each folder a property"
    );
    for (property, holds) in properties {
        let files = list(&seeds.join(property));
        let seeds: Vec<Vec<u8>> = files
            .iter()
            .map(|file| fs::read(file).expect("reads"))
            .collect();
        let mut chance = Chance(1);
        let mangled = (0..MANGLED).map(|_| chance.mangle(&seeds));
        for input in seeds.iter().cloned().chain(mangled) {
            if catch_unwind(AssertUnwindSafe(|| holds(&input))).is_err() {
                let shown = String::from_utf8_lossy(&input);
                panic!("{package}/{property} does not hold of {input:?}: {shown}");
            }
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

fn name(path: impl AsRef<Path>) -> String {
    path.as_ref()
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

/// The same in every run: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }

    /// A seed with some changes, or noise.
    fn mangle(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            return (0..self.below(256)).map(|_| self.next() as u8).collect();
        }
        let mut input = seeds
            .get(self.below(seeds.len()))
            .cloned()
            .unwrap_or_default();
        for _ in 0..=self.below(4) {
            let (at, to) = (self.below(input.len() + 1), self.below(input.len() + 1));
            let range = at.min(to)..at.max(to);
            match self.below(6) {
                0 => drop(input.drain(range)),
                1 => input.extend_from_within(range),
                2 => input.truncate(at),
                3 => input.insert(at, self.next() as u8),
                4 => drop(input.splice(at..at, b"99999999999999999999".iter().copied())),
                _ => input
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << (to % 8)),
            }
        }
        input
    }
}
