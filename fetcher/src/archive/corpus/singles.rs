//! Single files that are compressed.

use super::Verdict::{Refused, Safe, Unpacked};
use super::*;
use crate::archive::codec::tests::encode;

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd];
const EACH: usize = 8;

pub fn cases() -> Vec<Case> {
    CODECS.into_iter().flat_map(of).collect()
}

fn of(codec: Codec) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>, verdict| {
        cases.push(Case {
            name: format!("{codec:?}: {what}"),
            kind: Kind::File(codec),
            bytes,
            verdict,
        });
    };
    let text: Vec<u8> = (0..3000_u32)
        .map(|at| b'a' + (at * at % 23) as u8)
        .collect();
    let good = encode(codec, &text);
    add("whole", good.clone(), Unpacked);
    add("twice", good.repeat(2), Unpacked);
    add("of nothing", encode(codec, b""), Unpacked);
    add("nothing", Vec::new(), Refused);
    add("something else", b"<html></html>".to_vec(), Refused);
    add("bomb", encode(codec, &vec![0; 8 << 20]), Refused);
    let streams = encode(codec, &vec![0; 1 << 20]).repeat(8);
    add("bomb of several streams", streams, Refused);
    let other = match codec {
        Codec::Gzip => Codec::Xz,
        Codec::Bzip2 | Codec::Xz | Codec::Zstd => Codec::Gzip,
    };
    add("of another kind", encode(other, &text), Refused);
    add("with something behind", [&good[..], b"more"].concat(), Safe);
    for n in 1..=EACH {
        let at = good.len() * n / (EACH + 1);
        add(&format!("cut at {at}"), good[..at].to_vec(), Refused);
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (n % 8);
        add(&format!("with a flipped bit at {at}"), flipped, Safe);
    }
    cases
}
