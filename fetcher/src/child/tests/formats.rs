//! Every format, from a file of this host into a sandbox.

use super::*;

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

type Compress = fn(&[u8]) -> Vec<u8>;
const CODECS: &[(&str, Compress)] = &[("gz", gzip), ("bz2", bzip2), ("xz", xz), ("zst", zstd)];

#[tokio::test]
async fn a_compressed_tar_is_unpacked_whatever_compressed_it() {
    let archive = tarball(&[entry("bin/run", EntryType::Regular, "", b"run")]);
    for (suffix, compress) in CODECS {
        let name = format!("app.tar.{suffix}");
        let fetched = fetch_bytes(&name, &compress(&archive), Limits::default()).await;
        assert_eq!(fetched.outcome, Ok(()), "{name}: {}", fetched.log);
        assert_eq!(fetched.file("bin/run"), "run", "{name}");
    }
}

#[tokio::test]
async fn a_compressed_file_is_decompressed_next_to_itself() {
    for (suffix, compress) in CODECS {
        let name = format!("data.txt.{suffix}");
        let fetched = fetch_bytes(&name, &compress(b"hello"), Limits::default()).await;
        assert_eq!(fetched.outcome, Ok(()), "{name}: {}", fetched.log);
        assert_eq!(fetched.names(), ["data.txt", &name]);
        assert_eq!(fetched.file("data.txt"), "hello");
    }
}

/// What comes last is a stream's own checksum, which the archive in it does not need.
#[tokio::test]
async fn a_stream_whose_end_is_missing_or_wrong_is_damaged() {
    let archive = tarball(&[entry("x", EntryType::Regular, "", b"x")]);
    for (suffix, compress) in CODECS {
        let good = compress(&archive);
        let short = good[..good.len() - 1].to_vec();
        let mut flipped = good.clone();
        // The last byte of bzip2's may be padding.
        flipped[good.len() - 3] ^= 0x40;
        for bad in [short, flipped] {
            let fetched = fetch_bytes(&format!("a.tar.{suffix}"), &bad, Limits::default()).await;
            let failure = fetched.outcome.as_ref().err();
            let damaged = failure.is_some_and(|failure| failure.contains("it is damaged"));
            assert!(damaged, "{suffix}, {} bytes: {failure:?}", bad.len());
            assert!(fetched.names().is_empty(), "{suffix}");
        }
    }
}

#[tokio::test]
async fn a_zip_may_be_compressed_in_any_of_the_ways_that_others_write() {
    use zip::CompressionMethod as Method;
    for method in [Method::Stored, Method::Deflated, Method::Bzip2] {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(method)
            .large_file(true);
        zip.start_file("x", options).unwrap();
        zip.write_all(b"content").unwrap();
        let archive = zip.finish().unwrap().into_inner();
        let fetched = fetch_bytes("app.zip", &archive, Limits::default()).await;
        assert_eq!(fetched.outcome, Ok(()), "{method}: {}", fetched.log);
        assert_eq!(fetched.file("x"), "content");
    }
}

#[tokio::test]
async fn an_archive_is_known_by_its_content_where_extraction_is_forced() {
    let archive = tarball(&[entry("bin/run", EntryType::Regular, "", b"run")]);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("bin/run", options).unwrap();
    zip.write_all(b"run").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let compressed = CODECS.iter().map(|(_, compress)| compress(&archive));
    let names = ["get?id=7", "app-1.2", "APP.TGZ", "app.bin"];
    for (bytes, name) in compressed
        .chain([archive.clone(), zip.clone()])
        .zip(names.iter().cycle())
    {
        let fetched = fetch_bytes(name, &bytes, Limits::default()).await;
        assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
        assert_eq!(fetched.file("bin/run"), "run", "{name}");
    }
    let no_archive = [&b"text"[..], b"", b"BZh", b"\x1f\x8b\x08", &gzip(b"text")];
    let plain = no_archive.iter().map(|bytes| ("get", *bytes));
    for (name, bytes) in plain.chain([("a.jar", &zip[..])]) {
        let fetched = fetch_bytes(name, bytes, Limits::default()).await;
        assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
        assert_eq!(fetched.names(), [name]);
        assert!(fetched.log.contains("does not seem to be an archive"));
    }
}

#[tokio::test]
async fn where_extraction_is_not_forced_the_name_alone_tells() {
    let archive = tarball(&[entry("run", EntryType::Regular, "", b"run")]);
    let (never, unset) = (Some(false), None);
    for (name, extract, unpacks) in [
        ("a.tar", unset, true),
        ("get", unset, false),
        ("a-1.2", unset, false),
        ("a.tar", never, false),
        ("get", never, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, &archive).unwrap();
        let value = path.to_str().unwrap();
        let fetched = fetch_uri(Uri {
            extract,
            ..uri(value)
        })
        .await;
        assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
        assert_eq!(fetched.names().len(), 1 + usize::from(unpacks), "{name}");
        let warned = fetched.log.contains("does not seem to be an archive");
        assert_eq!(warned, extract == unset && !unpacks, "{name}");
    }
}

/// A zip with one entry that says to be compressed by zstd (93); no crate here writes them.
fn zip_of_zstd(content: &[u8], checksum: u32) -> Vec<u8> {
    let packed = zstd(content);
    let sizes = [packed.len() as u32, content.len() as u32]
        .map(u32::to_le_bytes)
        .concat();
    let common = [
        &[20, 0, 0, 0, 93, 0, 0, 0, 0, 0][..],
        &checksum.to_le_bytes(),
        &sizes,
    ]
    .concat();
    let local = [b"PK\x03\x04", &common[..], &[1, 0, 0, 0], b"x", &packed].concat();
    let central = [
        b"PK\x01\x02",
        &[20, 3][..],
        &common,
        &[1, 0],
        &[0; 16],
        b"x",
    ]
    .concat();
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &(central.len() as u32).to_le_bytes()[..],
        &(local.len() as u32).to_le_bytes(),
        &[0, 0],
    ];
    [local, central, end.concat()].concat()
}

#[tokio::test]
async fn a_zip_may_be_compressed_by_zstd_and_is_checked() {
    let content = b"content content content";
    let checksum = crc32fast::hash(content);
    let good = zip_of_zstd(content, checksum);
    let fetched = fetch_bytes("app.zip", &good, Limits::default()).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x").as_bytes(), content);
    let bad = zip_of_zstd(content, checksum ^ 1);
    let fetched = fetch_bytes("app.zip", &bad, Limits::default()).await;
    let why = "an entry is not what its header says";
    assert!(fetched.failure().contains(why), "{}", fetched.failure());
}
