//! What a URI says its content must be: `#sha256:…` or `#sha512:…` at its end.

use std::fmt;

use ring::digest::{Algorithm, Context, Digest, SHA256, SHA512};

#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: &'static Algorithm,
    name: &'static str,
    digest: Vec<u8>,
}

const ALGORITHMS: &[(&str, &Algorithm)] = &[("sha256", &SHA256), ("sha512", &SHA512)];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its checksum is not {digits} hexadecimal digits after \"#{name}:\"")]
pub struct BadChecksum {
    name: &'static str,
    digits: usize,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its content is not what the URI's checksum says: expected {expected}, got {found}; check the \
     file on the server, and the checksum"
)]
pub struct WrongContent {
    expected: String,
    found: String,
}

impl Checksum {
    /// The URI without its checksum, and that. Any other fragment is part of the URI.
    pub fn split(uri: &str) -> Result<(&str, Option<Self>), BadChecksum> {
        let Some((rest, fragment)) = uri.rsplit_once('#') else {
            return Ok((uri, None));
        };
        let named = ALGORITHMS.iter().find_map(|(name, algorithm)| {
            let hex = fragment.strip_prefix(name)?.strip_prefix([':', '='])?;
            Some((*name, *algorithm, hex))
        });
        let Some((name, algorithm, hex)) = named else {
            return Ok((uri, None));
        };
        let digits = algorithm.output_len() * 2;
        let digest = bytes(hex).filter(|digest| digest.len() * 2 == digits);
        let digest = digest.ok_or(BadChecksum { name, digits })?;
        let checksum = Self {
            algorithm,
            name,
            digest,
        };
        Ok((rest, Some(checksum)))
    }

    /// Of content with this checksum in the cache.
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.name, hex(&self.digest))
    }

    pub fn check(&self, content: &Hasher) -> Result<(), WrongContent> {
        let found = content.digest();
        if found.as_ref() == self.digest {
            return Ok(());
        }
        Err(WrongContent {
            expected: self.to_string(),
            found: format!("{}:{}", self.name, hex(found.as_ref())),
        })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, hex(&self.digest))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Of content that comes piece by piece.
#[derive(Clone)]
pub struct Hasher(Context);

impl Hasher {
    /// The algorithm of `checksum`, or that by which content is known where there is none.
    pub fn new(checksum: Option<&Checksum>) -> Self {
        Self(Context::new(checksum.map_or(&SHA256, |it| it.algorithm)))
    }

    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of the content so far in the cache.
    pub fn file_name(&self) -> String {
        let same = |(_, algorithm): &&(&str, &Algorithm)| *algorithm == self.0.algorithm();
        let name = ALGORITHMS.iter().find(same).map_or("", |(name, _)| *name);
        format!("{name}-{}", hex(self.digest().as_ref()))
    }

    fn digest(&self) -> Digest {
        self.0.clone().finish()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let pairs = digits?;
    let whole = pairs.len().is_multiple_of(2);
    whole.then(|| pairs.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_checksum_is_taken_off_the_end_of_a_uri_and_nothing_else_is() {
        let (rest, checksum) = Checksum::split(&format!("http://h/a#x#sha256:{HELLO}"))
            .map(|(rest, checksum)| (rest.to_owned(), checksum.unwrap()))
            .unwrap();
        assert_eq!(rest, "http://h/a#x");
        assert_eq!(checksum.to_string(), format!("sha256:{HELLO}"));
        for plain in [
            "http://h/a",
            "http://h/a#part",
            "/opt/a#b",
            "/opt/a#sha2567",
        ] {
            assert_eq!(Checksum::split(plain), Ok((plain, None)));
        }
    }

    #[test]
    fn a_checksum_that_is_none_is_refused() {
        for hex in ["", "12", &HELLO[1..], &HELLO.replace('2', "g")] {
            let error = Checksum::split(&format!("/a#sha256={hex}")).unwrap_err();
            assert_eq!(
                error.to_string(),
                "its checksum is not 64 hexadecimal digits after \"#sha256:\""
            );
        }
    }

    #[test]
    fn content_is_checked_however_it_comes() {
        let uri = format!("/a#sha256:{}", HELLO.to_uppercase());
        let checksum = Checksum::split(&uri).unwrap().1.unwrap();
        let mut content = Hasher::new(Some(&checksum));
        content.update(b"hel");
        assert!(checksum.check(&content).is_err());
        content.update(b"lo");
        assert_eq!(checksum.check(&content), Ok(()));
    }
}
