use std::io::Write as _;

use super::*;

fn encode(bytes: &[u8], level: u32) -> Vec<u8> {
    let level = bzip2::Compression::new(level);
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), level);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    // Pieces that nothing is aligned with.
    let from = io::BufReader::with_capacity(1013, bytes);
    Blocks::new(from)?.read_to_end(&mut out)?;
    Ok(out)
}

/// What `bzip2` itself reads, by one thread.
fn by_one(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    bzip2::bufread::MultiBzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn text(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 27) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn many_blocks_are_read_in_their_order() {
    let text = text(1_000_000);
    for length in [0, 1, 99_000, 100_000, 350_001, 1_000_000] {
        let stream = encode(&text[..length], 1);
        assert!(decode(&stream).unwrap() == text[..length], "{length}");
    }
}

#[test]
fn streams_of_several_levels_follow_each_other() {
    let text = text(500_000);
    let streams = [encode(&text, 1), encode(b"", 5), encode(&text, 9)].concat();
    assert!(decode(&streams).unwrap() == [&text[..], &text].concat());
}

#[test]
fn what_expands_a_thousandfold_comes_piece_by_piece() {
    let zeros = vec![0; 60 << 20];
    assert!(decode(&encode(&zeros, 9)).unwrap() == zeros);
}

#[test]
fn it_reads_what_one_thread_reads_and_refuses_what_that_refuses() {
    let stream = encode(&text(250_000), 1);
    let mut cases = vec![Vec::new(), b"BZh".to_vec(), [&stream[..], b"more"].concat()];
    for at in (0..stream.len()).step_by(stream.len() / 60) {
        cases.push(stream[..at].to_vec());
        let mut flipped = stream.clone();
        flipped[at] ^= 1 << (at % 8);
        cases.push(flipped);
    }
    for (number, case) in cases.iter().enumerate() {
        let (ours, theirs) = (decode(case).ok(), by_one(case).ok());
        assert!(ours == theirs, "case {number}");
    }
}

/// A mark that is none, in the midst of a block. No encoder writes one, so that it is put where the search
/// looks, and where no decoder does: in front of the block's own bits, by cutting the block there.
#[test]
fn a_block_that_was_cut_at_a_false_mark_is_put_together_again() {
    let text = text(90_000);
    let mut bits = Bits::new(io::Cursor::new(encode(&text, 1)));
    let block = bits.block().unwrap().unwrap();
    let (first, rest) = block.cut(1000 * 8 + 3);
    let (again, from) = (rest.clone(), io::Cursor::new(Vec::new()));
    let mut blocks = Blocks::new(from).unwrap();
    blocks.over = true;
    for part in [first, again] {
        let next = blocks.begin(Arc::new(part));
        blocks.under_way.push_back(next);
    }
    let mut out = Vec::new();
    blocks.read_to_end(&mut out).unwrap();
    assert!(out == text);
}

/// The fuzzer found memory of theirs after the end of its program.
#[test]
fn its_threads_end_with_who_reads() {
    let stream = encode(&text(1_000_000), 1);
    let mut blocks = Blocks::new(&stream[..]).unwrap();
    blocks.read_exact(&mut [0]).unwrap();
    let under_way = blocks.under_way.iter().map(|it| Arc::clone(&it.block));
    let under_way: Vec<_> = under_way.collect();
    assert!(!under_way.is_empty());
    drop(blocks);
    assert!(under_way.iter().all(|block| Arc::strong_count(block) == 1));
}
