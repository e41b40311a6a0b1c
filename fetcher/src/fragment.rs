//! What a URI says at its end of what shall become of it: `#sha256:…`, and `#unpacked`.

use crate::checksum::{BadChecksum, Checksum};

/// The cache keeps what an archive unpacks to, instead of the archive.
const UNPACKED: &str = "#unpacked";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Without all of that.
    pub uri: &'a str,
    pub checksum: Option<Checksum>,
    pub unpacked: bool,
}

impl<'a> Wanted<'a> {
    /// In any order.
    pub fn of(text: &'a str) -> Result<Self, BadChecksum> {
        let last = text.strip_suffix(UNPACKED);
        let (rest, checksum) = Checksum::split(last.unwrap_or(text))?;
        let first = rest.strip_suffix(UNPACKED).filter(|_| last.is_none());
        Ok(Self {
            uri: first.unwrap_or(rest),
            checksum,
            unpacked: last.or(first).is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_and_kind_stand_at_the_end_in_any_order() {
        let sum = format!("#sha256:{}", "0a".repeat(32));
        for (text, checked, unpacked) in [
            ("http://h/a.tgz#x".to_owned(), false, false),
            ("http://h/a.tgz#x#unpacked".to_owned(), false, true),
            (format!("http://h/a.tgz#x{sum}"), true, false),
            (format!("http://h/a.tgz#x{sum}#unpacked"), true, true),
            (format!("http://h/a.tgz#x#unpacked{sum}"), true, true),
        ] {
            let wanted = Wanted::of(&text).unwrap();
            assert_eq!(wanted.uri, "http://h/a.tgz#x");
            assert_eq!(wanted.checksum.is_some(), checked, "{text}");
            assert_eq!(wanted.unpacked, unpacked, "{text}");
        }
    }
}
