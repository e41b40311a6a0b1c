use std::io::Write;

use super::super::tests::encode;
use super::super::{Codec, decoder};
use super::*;

fn room() -> Room<'static> {
    Box::new(tempfile::tempfile)
}

fn packed(bytes: &[u8]) -> Packed {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Packed::whole(file).unwrap()
}

fn by_blocks(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    Xz::with_threads_from(packed(bytes), room(), 1).read_to_end(&mut out)?;
    Ok(out)
}

fn by_one(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder(Codec::Xz, bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn text(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        b"abcdefgh \n"[(state >> 33) as usize % 10]
    };
    (0..length).map(|_| next()).collect()
}

/// Blocks that say how long they are, made from streams of one that does not.
fn in_blocks(bytes: &[u8], block: usize) -> Vec<u8> {
    let (mut out, mut records, mut count) = (Vec::new(), Vec::new(), 0);
    let mut first = [0; format::STREAM_HEADER];
    for chunk in bytes.chunks(block) {
        let one = encode(Codec::Xz, chunk);
        first.copy_from_slice(&one[..format::STREAM_HEADER]);
        let (stream, begins) = Stream::begin(&one[..], false).unwrap().unwrap();
        let (begins, size) = (begins as usize, (usize::from(one[12]) + 1) * 4);
        let backward = u32::from_le_bytes(one[one.len() - 8..][..4].try_into().unwrap());
        let index = one.len() - 12 - (backward as usize + 1) * 4;
        let unpadded = format::number(&mut &one[index + 2..]).unwrap() as usize;
        // Before the check, too, there is padding.
        let content = &one[begins + size..begins + unpadded.next_multiple_of(4)];
        let packed = (unpadded - size) as u64 - stream.check();
        // The flags, both lengths, and the one filter of three bytes.
        let mut header = vec![0, 0b1100_0000];
        format::put(packed, &mut header);
        format::put(chunk.len() as u64, &mut header);
        header.extend(&one[begins + 2..][..3]);
        header.resize(header.len().next_multiple_of(4), 0);
        header[0] = (header.len() / 4) as u8;
        header.extend(format::crc(&header));
        let unpadded = header.len() as u64 + packed + stream.check();
        format::put(unpadded, &mut records);
        format::put(chunk.len() as u64, &mut records);
        count += 1;
        out.extend(header);
        out.extend(content);
    }
    [&first[..], &out, &format::end(&first, count, &records)].concat()
}

/// As above, and where its blocks begin.
fn blocks_of(bytes: &[u8]) -> Vec<u64> {
    let packed = packed(bytes);
    let (mut stream, mut at) = Stream::begin(packed.from(0).unwrap(), false)
        .unwrap()
        .unwrap();
    let mut begins = Vec::new();
    while let Head::Block(block) = stream.head(packed.from(at).unwrap()).unwrap() {
        begins.push(at);
        stream.note(&block).unwrap();
        at += block.padded();
    }
    stream.end(packed.from(at).unwrap()).unwrap();
    begins
}

#[test]
fn blocks_are_read_as_one_thread_reads_them() {
    let text = text(700_000);
    let bytes = in_blocks(&text, 100_000);
    assert_eq!(blocks_of(&bytes).len(), 7);
    assert!(by_blocks(&bytes).unwrap() == text);
    assert!(by_one(&bytes).unwrap() == text);
}

#[test]
fn streams_of_all_kinds_follow_each_other() {
    let (large, small) = (text(300_000), text(10));
    let parts = [
        in_blocks(&large, 70_000),
        vec![0; 8],
        encode(Codec::Xz, b""),
        in_blocks(&small, 70_000),
        encode(Codec::Xz, &small),
        in_blocks(&large, 90_000),
        vec![0; 4],
    ];
    let bytes = parts.concat();
    let whole = [&large[..], &small, &small, &large].concat();
    assert!(by_blocks(&bytes).unwrap() == whole);
}

#[test]
fn what_is_cut_short_or_damaged_is_refused_behind_what_came_before() {
    let text = text(400_000);
    let bytes = in_blocks(&text, 100_000);
    for length in [
        0,
        5,
        12,
        13,
        bytes.len() / 2,
        bytes.len() - 13,
        bytes.len() - 1,
    ] {
        assert!(by_blocks(&bytes[..length]).is_err(), "{length}");
    }
    let begins = blocks_of(&bytes);
    let second = begins[1] as usize;
    // Its length, its content, the index and the footer.
    for at in [second + 3, second + 100, bytes.len() - 20, bytes.len() - 5] {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        let mut out = Vec::new();
        let mut decoded = Xz::with_threads_from(packed(&bad), room(), 1);
        decoded.read_to_end(&mut out).unwrap_err();
        assert!(text.starts_with(&out) && out.len() >= 100_000, "{at}");
    }
    let odd = [&bytes[..], &[0; 3]].concat();
    assert!(by_blocks(&odd).is_err());
}

#[test]
fn it_is_decoded_while_it_comes() {
    let text = text(500_000);
    let bytes = in_blocks(&text, 60_000);
    let mut file = tempfile::tempfile().unwrap();
    let (mut growing, growth) = Growing::new();
    let packed = Packed::growing(file.try_clone().unwrap(), growth);
    let reading = thread::spawn(move || {
        let mut out = Vec::new();
        Xz::with_threads_from(packed, room(), 1)
            .read_to_end(&mut out)
            .map(|_| out)
    });
    let mut length = 0;
    for piece in bytes.chunks(1000) {
        file.write_all(piece).unwrap();
        length += piece.len() as u64;
        growing.grew(length);
    }
    growing.finish(length);
    assert!(reading.join().unwrap().unwrap() == text);
}

#[test]
fn without_room_for_files_it_is_read_all_the_same() {
    let text = text(300_000);
    let bytes = in_blocks(&text, 100_000);
    let none: Room<'_> = Box::new(|| Err(io::ErrorKind::Unsupported.into()));
    let mut out = Vec::new();
    let read = Xz::with_threads_from(packed(&bytes), none, 1).read_to_end(&mut out);
    assert!(read.is_ok() && out == text);
}
