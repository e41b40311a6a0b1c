//! Rotation under a real writer, with deaths at every step, in hostile sandboxes.

mod full;
mod hostile;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use failpoint::{ALL, DIE_AT, Point};

use super::keeper::{Begun, Counters, Keeper};
use super::limits::{Limit, Limits};
use super::place::first_byte;
use super::rotate::{Done, attend};
use super::stream::{Bounds, Gone, Stream};

const BLOCK: u64 = 4096;

const LIMIT: Limit = Limit {
    size: 16 * BLOCK,
    keep: 3,
};

/// Keeps everything.
const ALL_KEPT: Limit = Limit {
    size: 64 * BLOCK,
    keep: 1000,
};

/// What a test does on a file system of each kind that this machine has: one that takes blocks out,
/// and one that only hollows.
fn on_each_file_system(test: impl Fn(&Path)) {
    // Where there is no such directory, that for temporary files is on a tmpfs itself.
    let shared = Some(PathBuf::from("/dev/shm")).filter(|shared| shared.is_dir());
    for above in [Some(std::env::temp_dir()), shared].into_iter().flatten() {
        let dir = tempfile::tempdir_in(above).unwrap();
        test(dir.path());
    }
}

/// Whether the file system that this is on can take a file's beginning out.
fn takes_out(directory: &Path) -> bool {
    use nix::fcntl::{FallocateFlags, fallocate};
    const BLOCK: usize = 64 * 1024;
    let mut file = tempfile::tempfile_in(directory).unwrap();
    file.write_all(&[1; 2 * BLOCK]).unwrap();
    fallocate(
        &file,
        FallocateFlags::FALLOC_FL_COLLAPSE_RANGE,
        0,
        BLOCK as i64,
    )
    .is_ok()
}

fn append(sandbox: &Path, bytes: &[u8]) {
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(sandbox.join("stdout"))
        .unwrap();
    log.write_all(bytes).unwrap();
}

/// `bytes` of numbered lines, from that number on.
fn lines(first: usize, bytes: u64) -> Vec<u8> {
    let mut text = String::new();
    for number in first.. {
        if text.len() as u64 >= bytes {
            break;
        }
        text += &format!("{number:>15}\n");
    }
    text.into_bytes()
}

/// Without what was given back. Of a log that nobody rotates at this moment.
fn bytes_of(path: &Path) -> Vec<u8> {
    let start = first_byte(&File::open(path).unwrap()).unwrap();
    fs::read(path).unwrap().split_off(start as usize)
}

/// All files one after the other. Of a log that nobody rotates at this moment.
fn whole(sandbox: &Path) -> Vec<u8> {
    let rotated = |n: &usize| sandbox.join(format!("stdout.{n}"));
    let count = (1..).take_while(|n| rotated(n).exists()).count();
    let mut all: Vec<u8> = Vec::new();
    for number in (1..=count).rev() {
        all.extend(fs::read(rotated(&number)).unwrap());
    }
    all.extend(bytes_of(&sandbox.join("stdout")));
    all
}

/// Says where they part: both are too long to be shown.
fn assert_same(seen: &[u8], wanted: &[u8], case: &str) {
    let same = seen.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    let next = |bytes: &[u8]| {
        let next = bytes[same..].iter().take(120);
        next.copied()
            .collect::<Vec<u8>>()
            .escape_ascii()
            .to_string()
    };
    assert!(
        seen == wanted,
        "{case}: {} bytes for {}; from {same} on \"{}\" for \"{}\"",
        seen.len(),
        wanted.len(),
        next(seen),
        next(wanted)
    );
}

fn stream(sandbox: &Path) -> Stream {
    Stream::of(OwnedFd::from(File::open(sandbox).unwrap()), "stdout")
}

fn names(sandbox: &Path) -> Vec<String> {
    let entries = fs::read_dir(sandbox).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn rotated_files_and_the_log_are_what_was_written() {
    on_each_file_system(|sandbox| {
        let written = lines(0, 10 * LIMIT.size);
        let (mut end, mut rotations) = (0, 0);
        for piece in written.chunks(LIMIT.size as usize + 1000) {
            append(sandbox, piece);
            end += piece.len();
            let done = attend(sandbox, "stdout", LIMIT).unwrap();
            assert!(done.size - done.start < LIMIT.size, "{done:?}");
            assert_eq!(done.dropped, 0);
            assert!(takes_out(sandbox) == (done.start == 0), "{done:?}");
            assert!(written[..end].ends_with(&whole(sandbox)));
            rotations += done.rotations;
        }
        assert_eq!(rotations, 9);
        let whole = whole(sandbox);
        assert!(whole.len() as u64 > 3 * LIMIT.size, "{}", whole.len());
        assert!(written.ends_with(&whole));
        let wanted = [
            "stdout",
            "stdout.1",
            "stdout.2",
            "stdout.3",
            "stdout.logrotate.state",
        ];
        assert_eq!(names(sandbox), wanted);
        let (log, rotated) = ("stdout", "stdout.1");
        let [log, rotated] = [log, rotated].map(|n| fs::metadata(sandbox.join(n)).unwrap());
        assert_eq!(log.mode(), rotated.mode());
    });
}

#[test]
fn a_task_that_flooded_while_no_agent_was_there_keeps_its_newest_output() {
    on_each_file_system(|sandbox| {
        let written = lines(0, 20 * LIMIT.size);
        append(sandbox, &written);
        let done = attend(sandbox, "stdout", LIMIT).unwrap();
        assert_eq!((done.rotations, done.dropped), (4, 16 * LIMIT.size));
        let whole = whole(sandbox);
        assert!(written.ends_with(&whole));
        assert_eq!(whole.len() as u64, written.len() as u64 - done.dropped);
        let disk = fs::metadata(sandbox.join("stdout")).unwrap().blocks() * 512;
        assert!(disk <= 2 * BLOCK, "{disk} bytes on disk");
    });
}

#[test]
fn without_rotated_files_a_log_is_only_cut() {
    on_each_file_system(|sandbox| {
        let written = lines(0, LIMIT.size + 100);
        append(sandbox, &written);
        attend(sandbox, "stdout", Limit { keep: 0, ..LIMIT }).unwrap();
        assert_eq!(names(sandbox), ["stdout", "stdout.logrotate.state"]);
        assert!(written.ends_with(&bytes_of(&sandbox.join("stdout"))));
    });
}

#[test]
fn fewer_rotated_files_are_kept_when_fewer_are_wanted() {
    on_each_file_system(|sandbox| {
        for _ in 0..4 {
            append(sandbox, &lines(0, LIMIT.size + 100));
            attend(sandbox, "stdout", LIMIT).unwrap();
        }
        append(sandbox, &lines(0, LIMIT.size + 100));
        attend(sandbox, "stdout", Limit { keep: 1, ..LIMIT }).unwrap();
        let wanted = ["stdout", "stdout.1", "stdout.logrotate.state"];
        assert_eq!(names(sandbox), wanted);
    });
}

/// A process that appends numbered lines as fast as it can, as a task does.
struct Writer(Child);

impl Writer {
    /// `lines` of them.
    fn start(sandbox: &Path, lines: u64) -> Writer {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(sandbox.join("stdout"))
            .unwrap();
        const FLOOD: &str =
            r#"for (0 .. $ARGV[0] - 1) { syswrite(STDOUT, sprintf("%99d\n", $_)) == 100 or die }"#;
        let perl = Command::new("perl")
            .args(["-e", FLOOD])
            .arg(lines.to_string())
            .stdout(log)
            .stderr(Stdio::inherit())
            .spawn();
        Writer(perl.unwrap())
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.0.try_wait().unwrap();
        ended.is_some_and(|status| {
            assert!(status.success());
            true
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn flood(lines: u64) -> Vec<u8> {
    (0..lines)
        .flat_map(|n| format!("{n:>99}\n").into_bytes())
        .collect()
}

#[test]
fn no_line_of_a_flood_is_lost_or_doubled() {
    on_each_file_system(|sandbox| {
        const LINES: u64 = 200_000;
        let mut writer = Writer::start(sandbox, LINES);
        let mut rotations = 0;
        while !writer.has_ended() {
            let done = attend(sandbox, "stdout", ALL_KEPT).unwrap();
            assert_eq!(done.dropped, 0);
            rotations += done.rotations;
        }
        assert!(rotations > 5, "{rotations}");
        let case = format!("after {rotations} rotations");
        assert_same(&whole(sandbox), &flood(LINES), &case);
    });
}

/// A look that takes a byte for a hole because it comes while the file is empty still would drop it.
#[test]
fn the_first_byte_of_a_file_is_found_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    for turn in 0..2000 {
        let path = dir.path().join(turn.to_string());
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (&file).write_all(b"one").unwrap());
            assert_eq!(first_byte(&file).unwrap(), 0);
        });
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn whoever_follows_a_flood_by_offset_sees_each_byte_once() {
    on_each_file_system(|sandbox| {
        const LINES: u64 = 150_000;
        let mut writer = Writer::start(sandbox, LINES);
        let follower = std::thread::spawn({
            let sandbox = sandbox.to_owned();
            move || {
                let (stream, wanted) = (stream(&sandbox), LINES * 100);
                let mut seen = Vec::new();
                while (seen.len() as u64) < wanted {
                    let piece = stream.read(seen.len() as u64, Gone::InFile, 1 << 16);
                    let piece = piece.unwrap().unwrap();
                    assert_eq!(piece.offset, seen.len() as u64);
                    if piece.bytes.is_empty() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    seen.extend(piece.bytes);
                }
                assert_eq!(stream.bounds().unwrap().unwrap().end, wanted);
                seen
            }
        });
        let mut rotations = 0;
        while !writer.has_ended() {
            let done = attend(sandbox, "stdout", ALL_KEPT).unwrap();
            assert_eq!(done.dropped, 0);
            rotations += done.rotations;
        }
        assert!(rotations > 5, "{rotations}");
        assert_same(&follower.join().unwrap(), &flood(LINES), "followed");
    });
}

#[test]
fn what_is_older_than_all_that_is_kept_is_counted_but_gone() {
    on_each_file_system(|sandbox| {
        let written = lines(0, 8 * LIMIT.size);
        for piece in written.chunks(LIMIT.size as usize + 1) {
            append(sandbox, piece);
            attend(sandbox, "stdout", LIMIT).unwrap();
        }
        let stream = stream(sandbox);
        let bounds = stream.bounds().unwrap().unwrap();
        assert_eq!(bounds.end, written.len() as u64);
        assert_eq!(bounds.end - bounds.oldest, whole(sandbox).len() as u64);
        let read = |offset, gone| {
            let piece = stream.read(offset, gone, 1 << 30).unwrap().unwrap();
            (piece.offset, piece.bytes)
        };
        let from = |offset: u64| written[offset as usize..].to_vec();
        let Bounds { oldest, start, .. } = bounds;
        assert!(0 < oldest && oldest < start);
        assert!(read(oldest, Gone::InFile) == (oldest, from(oldest)));
        assert!(read(start - 5, Gone::InFile) == (start - 5, from(start - 5)));
        assert!(read(0, Gone::Oldest) == (oldest, from(oldest)));
        assert!(read(0, Gone::InFile) == (0, from(start)));
        assert!(read(bounds.end + 9, Gone::InFile).1.is_empty());
    });
}

/// Not a test by itself: the process that dies in the next one.
#[test]
fn rotates_in_the_directory_that_it_is_told() {
    if let Ok(sandbox) = std::env::var("LONGSHORE_TEST_ROTATE") {
        attend(Path::new(&sandbox), "stdout", LIMIT).unwrap();
    }
}

fn die_at(point: &str, sandbox: &Path) {
    let test = "logs::tests::rotates_in_the_directory_that_it_is_told";
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("LONGSHORE_TEST_ROTATE", sandbox)
        .env(DIE_AT, point)
        .output()
        .unwrap();
    assert!(!process.status.success(), "{point}: it has not died");
}

/// Those of a rotation.
fn points() -> impl Iterator<Item = Point> {
    let all = ALL.iter().copied();
    all.filter(|point| point.name().starts_with("Log") && *point != Point::LogsMade)
}

#[test]
fn wherever_an_agent_dies_the_next_one_has_every_byte_once() {
    // The same bytes over and over: nothing in them tells how far a rotation came.
    let dull = vec![b'\n'; 3 * LIMIT.size as usize];
    let numbered = lines(0, 3 * LIMIT.size);
    for (written, later) in [
        (&numbered, lines(900_000, 5000)),
        (&dull, vec![b'\n'; 5000]),
    ] {
        for first in points() {
            for second in points() {
                on_each_file_system(|sandbox| {
                    let (first, second) = (first.name(), second.name());
                    append(sandbox, written);
                    die_at(first, sandbox);
                    append(sandbox, &later);
                    let so_far = [written.as_slice(), &later].concat();
                    let piece = stream(sandbox).read(0, Gone::InFile, 1 << 30);
                    let piece = piece.unwrap().unwrap();
                    assert_same(&piece.bytes, &so_far, &format!("read after {first}"));
                    // What is mended by then does not come to every point again.
                    let _ = std::panic::catch_unwind(|| die_at(second, sandbox));
                    append(sandbox, &later);
                    attend(sandbox, "stdout", LIMIT).unwrap();
                    let wanted = [written.as_slice(), &later, &later].concat();
                    let case = format!("{first}, {second}");
                    assert_same(&whole(sandbox), &wanted, &case);
                    let bounds = stream(sandbox).bounds().unwrap().unwrap();
                    assert_eq!(
                        (bounds.oldest, bounds.end),
                        (0, wanted.len() as u64),
                        "{case}"
                    );
                    assert!(
                        names(sandbox).iter().all(|n| n.starts_with("stdout")),
                        "{case}"
                    );
                });
            }
        }
    }
}

#[test]
fn what_init_has_dropped_meanwhile_is_a_gap_and_no_zeros() {
    on_each_file_system(|sandbox| {
        append(sandbox, &lines(0, LIMIT.size + 1));
        attend(sandbox, "stdout", LIMIT).unwrap();
        append(sandbox, &lines(0, 5 * LIMIT.size));
        let log = OpenOptions::new()
            .write(true)
            .open(sandbox.join("stdout"))
            .unwrap();
        let start = first_byte(&log).unwrap();
        super::place::hollow(&log, start, start + 3 * LIMIT.size).unwrap();
        let rest = bytes_of(&sandbox.join("stdout"));
        let end = stream(sandbox).bounds().unwrap().unwrap().end;
        let done = attend(sandbox, "stdout", LIMIT).unwrap();
        assert_eq!(done.dropped, 3 * LIMIT.size);
        assert_same(&whole(sandbox), &rest, "what init has left");
        let bounds = stream(sandbox).bounds().unwrap().unwrap();
        assert_eq!(bounds.end, end);
        assert_eq!(bounds.end - bounds.oldest, rest.len() as u64);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_rotated_while_it_goes_on_and_its_last_words_after_it() {
    const LINES: u64 = 300_000;
    let dir = tempfile::tempdir().unwrap();
    let counters = Arc::<Counters>::default();
    let keeper = Keeper::start(Arc::clone(&counters));
    let mut writer = Writer::start(dir.path(), LINES);
    let limits = Limits {
        stdout: Some(ALL_KEPT),
        stderr: Some(ALL_KEPT),
    };
    keeper.watch(dir.path(), limits, Begun::Now);
    while !writer.has_ended() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    keeper.release(dir.path());
    // The keeper is still at it: only a stream can be looked at then.
    let is_small = || {
        let bounds = stream(dir.path()).bounds();
        let state = fs::read_to_string(dir.path().join("stdout.logrotate.state"));
        bounds.is_ok_and(|b| b.is_some_and(|b| b.end - b.start < ALL_KEPT.size))
            && state.is_ok_and(|state| state.contains("\"pending\":null"))
    };
    let is_counted = || counters.rotations.load(Ordering::Relaxed) > 0;
    while !is_small() || !is_counted() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(counters.failures.load(Ordering::Relaxed), 0);
    assert_same(&whole(dir.path()), &flood(LINES), "rotated by the keeper");
}
