use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn fast() -> Pace {
    Pace::new(
        Duration::from_secs(600),
        Duration::ZERO,
        Duration::from_secs(600),
    )
}

fn fill(path: &Path, bytes: usize) {
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![7; bytes]).unwrap();
    file.sync_all().unwrap();
}

/// By std alone, without a thought of hostile trees.
fn naive(path: &Path, seen: &mut HashSet<u64>) -> u64 {
    let mut sum = fs::symlink_metadata(path).unwrap().blocks() * BLOCK;
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            sum += naive(&path, seen);
        } else if seen.insert(metadata.ino()) {
            sum += metadata.blocks() * BLOCK;
        }
    }
    sum
}

#[test]
fn what_is_written_counts_and_what_is_linked_to_does_not() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(&elsewhere.path().join("large"), 1 << 20);
    let empty = measure(dir.path(), fast()).unwrap();
    symlink(elsewhere.path(), dir.path().join("link")).unwrap();
    symlink(elsewhere.path().join("large"), dir.path().join("file")).unwrap();
    let linked = measure(dir.path(), fast()).unwrap();
    assert!(linked.bytes < empty.bytes + (64 << 10), "{linked:?}");
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fill(&dir.path().join("a/b/one"), 300 << 10);
    fill(&dir.path().join("a/two"), 100 << 10);
    let full = measure(dir.path(), fast()).unwrap();
    assert!(full.bytes >= linked.bytes + (400 << 10), "{full:?}");
    let names: Vec<_> = full.largest.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a/b", "a", "."]);
    assert!(full.largest[0].1 >= 300 << 10 && full.largest[1].1 < 200 << 10);
}

#[test]
fn a_file_with_several_names_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("one"), 256 << 10);
    let once = measure(dir.path(), fast()).unwrap();
    for name in ["two", "three"] {
        fs::hard_link(dir.path().join("one"), dir.path().join(name)).unwrap();
    }
    assert_eq!(measure(dir.path(), fast()).unwrap().bytes, once.bytes);
}

#[test]
fn a_file_is_as_large_as_what_is_set_aside_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let before = measure(dir.path(), fast()).unwrap().bytes;
    let hollow = File::create(dir.path().join("hollow")).unwrap();
    hollow.set_len(1 << 40).unwrap();
    let after = measure(dir.path(), fast()).unwrap().bytes;
    assert!(after - before < 1 << 20, "{before} {after}");
}

/// Makes `depth` directories, each in the one before, and a file in the last.
fn nest(top: &Path, depth: usize) {
    let mut directory = File::open(top).unwrap();
    for _ in 0..depth {
        nix::sys::stat::mkdirat(&directory, "d", Mode::S_IRWXU).unwrap();
        let inner = open_child(&directory, c"d").unwrap();
        directory = inner.into();
    }
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY;
    let file = openat(&directory, "deep", flags, Mode::S_IRWXU).unwrap();
    File::from(file).write_all(&[7; 200 << 10]).unwrap();
}

/// Neither a path nor a stack nor descriptors are long enough for it.
#[test]
fn what_is_nested_deeply_counts() {
    let dir = tempfile::tempdir().unwrap();
    nest(dir.path(), 5000);
    let measured = measure(dir.path(), fast()).unwrap();
    assert!(
        measured.bytes >= 200 << 10 && !measured.too_deep,
        "{measured:?}"
    );
    assert!(measured.largest[0].0.ends_with('…'), "{measured:?}");
    assert!(measured.largest[0].0.len() < 2 * SHOWN);
    crate::removal::remove_tree(&dir.path().join("d")).unwrap();
}

#[test]
fn what_is_nested_deeply_in_too_many_places_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut path: PathBuf = dir.path().to_owned();
    path.extend(std::iter::repeat_n("d", DEPTH - 1));
    fs::create_dir_all(&path).unwrap();
    for n in 0..WAITING {
        fs::create_dir(path.join(n.to_string())).unwrap();
    }
    assert!(!measure(dir.path(), fast()).unwrap().too_deep);
    fs::create_dir(path.join("one more")).unwrap();
    assert!(measure(dir.path(), fast()).unwrap().too_deep);
}

#[test]
fn one_that_takes_long_is_counted_in_part() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..300 {
        fill(&dir.path().join(n.to_string()), 4096);
    }
    let whole = measure(dir.path(), fast()).unwrap();
    let hasty = Pace::new(Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let part = measure(dir.path(), hasty).unwrap();
    assert!(part.cut && !whole.cut);
    assert!(
        0 < part.bytes && part.bytes < whole.bytes,
        "{part:?} {whole:?}"
    );
}

#[test]
fn root_what_is_mounted_in_it_does_not_count() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let dir = tempfile::tempdir().unwrap();
    let (inner, file) = (dir.path().join("mounted"), dir.path().join("file"));
    fs::create_dir(&inner).unwrap();
    fill(&file, 4096);
    let before = measure(dir.path(), fast()).unwrap();
    let none = None::<&str>;
    mount(
        Some("longshore"),
        &inner,
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )
    .unwrap();
    fill(&inner.join("large"), 1 << 20);
    let after = measure(dir.path(), fast());
    umount2(&inner, MntFlags::MNT_DETACH).unwrap();
    assert!(after.unwrap().bytes <= before.bytes);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b\n".to_owned()),
        Just("ü".to_owned())
    ]
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(name(), 1..5).prop_map(|names| names.iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_counts_what_a_naive_walk_counts(
        files in prop::collection::btree_map(path(), 0..100_000_usize, 0..8),
        links in prop::collection::vec((path(), any::<prop::sample::Index>()), 0..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut made = BTreeMap::new();
        for (path, bytes) in files {
            let path = dir.path().join(path);
            // A file may be where a directory is to be.
            if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
                fill(&path, bytes);
                made.insert(path, bytes);
            }
        }
        let made: Vec<_> = made.into_keys().collect();
        for (path, of) in links {
            let path = dir.path().join(path);
            if !made.is_empty() && fs::create_dir_all(path.parent().unwrap()).is_ok() {
                let _ = fs::hard_link(of.get(&made), &path);
            }
        }
        let wanted = naive(dir.path(), &mut HashSet::new());
        prop_assert_eq!(measure(dir.path(), fast()).unwrap().bytes, wanted);
    }
}
