//! Downloads and archives that are larger than they may be.

use std::os::unix::fs::MetadataExt;

use super::http::serve;
use super::*;

#[tokio::test]
async fn a_bomb_ends_at_the_limits() {
    let limits = Limits {
        entries: 10,
        header_bytes: 64 << 10,
        trailing_bytes: 64 << 10,
        ..Limits::default()
    };
    let file = |name: &str, size| entry(name, EntryType::Regular, "", &vec![0; size]);
    let many: Vec<_> = (0..11).map(|n| file(&n.to_string(), 0)).collect();
    let large = [file("a", 600 << 10), file("b", 600 << 10)];
    let header = [
        entry("l", EntryType::GNULongName, "", &vec![b'x'; 128 << 10]),
        file("a", 0),
    ];
    for (bytes, why) in [
        (tarball(&many), "more than 10 entries"),
        (tarball(&large), "unpacking takes more than the fetch may"),
        (tarball(&header), "the header of an entry, or what follows"),
        (
            [tarball(&[file("a", 1)]), vec![0; 128 << 10]].concat(),
            "the header of an entry, or what follows",
        ),
    ] {
        let bomb = gzip(&bytes);
        let fetched = fetch_bytes_into("bomb.tgz", &bomb, limits, Some(1 << 20)).await;
        assert!(fetched.failure().contains(why), "{}", fetched.failure());
        assert!(fetched.names().is_empty());
    }
}

/// A GNU sparse file of 3 GiB that holds nothing: a header, and no data.
fn sparse() -> Vec<u8> {
    let octal = |number: u64| format!("{number:011o} ");
    let size = 3_u64 << 30;
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(0);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.name[..6].copy_from_slice(b"sparse");
        gnu.sparse[0].offset.copy_from_slice(octal(size).as_bytes());
        gnu.sparse[0].numbytes.copy_from_slice(octal(0).as_bytes());
        gnu.realsize.copy_from_slice(octal(size).as_bytes());
    }
    header.set_cksum();
    tarball(&[header.as_bytes().to_vec()])
}

#[tokio::test]
async fn a_sparse_file_becomes_a_hole_of_its_size() {
    let fetched = fetch_bytes("app.tar", &sparse(), Limits::default()).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    let file = fetched.sandbox.path().join("sparse").metadata().unwrap();
    assert_eq!(file.len(), 3 << 30);
    assert!(file.blocks() * 512 < 1 << 20, "{} blocks", file.blocks());
}

#[tokio::test]
async fn a_sparse_file_counts_with_the_size_that_it_can_grow_to() {
    let disk = Some(1 << 30);
    let fetched = fetch_bytes_into("app.tar", &sparse(), Limits::default(), disk).await;
    assert!(
        fetched
            .failure()
            .contains("of 1073741824, which is the task's disk"),
        "{}",
        fetched.failure()
    );
    assert!(fetched.names().is_empty());
}

/// The records that end an archive of a million entries, without the entries.
#[tokio::test]
async fn a_zip_of_too_many_entries_is_refused_by_what_it_announces() {
    for (entries, size, why) in [
        (
            1_000_000_u64,
            1_u64 << 20,
            "it holds more than 250000 entries",
        ),
        (
            1000,
            1 << 30,
            "its list of entries is larger than 67108864 bytes",
        ),
    ] {
        let mut archive = b"PK\x06\x06".to_vec();
        archive.extend([&44_u64.to_le_bytes()[..], &[0; 12]].concat());
        for number in [entries, entries, size, 0] {
            archive.extend(number.to_le_bytes());
        }
        archive.extend([&b"PK\x06\x07"[..], &[0; 12], &1_u32.to_le_bytes()].concat());
        archive.extend([&b"PK\x05\x06"[..], &[0; 4], &[0xff; 12], &[0; 2]].concat());
        let fetched = fetch_bytes("app.zip", &archive, Limits::default()).await;
        assert!(fetched.failure().ends_with(why), "{}", fetched.failure());
    }
}

#[tokio::test]
async fn a_download_is_refused_when_it_announces_or_sends_too_much() {
    let server = serve().await;
    for (path, text) in [
        (
            "large",
            "it needs at least 5000 bytes, and 4000 are left of 4000",
        ),
        ("endless", "are left of 4000"),
    ] {
        let url = uri(format!("http://{server}/{path}"));
        let fetched = fetch_within(url, Limits::default(), Some(4000)).await;
        let failure = fetched.failure();
        assert!(failure.contains("the file is too large: "), "{failure}");
        assert!(failure.contains(text), "{failure}");
        assert!(
            failure.ends_with("give the task more disk, or fetch less"),
            "{failure}"
        );
        assert!(fetched.names().is_empty());
    }
    let copied = fetch_bytes_into("x", &[0; 5000], Limits::default(), Some(4000)).await;
    assert!(copied.failure().contains("at least 5000 bytes"));
}

#[tokio::test]
async fn the_archive_and_its_content_share_the_limit() {
    let archive = tarball(&[entry("x", EntryType::Regular, "", &[b'x'; 3000])]);
    let together = archive.len() as u64 + 3000;
    for (disk, fits) in [(together, true), (together - 1, false)] {
        let fetched = fetch_bytes_into("a.tar", &archive, Limits::default(), Some(disk)).await;
        assert_eq!(fetched.outcome.is_ok(), fits, "{:?}", fetched.outcome);
    }
}

#[tokio::test]
async fn what_becomes_thousands_of_times_its_size_is_a_bomb_whatever_it_is_in() {
    let limits = Limits {
        ratio: 50,
        ratio_from: 1 << 20,
        ..Limits::default()
    };
    let zeros = tarball(&[entry("a", EntryType::Regular, "", &vec![0; 2 << 20])]);
    for (name, bytes) in [("a.tgz", gzip(&zeros)), ("a.gz", gzip(&zeros))] {
        let fetched = fetch_bytes(name, &bytes, limits).await;
        let why = "cannot unpack it: it unpacks to more than 50 times its size: check that it is what it should \
                   be, and pack empty data as holes of a plain .tar";
        assert!(fetched.failure().ends_with(why), "{}", fetched.failure());
        assert!(fetched.names().is_empty());
    }
    // Nothing is compressed in this one.
    let fetched = fetch_bytes("a.tar", &zeros, limits).await;
    assert_eq!(fetched.outcome, Ok(()));
}

#[tokio::test]
async fn what_lies_too_deep_is_refused_and_what_lies_less_deep_is_not() {
    let limits = Limits {
        depth: 3,
        ..Limits::default()
    };
    let at = |name: &str| tarball(&[entry(name, EntryType::Regular, "", b"x")]);
    let fetched = fetch_bytes("a.tar", &at("a/b/c/x"), limits).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("a/b/c/d/x", options).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    for (name, bytes) in [("a.tar", at("a/b/c/d/x")), ("a.zip", zip)] {
        let fetched = fetch_bytes(name, &bytes, limits).await;
        let failure = fetched.failure();
        let why = "cannot unpack it: an entry has more than 3 directories above it";
        assert!(failure.ends_with(why), "{failure}");
        assert!(fetched.names().is_empty());
    }
}
