//! Nothing that is found below `meta` ends the agent by a panic, or one of its containers.

use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use proptest::prelude::*;

use super::*;

/// Files below `meta` that are checkpoints, without the agent's own lock.
fn files(paths: &Paths) -> Vec<PathBuf> {
    let all = everything(&paths.meta()).into_keys();
    all.filter(|path| path.is_file() && !path.is_symlink())
        .collect()
}

/// With the file as it is now: strict names it, or there is nothing to name.
fn refused(paths: &Paths, file: &Path) -> bool {
    match recover(paths, Some(BOOT), true) {
        Ok(_) => false,
        Err(error) => {
            let error = chain(&error);
            assert!(error.contains(&file.display().to_string()), "{error}");
            true
        }
    }
}

#[test]
fn every_bit_that_flips_in_any_file_is_noticed() {
    let (_dir, paths) = tree();
    for file in files(&paths) {
        let whole = fs::read(&file).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &bytes).unwrap();
            let file_name = file.file_name().unwrap();
            if file_name == "boot_id" {
                // A text without a checksum: most flips make it one of another boot, and that is all.
                let _ = recover(&paths, Some(BOOT), true);
                continue;
            }
            assert!(refused(&paths, &file), "bit {bit} of {}", file.display());
        }
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(containers(&read(&paths, Some(BOOT)).unwrap()).len(), 3);
}

#[test]
fn every_file_that_ends_early_is_noticed_but_for_journals_which_go_on() {
    let (_dir, paths) = tree();
    for file in files(&paths) {
        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            let is_journal = file.ends_with("task.updates");
            let is_refused = refused(&paths, &file);
            assert_eq!(is_refused, !is_journal, "{length} of {}", file.display());
        }
        fs::write(&file, whole).unwrap();
    }
}

/// What may be found in the place of something.
#[derive(Debug, Clone)]
enum Mangle {
    Flip(prop::sample::Index),
    Cut(prop::sample::Index),
    Noise(Vec<u8>),
    /// Of another file of the tree.
    ContentOf(prop::sample::Index),
    Empty,
    Directory,
    Link(&'static str),
    Fifo,
    Socket,
    Long,
}

fn any_mangle() -> impl Strategy<Value = Mangle> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Mangle::Flip),
        any::<prop::sample::Index>().prop_map(Mangle::Cut),
        any::<prop::sample::Index>().prop_map(Mangle::ContentOf),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Mangle::Noise),
        Just(Mangle::Empty),
        Just(Mangle::Directory),
        prop::sample::select(vec!["/dev/zero", "/etc/passwd", ".", "nothing"])
            .prop_map(Mangle::Link),
        Just(Mangle::Fifo),
        Just(Mangle::Socket),
        Just(Mangle::Long),
    ]
}

impl Mangle {
    /// In the place of a file, a link or a whole directory.
    fn put(&self, place: &Path, tree: &BTreeMap<PathBuf, Vec<u8>>) {
        let content = tree.get(place).cloned().unwrap_or_default();
        match fs::symlink_metadata(place) {
            Ok(it) if it.is_dir() => fs::remove_dir_all(place).unwrap(),
            Ok(_) => fs::remove_file(place).unwrap(),
            // With one of those above it.
            Err(_) => return,
        }
        match self {
            Self::Flip(index) => {
                let mut bytes = content;
                if !bytes.is_empty() {
                    let bit = index.index(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                fs::write(place, bytes).unwrap();
            }
            Self::Cut(index) => {
                let length = index.index(content.len() + 1);
                fs::write(place, &content[..length]).unwrap();
            }
            Self::Noise(noise) => fs::write(place, noise).unwrap(),
            Self::ContentOf(index) => {
                let (_, content) = tree.iter().nth(index.index(tree.len())).unwrap();
                fs::write(place, content).unwrap();
            }
            Self::Empty => fs::write(place, "").unwrap(),
            Self::Directory => fs::create_dir(place).unwrap(),
            Self::Link(target) => symlink(target, place).unwrap(),
            Self::Fifo => nix::unistd::mkfifo(place, Mode::S_IRWXU).unwrap(),
            Self::Socket => {
                // The path of a socket is bounded: it is made elsewhere.
                let dir = tempfile::tempdir().unwrap();
                let made = dir.path().join("s");
                let _socket = UnixListener::bind(&made).unwrap();
                fs::rename(&made, place).unwrap();
            }
            Self::Long => fs::File::create(place).unwrap().set_len(1 << 40).unwrap(),
        }
    }

    /// What it was is gone without a trace: it is nothing to read, and nothing that could not be read.
    fn leaves_no_trace(&self, place: &Path) -> bool {
        matches!(self, Self::Directory) && !place.to_string_lossy().contains(".info")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_found_the_agent_starts_without_strict_and_no_container_is_given_up(
        mangles in prop::collection::vec((any::<prop::sample::Index>(), any_mangle()), 1..4),
    ) {
        let (_dir, paths) = tree();
        let whole = everything(&paths.meta());
        let mut given_up = false;
        let mut story = Vec::new();
        for (index, mangle) in mangles {
            let (place, _) = whole.iter().nth(index.index(whole.len())).unwrap();
            mangle.put(place, &whole);
            story.push((place.strip_prefix(paths.meta()).unwrap().to_owned(), mangle.clone()));
            given_up |= mangle.leaves_no_trace(place);
        }
        let found = if given_up { BTreeMap::new() } else { names(&paths.meta()) };
        // Reading alone, and strict, change nothing.
        let first = read(&paths, Some(BOOT)).unwrap();
        let strict = recover(&paths, Some(BOOT), true);
        // A boot id that was mangled into another one is a reboot, which explains what is cut short.
        let is_explained = |loss: &Loss| first.rebooted && loss.is_cut_short();
        prop_assert_eq!(strict.is_ok(), first.losses.iter().all(is_explained), "{:?}", story);
        if !given_up && first.losses.is_empty() {
            prop_assert_eq!(names(&paths.meta()), found);
        }
        for _ in 0..2 {
            let stored = recover(&paths, Some(BOOT), false).unwrap();
            for (_, _, container) in TASKS {
                let is_kept = containers(&stored).contains(&container)
                    || stored.unread.contains(container);
                prop_assert!(given_up || is_kept, "{} is given up: {:?}", container, story);
            }
        }
        // What was set aside is no reason to stop again; what is simply missing is.
        match recover(&paths, Some(BOOT), true) {
            Ok(_) => {}
            Err(error) => prop_assert!(chain(&error).ends_with("it is missing"), "{}", chain(&error)),
        }
    }

    /// The same in the first start after a reboot, where more is expected and put back.
    #[test]
    fn whatever_a_reboot_leaves_the_agent_starts_and_no_container_is_given_up(
        mangles in prop::collection::vec((any::<prop::sample::Index>(), any_mangle()), 1..4),
        strict in any::<bool>(),
    ) {
        let (_dir, paths) = tree();
        let mut journal = launch(&paths, "G", "t4", "c4");
        journal.update(&update(3, TaskState::TaskFinished)).unwrap();
        let whole = everything(&paths.meta());
        let mut given_up = false;
        for (index, mangle) in mangles {
            let (place, _) = whole.iter().nth(index.index(whole.len())).unwrap();
            mangle.put(place, &whole);
            given_up |= mangle.leaves_no_trace(place);
        }
        // It may stop: it does not end, and what it has put back and set aside is as good as before.
        let _ = recover(&paths, Some(NEXT_BOOT), strict);
        for _ in 0..2 {
            let stored = recover(&paths, Some(NEXT_BOOT), false).unwrap();
            for container in ["c1", "c2", "c3", "c4"] {
                let is_kept = containers(&stored).contains(&container)
                    || stored.unread.contains(container);
                prop_assert!(given_up || is_kept, "{} is given up", container);
            }
        }
    }
}

/// Names alone: some of what is there could not be read to the end.
fn names(directory: &Path) -> BTreeMap<PathBuf, ()> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        found.insert(entry.path(), ());
        if entry.file_type().unwrap().is_dir() {
            found.append(&mut names(&entry.path()));
        }
    }
    found
}
