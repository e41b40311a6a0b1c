//! Hostile archives, made here: whatever one holds, nothing outside the sandbox changes, nothing in it is a
//! device, has a setuid bit or leads out, and one that is refused leaves nothing.

mod mutants;
mod singles;
mod tars;
mod zips;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// What must become of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Refused,
    Unpacked,
    /// Either, as long as it is safe.
    Safe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Archive(Format),
    /// One file, compressed.
    File(Codec),
}

pub struct Case {
    pub name: String,
    pub kind: Kind,
    pub bytes: Vec<u8>,
    pub verdict: Verdict,
}

/// Small enough that a bomb ends soon.
const LIMITS: Limits = Limits {
    entries: 500,
    depth: 128,
    header_bytes: 64 << 10,
    trailing_bytes: 64 << 10,
    directory_bytes: 64 << 10,
    ratio: 1000,
    ratio_from: 1 << 30,
};
const BUDGET: u64 = 4 << 20;

/// A directory with a sandbox in it, and beside that what nobody may touch.
struct Ground {
    above: tempfile::TempDir,
}

/// Of a file outside: any write, change of mode, owner or time, link or removal shows in it.
type Seen = Vec<(PathBuf, u32, u32, u32, u64, i64, i64, Option<Vec<u8>>)>;

impl Ground {
    fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        let ground = Self { above };
        fs::create_dir(ground.sandbox()).unwrap();
        fs::create_dir(ground.outside("directory")).unwrap();
        for name in ["canary", "x", "directory/canary"] {
            let path = ground.outside(name);
            fs::write(&path, "alive").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(1_000_000);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
        }
        ground
    }

    fn sandbox(&self) -> PathBuf {
        self.above.path().join("sandbox")
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.above.path().join(name)
    }

    fn seen(&self) -> Seen {
        let mut seen = Vec::new();
        for path in walk(self.above.path()) {
            let found = path.symlink_metadata().unwrap();
            let is_sandbox = path == self.sandbox();
            if path.starts_with(self.sandbox()) && !is_sandbox {
                continue;
            }
            // What is made in the sandbox changes that directory.
            let times = if is_sandbox {
                (0, 0)
            } else {
                (found.ctime(), found.ctime_nsec())
            };
            let links = if is_sandbox { 0 } else { found.nlink() };
            let content = found.is_file().then(|| fs::read(&path).unwrap());
            seen.push((
                path,
                found.mode(),
                found.uid(),
                found.gid(),
                links,
                times.0,
                times.1,
                content,
            ));
        }
        seen.sort();
        seen
    }

    fn check_sandbox(&self, case: &Case, refused: bool) {
        let sandbox = self.sandbox().canonicalize().unwrap();
        let inside = walk(&sandbox);
        if refused {
            assert_eq!(inside, [sandbox], "{}: refused, but not gone", case.name);
            return;
        }
        for path in inside {
            let found = path.symlink_metadata().unwrap();
            let kind = found.file_type();
            let plain = kind.is_file() || kind.is_dir() || kind.is_symlink();
            assert!(plain, "{}: {path:?} is {kind:?}", case.name);
            assert!(
                kind.is_symlink() || found.mode() & 0o7022 == 0,
                "{}: {path:?} has mode {:o}",
                case.name,
                found.mode()
            );
            if let Ok(target) = path.canonicalize() {
                assert!(
                    target.starts_with(&sandbox),
                    "{}: {path:?} leads to {target:?}",
                    case.name
                );
            }
        }
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

fn unpack_in(sandbox: &Path, case: &Case) -> Result<(), ArchiveError> {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, &case.bytes).unwrap();
    let sandbox = Beneath::open(sandbox).unwrap();
    let budget = Budget::new(Some(BUDGET), None);
    let archive = Packed::whole(file).unwrap();
    match case.kind {
        Kind::Archive(format) => unpack(&sandbox, &archive, format, LIMITS, &budget),
        Kind::File(codec) => {
            let to = InnerPath::parse(Path::new("x")).unwrap();
            decompress(&sandbox, codec, &archive, &to, LIMITS, &budget)
        }
    }
}

fn judge(cases: Vec<Case>, at_least: usize) {
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    for case in cases {
        let ground = Ground::new();
        let before = ground.seen();
        let unpacked = unpack_in(&ground.sandbox(), &case);
        assert_eq!(
            ground.seen(),
            before,
            "{}: changed what is outside",
            case.name
        );
        ground.check_sandbox(&case, unpacked.is_err());
        let right = match case.verdict {
            Verdict::Refused => unpacked.is_err(),
            Verdict::Unpacked => unpacked.is_ok(),
            Verdict::Safe => true,
        };
        assert!(
            right,
            "{}: {unpacked:?}, should be {:?}",
            case.name, case.verdict
        );
    }
}

/// `cargo test -p fetcher --lib corpus -- --nocapture` prints them.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "for who wants to know how much is tried"
)]
fn the_corpus_has_three_hundred_cases_and_more_in_seven_formats() {
    let all = [
        tars::cases(),
        zips::cases(),
        singles::cases(),
        mutants::cases(),
    ];
    let mut totals = std::collections::BTreeMap::<_, [usize; 3]>::new();
    for case in all.iter().flatten() {
        let kind = match case.kind {
            Kind::Archive(format) => format.name(),
            Kind::File(_) => "gz, bz2, xz, zst",
        };
        let verdict = match case.verdict {
            Verdict::Refused => 0,
            Verdict::Unpacked => 1,
            Verdict::Safe => 2,
        };
        totals.entry(kind).or_default()[verdict] += 1;
    }
    let mut all = 0;
    for (kind, [refused, unpacked, either]) in &totals {
        println!("{kind}: {refused} refused, {unpacked} unpacked, {either} either, and safe");
        all += refused + unpacked + either;
    }
    println!("{all} cases in {} formats", totals.len());
    assert!(all >= 300 && totals.len() == 7);
}

#[test]
fn no_single_file_becomes_more_than_it_may_or_what_it_is_not() {
    judge(singles::cases(), 80);
}

#[test]
fn no_tar_leaves_the_sandbox_however_it_is_compressed() {
    judge(tars::cases(), 300);
}

#[test]
fn no_zip_leaves_the_sandbox() {
    judge(zips::cases(), 60);
}

#[test]
fn no_archive_that_was_cut_short_or_damaged_leaves_the_sandbox() {
    judge(mutants::cases(), 150);
}

/// A parser that believes the first of two sizes finds entries in what is another's content.
/// CVE-2025-62518.
#[test]
fn content_is_never_read_as_an_entry_where_an_extended_header_tells_the_size() {
    let ground = Ground::new();
    let case = Case {
        name: "two sizes".to_owned(),
        kind: Kind::Archive(Format::Tar(None)),
        bytes: tars::two_sizes(),
        verdict: Verdict::Unpacked,
    };
    unpack_in(&ground.sandbox(), &case).unwrap();
    assert!(!ground.sandbox().join("hidden").exists());
    assert_eq!(
        ground.sandbox().join("outer").metadata().unwrap().len(),
        1024
    );
    assert!(ground.sandbox().join("last").exists());
}

/// Of what each reader finds something else in, it is said what that is.
#[test]
fn why_a_zip_of_two_minds_is_refused_is_said() {
    let whys = [
        ("names that differ", "differ in its name"),
        ("methods that differ", "differ in its method"),
        ("encrypted by one header", "differ in its flags"),
        ("wrong sizes behind", "differ in its size or checksum"),
        ("a second name", "differ in its name"),
    ];
    let cases = zips::cases();
    for (name, why) in whys {
        let name = format!("zip: {name}");
        let case = cases.iter().find(|case| case.name == name);
        let ground = Ground::new();
        let error = unpack_in(&ground.sandbox(), case.unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("is refused, for readers of zip"), "{text}");
        assert!(text.contains(why), "{text}");
    }
}
