use proptest::prelude::*;

use super::*;

#[test]
fn attributes_are_padded_and_nested_as_the_kernel_has_them() {
    let inner = Attributes::default().u8(1, 7);
    let attributes = Attributes::default().text(3, "lo").nest(18, inner);
    let wanted = [
        7, 0, 3, 0, b'l', b'o', 0, 0, 12, 0, 18, 0x80, 5, 0, 1, 0, 7, 0, 0, 0,
    ];
    assert_eq!(attributes.as_bytes(), wanted);
    let found = find(attributes.as_bytes(), 18).expect("it is there");
    assert_eq!(find(found, 1), Some(&[7][..]));
    assert_eq!(
        find(attributes.as_bytes(), 3).map(text).as_deref(),
        Some("lo")
    );
}

#[test]
fn what_is_cut_short_ends_the_list() {
    let whole = Attributes::default().u32(1, 2).u32(3, 4);
    for length in 0..whole.as_bytes().len() {
        let found = parse(&whole.as_bytes()[..length]).count();
        assert_eq!(found, usize::from(length >= 8), "{length}");
    }
}

proptest! {
    #[test]
    fn what_is_put_is_found(values in prop::collection::vec((0_u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)), 0..10)) {
        let all = values.iter().fold(Attributes::default(), |all, (kind, value)| all.bytes(*kind, value));
        let found: Vec<_> = parse(all.as_bytes()).map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(found, values);
    }

    #[test]
    fn no_bytes_confuse_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let attributes = parse(&bytes).count();
        prop_assert!(attributes <= bytes.len() / 4);
        prop_assert!(Reply::parse(&bytes).count() <= bytes.len() / 16);
    }

    #[test]
    fn messages_are_read_as_they_were_written(kind in 4_u16..100, sequence: u32, body in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = Vec::new();
        let message = Message::new(kind, 0, &body, &Attributes::default());
        message.encode(sequence, &mut bytes);
        message.encode(sequence, &mut bytes);
        let read: Vec<_> = Reply::parse(&bytes).map(|it| (it.kind, it.sequence, it.body)).collect();
        prop_assert_eq!(read, vec![(kind, sequence, body.clone()), (kind, sequence, body)]);
    }
}
