//! Good archives that were cut short or in which a bit was flipped.

use super::tars;
use super::*;
use crate::archive::codec::Codec;
use crate::archive::codec::tests::encode;

const EACH: usize = 14;

pub fn cases() -> Vec<Case> {
    let tar = [tars::file("a/first"), tars::file("second"), vec![0; 1024]].concat();
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for name in ["a/first", "second"] {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(name, options).unwrap();
        io::Write::write_all(&mut zip, &[b'x'; 300]).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let mut good = vec![(Format::Tar(None), tar.clone()), (Format::Zip, zip)];
    for codec in [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd] {
        good.push((Format::Tar(Some(codec)), encode(codec, &tar)));
    }
    let mut cases = Vec::new();
    for (format, bytes) in good {
        let mut add = |what: String, bytes: Vec<u8>| {
            cases.push(Case {
                name: format!("{format:?} {what}"),
                kind: Kind::Archive(format),
                bytes,
                verdict: Verdict::Safe,
            });
        };
        for n in 1..=EACH {
            let at = bytes.len() * n / (EACH + 1);
            add(format!("cut at {at}"), bytes[..at].to_vec());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (n % 8);
            add(format!("with a flipped bit at {at}"), flipped);
        }
    }
    cases
}
