use std::fs::{self, File};
use std::os::unix::fs::symlink;

use nix::sys::stat::mkdirat;
use proptest::prelude::*;

use super::*;

/// `depth` directories in each other, further down than any path leads.
fn nest(top: &Path, depth: usize) {
    let mut here = OwnedFd::from(File::open(top).unwrap());
    for _ in 0..depth {
        mkdirat(&here, "d", Mode::S_IRWXU).unwrap();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
    }
}

#[test]
fn twenty_thousand_levels_need_neither_stack_nor_descriptors() {
    // In memory, where there is such a place: a disk takes its time for so many.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let tree = dir.path().join("C1");
    fs::create_dir(&tree).unwrap();
    nest(&tree, 20_000);
    let path = tree.clone();
    // A frame per level would not fit.
    let small = std::thread::Builder::new().stack_size(128 << 10);
    let remover = small.spawn(move || remove_tree(&path)).unwrap();
    remover.join().unwrap().unwrap();
    assert!(!tree.exists());
}

#[test]
fn links_are_removed_and_what_they_lead_to_is_not() {
    let (dir, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(victim.path().join("precious"), "x").unwrap();
    let tree = dir.path().join("C1");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    symlink(victim.path(), tree.join("link")).unwrap();
    symlink(victim.path(), tree.join("a/b/link")).unwrap();
    nix::unistd::mkfifo(&tree.join("a/pipe"), Mode::S_IRWXU).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.exists() && victim.path().join("precious").exists());
    // Nor is the tree itself a link that is followed.
    symlink(victim.path(), &tree).unwrap();
    remove_tree(&tree).unwrap();
    assert!(!tree.is_symlink() && victim.path().join("precious").exists());
}

#[test]
fn names_that_the_remover_would_use_are_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("C1");
    for n in 0..20 {
        let name = tree.join(format!(".removed-{n}"));
        match n % 3 {
            0 => fs::create_dir_all(name.join("a/b/c")).unwrap(),
            1 => fs::create_dir_all(name).unwrap(),
            _ => fs::write(name, "x").unwrap(),
        }
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn what_is_not_there_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    remove_tree(&dir.path().join("none")).unwrap();
    remove_tree(&dir.path().join("none/at/all")).unwrap();
}

#[test]
fn root_a_mount_in_a_tree_is_not_entered_and_is_named() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let (dir, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(victim.path().join("precious"), "x").unwrap();
    let tree = dir.path().join("C1");
    let mounted = tree.join("a/mounted");
    fs::create_dir_all(&mounted).unwrap();
    fs::create_dir_all(tree.join("b/c/d")).unwrap();
    // Of the same file system: only the mount tells them apart.
    let none = None::<&str>;
    mount(Some(victim.path()), &mounted, none, MsFlags::MS_BIND, none).unwrap();
    let refused = remove_tree(&tree);
    umount2(&mounted, MntFlags::MNT_DETACH).unwrap();
    assert!(
        matches!(refused, Err(RemoveError::Mounted { .. })),
        "{refused:?}"
    );
    assert!(victim.path().join("precious").exists());
    assert!(!tree.join("b").exists(), "the rest is gone");
    let modified = fs::metadata(&tree).unwrap().modified().unwrap();
    assert_eq!(modified, SystemTime::UNIX_EPOCH, "it stays due");
    remove_tree(&tree).unwrap();
}

/// A tree as a task may leave it: relative paths of up to six names, and what each is.
fn any_tree() -> impl Strategy<Value = Vec<(Vec<u8>, u8)>> {
    let path = prop::collection::vec(0..3u8, 1..6);
    prop::collection::vec((path, 0..3u8), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_left_of_any_tree(entries in any_tree()) {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("C1");
        fs::create_dir(&tree).unwrap();
        for (path, kind) in entries {
            let path: PathBuf = path.iter().map(|name| format!(".removed-{name}")).collect();
            let path = tree.join(path);
            // Where a file is on the way, the entry is left out.
            let _ = fs::create_dir_all(path.parent().unwrap());
            let _ = match kind {
                0 => fs::create_dir(&path),
                1 => symlink("/nowhere", &path),
                _ => fs::write(&path, "x"),
            };
        }
        remove_tree(&tree).unwrap();
        prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
