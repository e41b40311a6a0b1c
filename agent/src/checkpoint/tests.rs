use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use proptest::prelude::*;
use proto::v1::TaskId;

use super::*;

fn id(value: &str) -> TaskId {
    TaskId {
        value: value.to_owned(),
    }
}

fn journal_of(file: &Path, values: &[&str]) -> Vec<u8> {
    let mut journal = Journal::new(file);
    for value in values {
        journal.append(&id(value), Durability::Process).unwrap();
    }
    fs::read(file).unwrap()
}

fn damage_of<T: std::fmt::Debug>(result: Result<T, CheckpointError>) -> Damage {
    match result.unwrap_err() {
        CheckpointError::Damaged(damage) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_written_record_reads_back_and_a_missing_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a/b/task.info");
    assert_eq!(read::<TaskId>(&file).unwrap(), None);
    write(&file, &id("one"), Durability::Reboot).unwrap();
    write(&file, &id("two"), Durability::Process).unwrap();
    assert_eq!(read::<TaskId>(&file).unwrap(), Some(id("two")));
}

#[test]
fn a_journal_keeps_its_order_and_drops_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x/task.updates");
    let read = || Journalled::<TaskId>::read(&file).unwrap();
    assert!(read().records.is_empty());
    let whole = journal_of(&file, &["one", "two"]);
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let found = read();
    assert_eq!((found.torn > 0, &found.damage), (true, &None));
    let (mut journal, records) = found.resume(&file);
    assert_eq!(records, [id("one")]);
    assert_eq!(fs::read(&file).unwrap().len(), whole.len() - 1);
    journal.append(&id("3"), Durability::Reboot).unwrap();
    let found = read();
    assert_eq!(found.torn, 0);
    assert_eq!(found.records, [id("one"), id("3")]);
}

#[test]
fn what_is_damaged_in_a_journal_is_set_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("task.updates");
    let mut bytes = journal_of(&file, &["one", "two", "three"]);
    // 12 bytes of header, and of each record 12 and 5 of the message.
    let second = 12 + 12 + 5;
    bytes[second + 14] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let mut found = Journalled::<TaskId>::read(&file).unwrap();
    let damage = found.damage.as_ref().unwrap().to_string();
    let wanted = format!(
        "{} is damaged at byte 29: bytes have changed, the checksum is that of others",
        file.display()
    );
    assert_eq!(damage, wanted);
    let aside = found.mend(&file).unwrap().unwrap();
    assert_eq!(fs::read(aside).unwrap(), bytes);
    let (mut journal, records) = found.resume(&file);
    assert_eq!(records, [id("one"), id("three")]);
    journal.append(&id("four"), Durability::Process).unwrap();
    let found = Journalled::<TaskId>::read(&file).unwrap();
    assert_eq!(found.damage, None);
    assert_eq!(found.records, [id("one"), id("three"), id("four")]);
}

#[test]
fn a_newer_version_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("slave.info");
    write(&file, &id("one"), Durability::Process).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[4] = 7;
    let sum = crc32fast::hash(&bytes[..8]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let wanted = format!(
        "checkpoint {} is of version 7, and this program understands versions up to 1: start the program \
         that wrote it, or a newer one",
        file.display()
    );
    assert_eq!(read::<TaskId>(&file).unwrap_err().to_string(), wanted);
    let journal = Journalled::<TaskId>::read(&file);
    assert_eq!(journal.unwrap_err().to_string(), wanted);
}

#[test]
fn what_is_no_file_of_ours_is_told_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    fs::create_dir(place("directory")).unwrap();
    symlink("/dev/zero", place("link")).unwrap();
    symlink("nothing", place("dangling")).unwrap();
    nix::unistd::mkfifo(&place("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(place("socket")).unwrap();
    fs::write(place("empty"), "").unwrap();
    fs::write(place("text"), "[Unit]\nDescription=something else\n").unwrap();
    let long = File::create(place("long")).unwrap();
    long.set_len(1 << 40).unwrap();
    let table = [
        ("directory", Fault::NoFile("a directory")),
        ("link", Fault::NoFile("a link")),
        ("dangling", Fault::NoFile("a link")),
        ("fifo", Fault::NoFile("a fifo")),
        ("socket", Fault::NoFile("a socket")),
        ("empty", Fault::Short),
        ("text", Fault::Foreign),
        ("long", Fault::Long(1 << 40)),
    ];
    for (name, fault) in table {
        let file = place(name);
        assert_eq!(damage_of(read::<TaskId>(&file)).fault, fault, "{name}");
        let mut journal = Journalled::<TaskId>::read(&file).unwrap();
        assert!(journal.records.is_empty());
        let wanted = (name != "empty").then_some(fault);
        assert_eq!(
            journal.damage.as_ref().map(|d| d.fault.clone()),
            wanted,
            "{name}"
        );
        journal.mend(&file).unwrap();
        let (mut journal, _) = journal.resume(&file);
        journal.append(&id("one"), Durability::Process).unwrap();
        let again = Journalled::<TaskId>::read(&file).unwrap();
        assert_eq!((again.records, again.damage), (vec![id("one")], None));
    }
    assert_eq!(
        fs::read_link(place("link.damaged-0")).unwrap(),
        Path::new("/dev/zero")
    );
}

#[test]
fn a_record_that_a_full_disk_cut_off_does_not_stand_in_the_way_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("task.updates");
    let mut journal = Journal::new(&file);
    journal.append(&id("one"), Durability::Process).unwrap();
    let whole = fs::read(&file).unwrap();
    let torn = [
        &whole[..],
        &format::record(b"a long one that is cut", whole.len()).unwrap()[..20],
    ];
    fs::write(&file, torn.concat()).unwrap();
    journal.is_torn();
    journal.append(&id("2"), Durability::Process).unwrap();
    let found = Journalled::<TaskId>::read(&file).unwrap();
    assert_eq!(
        (found.records, found.damage, found.torn),
        (vec![id("one"), id("2")], None, 0)
    );
}

#[test]
fn what_could_not_be_appended_goes_before_what_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let (above, file) = (dir.path().join("x"), dir.path().join("x/task.updates"));
    fs::write(&above, "in the way").unwrap();
    let mut journal = Journal::new(&file);
    for value in ["one", "2"] {
        let kept_off = journal.append(&id(value), Durability::Reboot).unwrap_err();
        assert!(matches!(kept_off, CheckpointError::Write { .. }));
    }
    assert!(journal.is_behind() && journal.catch_up().is_err());
    fs::remove_file(&above).unwrap();
    journal.append(&id("three"), Durability::Process).unwrap();
    assert!(!journal.is_behind());
    let found = Journalled::<TaskId>::read(&file).unwrap();
    assert_eq!(
        (found.records, found.damage, found.torn),
        (vec![id("one"), id("2"), id("three")], None, 0)
    );
}

/// Nobody has anything at the beginning of it, and whoever reads or writes there is told what a disk tells that
/// fails. Source: proc_pid_mem(5).
const FAILING: &str = "/proc/self/mem";

#[test]
fn of_a_disk_that_fails_the_file_the_step_and_the_reason_are_told_and_records_are_kept_in_order() {
    let file = Path::new(FAILING);
    let told = |attempt: &str| {
        format!(
            "cannot {attempt} checkpoint {FAILING} (its disk fails: dmesg says more): Input/output error \
             (os error 5)"
        )
    };
    let chain = |error: CheckpointError| proto::error::chain(&error);
    let reads = [
        read::<TaskId>(file).map(drop),
        Journalled::<TaskId>::read(file).map(drop),
        read_text(file, |_| true).map(drop),
    ];
    for read in reads {
        assert_eq!(chain(read.unwrap_err()), told("read"));
    }
    // It may be whole: nobody takes it for cut short, and puts something else in its place.
    assert!(!is_missing_or_cut_short(file));
    let mut journal = Journal::new(file);
    for value in ["one", "two"] {
        let kept_off = journal.append(&id(value), Durability::Reboot);
        assert_eq!(chain(kept_off.unwrap_err()), told("write"));
    }
    assert!(journal.is_behind());
    assert_eq!(chain(journal.catch_up().unwrap_err()), told("write"));
}

#[test]
fn what_cannot_be_replaced_is_what_it_was_and_nothing_is_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("task.info");
    fs::create_dir(&file).unwrap();
    assert!(write(&file, &id("one"), Durability::Process).is_err());
    assert!(file.is_dir());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn links_and_texts_are_read_as_what_they_should_be_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("latest");
    let is_short = |name: &str| name.len() == 2;
    assert_eq!(read_link(&link, is_short).unwrap(), None);
    relink(&link, Path::new("S0"), Durability::Reboot).unwrap();
    assert_eq!(read_link(&link, is_short).unwrap().as_deref(), Some("S0"));
    relink(&link, Path::new("/etc"), Durability::Process).unwrap();
    let damage = damage_of(read_link(&link, is_short));
    assert_eq!(damage.fault, Fault::Text("/etc".to_owned()));
    remove(&link, Durability::Reboot).unwrap();
    remove(&link, Durability::Process).unwrap();
    fs::create_dir(&link).unwrap();
    assert_eq!(
        damage_of(read_link(&link, is_short)).fault,
        Fault::NoFile("no link")
    );

    let text = dir.path().join("text");
    fs::write(&text, "ok\n").unwrap();
    assert_eq!(read_text(&text, is_short).unwrap().as_deref(), Some("ok"));
    fs::write(&text, [0xff; 500]).unwrap();
    let damage = damage_of(read_text(&text, is_short));
    assert!(matches!(damage.fault, Fault::Text(text) if text.chars().count() == 80));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is in a file: reading ends, says what it is, and changes nothing; and what was mended
    /// is not damaged.
    #[test]
    fn no_bytes_are_too_bad(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        is_ours in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        if is_ours {
            bytes = [&format::header()[..], &bytes].concat();
        }
        fs::write(&file, &bytes).unwrap();
        let _ = read::<TaskId>(&file);
        if let Ok(mut journal) = Journalled::<TaskId>::read(&file) {
            prop_assert_eq!(&fs::read(&file).unwrap(), &bytes);
            let was_damaged = journal.damage.is_some();
            let aside = journal.mend(&file).unwrap();
            prop_assert_eq!(aside.is_some(), was_damaged);
            prop_assert_eq!(Journalled::<TaskId>::read(&file).unwrap().damage, None);
        }
    }
}
