//! Layers through the real child, as root: the example `unpack-child`, which Cargo builds beside the tests.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use images::{Compression, Digest, UnpackError, Unpacked, unpack};

fn helper() -> Vec<String> {
    let tests = std::env::current_exe().expect("a path");
    let built = tests.parent().and_then(Path::parent).expect("a directory");
    let helper = built.join("examples/unpack-child");
    vec![helper.to_str().expect("text").to_owned()]
}

fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o4711);
    header.set_uid(4_000_000_000);
    header.set_gid(1234);
    header.set_size(5);
    tar.append_data(&mut header.clone(), "bin/x", &b"hello"[..])
        .expect("appends");
    header.set_size(0);
    tar.append_data(&mut header, "bin/.wh..wh..opq", &[][..])
        .expect("appends");
    tar.into_inner().expect("ends")
}

fn packed(plain: &[u8], compression: Compression) -> File {
    let bytes = match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let fast = flate2::Compression::fast();
            let mut out = flate2::write::GzEncoder::new(Vec::new(), fast);
            out.write_all(plain).expect("writes");
            out.finish().expect("ends")
        }
        Compression::Zstd => {
            let fastest = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(plain, fastest)
        }
    };
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("writes");
    std::io::Seek::rewind(&mut file).expect("rewinds");
    file
}

async fn unpacked(
    blob: File,
    compression: Compression,
    into: &Path,
    wanted: &Digest,
) -> Result<Unpacked, UnpackError> {
    unpack(&helper(), blob, compression, into, 1 << 20, wanted).await
}

#[tokio::test]
async fn root_files_keep_their_owners_however_a_layer_is_packed() {
    let plain = layer();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let directory = tempfile::tempdir().expect("a directory");
        let blob = packed(&plain, compression);
        let found = unpacked(blob, compression, directory.path(), &Digest::of(&plain)).await;
        assert_eq!(found.expect("unpacks").bytes, 5, "{compression:?}");
        let x = directory.path().join("bin/x").metadata().expect("is there");
        assert_eq!(
            (x.uid(), x.gid(), x.mode() & 0o7777),
            (4_000_000_000, 1234, 0o4711)
        );
        let bin = File::open(directory.path().join("bin")).expect("opens");
        let mut mark = [0_u8; 2];
        let length = rustix::fs::fgetxattr(&bin, "trusted.overlay.opaque", &mut mark);
        assert_eq!((length, mark[0]), (Ok(1), b'y'));
    }
}

#[tokio::test]
async fn root_a_layer_that_is_not_what_the_image_says_is_refused() {
    let plain = layer();
    let directory = tempfile::tempdir().expect("a directory");
    let blob = packed(&plain, Compression::Gzip);
    let other = Digest::of(b"other");
    let error = unpacked(blob, Compression::Gzip, directory.path(), &other).await;
    let error = error.expect_err("refused").to_string();
    assert!(error.contains(other.as_str()), "{error}");
    // Packed otherwise than it is said to be.
    let blob = packed(&plain, Compression::Zstd);
    let error = unpacked(
        blob,
        Compression::Gzip,
        directory.path(),
        &Digest::of(&plain),
    )
    .await;
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("the layer is damaged"), "{error}");
}
