//! What a file's name says about its content.

use crate::archive::Codec;
use crate::beneath::InnerPath;
use crate::plan::Then;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Tar(Option<Codec>),
    Zip,
}

impl Format {
    /// In names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar(None) => "tar",
            Self::Tar(Some(Codec::Gzip)) => "tgz",
            Self::Tar(Some(Codec::Bzip2)) => "tbz2",
            Self::Tar(Some(Codec::Xz)) => "txz",
            Self::Tar(Some(Codec::Zstd)) => "tzst",
            Self::Zip => "zip",
        }
    }
}

enum Suffix {
    Archive(Format),
    Compressed(Codec),
}

/// First match wins, so a suffix stands before its own ending. Mesos knows the first three lines and `.gz`.
#[rustfmt::skip]
const SUFFIXES: &[(&str, Suffix)] = &[
    (".tar", Suffix::Archive(Format::Tar(None))), (".zip", Suffix::Archive(Format::Zip)),
    (".tar.gz", tar(Codec::Gzip)), (".tgz", tar(Codec::Gzip)),
    (".tar.bz2", tar(Codec::Bzip2)), (".tbz2", tar(Codec::Bzip2)), (".tar.xz", tar(Codec::Xz)), (".txz", tar(Codec::Xz)),
    (".tbz", tar(Codec::Bzip2)), (".tar.zst", tar(Codec::Zstd)), (".tzst", tar(Codec::Zstd)),
    (".gz", Suffix::Compressed(Codec::Gzip)), (".bz2", Suffix::Compressed(Codec::Bzip2)),
    (".xz", Suffix::Compressed(Codec::Xz)), (".zst", Suffix::Compressed(Codec::Zstd)),
];

const fn tar(codec: Codec) -> Suffix {
    Suffix::Archive(Format::Tar(Some(codec)))
}

pub fn unpacking(target: &InnerPath) -> Then {
    let name = target.name().to_string_lossy();
    let found = SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix));
    match found.map(|(_, kind)| kind) {
        // Any suffix says what a file is: what people call .jar or .whl is not to be unpacked.
        None if !name.contains('.') => Then::Recognise,
        None => Then::KeepWithWarning,
        Some(Suffix::Archive(format)) => Then::Unpack(*format),
        // Nothing would be left of a file that is only called ".gz".
        Some(Suffix::Compressed(codec)) => target
            .without_extension()
            .map_or(Then::KeepWithWarning, |to| Then::Decompress(*codec, to)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn inner(path: &str) -> InnerPath {
        InnerPath::parse(Path::new(path)).unwrap()
    }

    #[test]
    fn the_suffix_decides_what_happens_to_the_file() {
        let tar = |codec| Then::Unpack(Format::Tar(Some(codec)));
        let single = |codec| Then::Decompress(codec, inner("a.txt"));
        for (name, then) in [
            ("a.tar", Then::Unpack(Format::Tar(None))),
            ("a.tar.gz", tar(Codec::Gzip)),
            ("a.tgz", tar(Codec::Gzip)),
            ("a.tar.bz2", tar(Codec::Bzip2)),
            ("a.tbz2", tar(Codec::Bzip2)),
            ("a.tar.xz", tar(Codec::Xz)),
            ("a.txz", tar(Codec::Xz)),
            ("a.tar.zst", tar(Codec::Zstd)),
            ("a.zip", Then::Unpack(Format::Zip)),
            ("a.txt.gz", single(Codec::Gzip)),
            ("a.txt.bz2", single(Codec::Bzip2)),
            ("a.txt.xz", single(Codec::Xz)),
            ("a.txt.zst", single(Codec::Zstd)),
            (".gz", Then::KeepWithWarning),
            ("a.TGZ", Then::KeepWithWarning),
            ("a.jar", Then::KeepWithWarning),
            ("get", Then::Recognise),
            ("get?id=7", Then::Recognise),
            ("a.tgz?x=1", Then::KeepWithWarning),
            ("a.sh", Then::KeepWithWarning),
        ] {
            assert_eq!(unpacking(&inner(name)), then, "{name}");
        }
    }
}
