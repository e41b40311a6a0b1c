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

/// What is an archive by its nature, and is used as the one file that it is. Marathon forces the extraction of
/// whatever an app does not say otherwise of, and nobody means these.
#[rustfmt::skip]
const USED_WHOLE: &[&str] = &[
    // Programs and libraries.
    "jar", "war", "ear", "par", "aar", "apk", "ipa", "hpi", "jmod", "whl", "egg", "pyz", "pex", "gem", "crate", "nupkg",
    "vsix", "xpi", "crx", "phar", "conda", "deb", "rpm", "ova",
    // Documents and data.
    "docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "kmz", "npz", "pt", "pth", "ckpt", "keras", "mlmodel", "sqfs",
];

/// By the name alone, as Mesos does: of any other file it is only said that it is none.
pub fn unpacking(target: &InnerPath) -> Then {
    let name = target.name().to_string_lossy();
    let found = SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix));
    match found.map(|(_, kind)| kind) {
        None => Then::KeepWithWarning,
        Some(Suffix::Archive(format)) => Then::Unpack(*format),
        // Nothing would be left of a file that is only called ".gz".
        Some(Suffix::Compressed(codec)) => target
            .without_extension()
            .map_or(Then::KeepWithWarning, |to| Then::Decompress(*codec, to)),
    }
}

/// By the name, and where that is not an archive's, by the content.
pub fn forced(target: &InnerPath) -> Then {
    let by_name = unpacking(target);
    let name = target.name().to_string_lossy();
    // A query belongs to the name.
    let plain = name.split('?').next().unwrap_or_default();
    let ending = plain
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let is_whole = ending.is_some_and(|ending| USED_WHOLE.contains(&ending.as_str()));
    match by_name {
        Then::KeepWithWarning if !is_whole => Then::Recognise,
        other => other,
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
            ("get", Then::KeepWithWarning),
            ("a.tgz?x=1", Then::KeepWithWarning),
            ("a.sh", Then::KeepWithWarning),
        ] {
            assert_eq!(unpacking(&inner(name)), then, "{name}");
        }
    }

    #[test]
    fn where_extraction_is_forced_the_content_decides_of_what_no_suffix_tells() {
        for name in [
            "get",
            "get?id=7",
            "app-1.2",
            "a.TGZ",
            "a.tgz?x=1",
            "a.bin",
            "a.sh",
            ".gz",
        ] {
            assert_eq!(forced(&inner(name)), Then::Recognise, "{name}");
        }
        for name in ["a.jar", "A.WAR", "x.whl?token=1", "model.pt"] {
            assert_eq!(forced(&inner(name)), Then::KeepWithWarning, "{name}");
        }
        for name in ["a.tar", "a.tgz", "a.zip", "a.txt.gz"] {
            assert_eq!(forced(&inner(name)), unpacking(&inner(name)), "{name}");
        }
    }
}
