//! A JSON object with a checksum in it, as its last member: whoever reads JSON reads it, and leaves that out.

/// `{…,"crc32":"` and eight hexadecimal digits; the sum is of all before the comma.
const NAME: &[u8] = b",\"crc32\":\"";
const END: &[u8] = b"\"}";

/// `object` as a serializer writes one that is not empty.
pub fn seal(mut object: Vec<u8>) -> Vec<u8> {
    // Its closing brace.
    object.pop();
    let sum = crc32fast::hash(&object);
    object.extend_from_slice(NAME);
    object.extend_from_slice(format!("{sum:08x}").as_bytes());
    object.extend_from_slice(END);
    object
}

/// Whether it has a checksum, be that right or not.
pub fn is_sealed(bytes: &[u8]) -> bool {
    split(bytes).is_some_and(|(_, end)| end.starts_with(NAME) && end.ends_with(END))
}

/// Whether all of it is as it was sealed.
pub fn is_whole(sealed: &[u8]) -> bool {
    split(sealed).is_some_and(|(object, end)| {
        let sum = format!("{:08x}", crc32fast::hash(object));
        end == [NAME, sum.as_bytes(), END].concat()
    })
}

/// What has been sealed, and the seal.
fn split(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    const SUM: usize = 8;
    let length = NAME.len() + SUM + END.len();
    sealed.split_at_checked(sealed.len().checked_sub(length)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Vec<u8> {
        serde_json::to_vec(&json!({"hostname": "n5", "ociVersion": "1.2.0"})).expect("JSON")
    }

    #[test]
    fn what_is_sealed_is_the_same_object_to_whoever_reads_json() {
        let sealed = seal(object());
        let mut read: serde_json::Value = serde_json::from_slice(&sealed).expect("JSON");
        let members = read.as_object_mut().expect("an object");
        assert!(members.remove("crc32").is_some());
        assert_eq!(serde_json::to_vec(&read).expect("JSON"), object());
        assert!(is_whole(&sealed) && is_sealed(&sealed));
    }

    #[test]
    fn every_bit_that_flips_and_every_cut_is_seen() {
        let sealed = seal(object());
        for length in 0..sealed.len() {
            assert!(!is_whole(&sealed[..length]), "{length}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(&bytes), "bit {bit}");
        }
        assert!(!is_whole(&object()) && !is_sealed(&object()));
    }
}
