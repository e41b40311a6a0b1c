//! What content is known by: `sha256:…` or `sha512:…`.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Algorithm, Context, SHA256, SHA512};

/// Of content that is checked against it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no digest: it must be \"sha256:\" with 64, or \"sha512:\" with 128 digits from 0 to 9 and \
     a to f"
)]
pub struct BadDigest(pub String);

const ALGORITHMS: &[(&str, &Algorithm)] = &[("sha256", &SHA256), ("sha512", &SHA512)];

impl Digest {
    /// Of content that is there.
    pub fn of(content: &[u8]) -> Digest {
        let mut verifier = Verifier::new("sha256");
        verifier.update(content);
        verifier.digest()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(name, _)| name)
    }

    /// Safe as one component of a path.
    pub fn file_name(&self) -> String {
        self.0.replace(':', "-")
    }

    pub fn from_file_name(name: &str) -> Option<Digest> {
        name.replacen('-', ":", 1).parse().ok()
    }

    /// Of content that comes piece by piece and is to have this one.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(self.algorithm())
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Digest, BadDigest> {
        let known = ALGORITHMS.iter().any(|(name, algorithm)| {
            let hex = text.strip_prefix(name).and_then(|it| it.strip_prefix(':'));
            hex.is_some_and(|hex| {
                hex.len() == algorithm.output_len() * 2
                    && hex
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            })
        });
        match known {
            true => Ok(Digest(text.to_owned())),
            false => Err(BadDigest(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Digest, BadDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content that comes piece by piece.
#[derive(Clone)]
pub struct Verifier {
    name: &'static str,
    context: Context,
}

impl Verifier {
    pub fn new(algorithm: &str) -> Verifier {
        let known = ALGORITHMS.iter().find(|(name, _)| *name == algorithm);
        let (name, algorithm) = known.copied().unwrap_or(("sha256", &SHA256));
        Verifier {
            name,
            context: Context::new(algorithm),
        }
    }

    pub fn update(&mut self, piece: &[u8]) {
        self.context.update(piece);
    }

    /// Of the content so far.
    pub fn digest(&self) -> Digest {
        let digest = self.context.clone().finish();
        let hex: String = (digest.as_ref().iter())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Digest(format!("{}:{hex}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn content_is_known_by_its_digest_however_it_comes() {
        let wanted: Digest = HELLO.parse().unwrap();
        let mut verifier = wanted.verifier();
        verifier.update(b"hel");
        assert_ne!(verifier.digest(), wanted);
        verifier.update(b"lo");
        assert_eq!(verifier.digest(), wanted);
        assert_eq!(Digest::of(b"hello"), wanted);
        assert_eq!(Digest::from_file_name(&wanted.file_name()), Some(wanted));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in [
            "",
            "sha256:",
            "sha256",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &HELLO[1..],
            &HELLO[..HELLO.len() - 1],
            &HELLO.to_uppercase(),
            &HELLO.replace('2', "/"),
            &HELLO.replace("sha256", "sha512"),
            &format!("{HELLO}0"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
