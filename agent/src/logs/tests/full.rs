//! Rotation on a disk that is full, or fills up at any moment of it.

use super::*;
use crate::small_disk::SmallDisk;

/// Pages that a rotation takes, and more.
const ENOUGH: u64 = 24;

#[test]
fn root_a_full_disk_puts_a_rotation_off_wherever_it_is_and_no_line_is_lost_or_doubled() {
    let mut put_off = 0;
    for pages in 0..ENOUGH {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(dir.path());
        let sandbox = dir.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let written = lines(0, 2 * LIMIT.size + 1000);
        let (before, after) = written.split_at(LIMIT.size as usize + 500);
        append(&sandbox, before);
        disk.fill();
        disk.make_room_for(pages);
        let first = attend(&sandbox, "stdout", LIMIT);
        if first.is_err() {
            put_off += 1;
        }
        assert!(!names(&sandbox).contains(&".stdout.rotating".into()));
        assert_eq!(whole(&sandbox), before, "{pages} {first:?}");
        // What it has given back somebody else takes.
        disk.fill();
        let _ = attend(&sandbox, "stdout", LIMIT);
        assert_eq!(whole(&sandbox), before, "{pages} {first:?}");
        disk.make_room();
        append(&sandbox, after);
        attend(&sandbox, "stdout", LIMIT).unwrap();
        assert_eq!(whole(&sandbox), written, "{pages} {first:?}");
        let rotated = names(&sandbox).len();
        assert!(rotated >= 3, "{:?}", names(&sandbox));
    }
    assert!((1..ENOUGH).contains(&put_off), "{put_off}");
}
