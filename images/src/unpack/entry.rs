//! What an entry of a layer means. Pure.
//!
//! Source: the OCI image specification, layer.md.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

const WHITEOUT: &[u8] = b".wh.";
/// Of aufs, for itself.
const META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Directories above an entry.
const DEPTH: usize = 1000;
const PATH_BYTES: usize = 4096;
const NAME_BYTES: usize = 255;

/// Relative to the layer, of plain names only; empty for the layer itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file, directory, link…
    Thing(PathBuf),
    /// What layers below have of this name is gone.
    Whiteout(PathBuf),
    /// What layers below have in this directory is gone.
    Opaque(PathBuf),
    Ignored,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("its name contains \"..\"")]
    Parent,
    #[error("its name is longer than {PATH_BYTES} bytes, or has more than {DEPTH} directories")]
    Long,
    #[error("it hides nothing that could be named")]
    Whiteout,
}

pub fn entry(name: &Path) -> Result<Entry, BadName> {
    let path = inside(name)?;
    let Some(last) = path.file_name().map(OsStr::as_bytes) else {
        return Ok(Entry::Thing(path));
    };
    // Nobody could name what is in a directory of such a name.
    let above = path.parent().unwrap_or(Path::new(""));
    let is_hidden = above
        .iter()
        .any(|name| name.as_bytes().starts_with(WHITEOUT));
    if is_hidden {
        return match above.iter().any(|name| name.as_bytes().starts_with(META)) {
            true => Ok(Entry::Ignored),
            false => Err(BadName::Whiteout),
        };
    }
    if last == OPAQUE {
        return Ok(Entry::Opaque(above.to_owned()));
    }
    if last.starts_with(META) {
        return Ok(Entry::Ignored);
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(Entry::Thing(path)),
        Some(b"" | b"." | b"..") => Err(BadName::Whiteout),
        Some(hidden) => Ok(Entry::Whiteout(above.join(OsStr::from_bytes(hidden)))),
    }
}

/// A path of the container, as one below the layer.
pub fn inside(name: &Path) -> Result<PathBuf, BadName> {
    if name.as_os_str().len() > PATH_BYTES {
        return Err(BadName::Long);
    }
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(name) if name.len() > NAME_BYTES => return Err(BadName::Long),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(BadName::Parent),
        }
    }
    match path.components().count() {
        deep if deep > DEPTH => Err(BadName::Long),
        _ => Ok(path),
    }
}

/// What becomes of an extended attribute.
#[derive(Debug, PartialEq, Eq)]
pub enum Attribute {
    Kept(OsString),
    /// Of another host's policies, or of none here.
    Dropped,
    /// It would tell the kernel how layers are stacked.
    Refused,
}

pub fn attribute(name: &str) -> Attribute {
    let overlays = ["trusted.overlay.", "user.overlay."];
    match name {
        name if overlays.iter().any(|start| name.starts_with(start)) => Attribute::Refused,
        "security.capability" => Attribute::Kept(name.into()),
        name if name.starts_with("user.") && name.len() <= NAME_BYTES => {
            Attribute::Kept(name.into())
        }
        _ => Attribute::Dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_things_or_hide_those_of_layers_below() {
        let thing = |path: &str| Ok(Entry::Thing(path.into()));
        let whiteout = |path: &str| Ok(Entry::Whiteout(path.into()));
        let opaque = |path: &str| Ok(Entry::Opaque(path.into()));
        for (name, means) in [
            ("./", thing("")),
            ("/", thing("")),
            ("etc/passwd", thing("etc/passwd")),
            ("/etc//./passwd/", thing("etc/passwd")),
            ("a/.wh.b", whiteout("a/b")),
            (".wh.b", whiteout("b")),
            ("a/.wh..b", whiteout("a/.b")),
            ("a/.wh..wh..opq", opaque("a")),
            (".wh..wh..opq", opaque("")),
            (".wh..wh.plnk", Ok(Entry::Ignored)),
            (".wh..wh.plnk/1.2", Ok(Entry::Ignored)),
            ("a/.wh.", Err(BadName::Whiteout)),
            ("a/.wh..", Err(BadName::Whiteout)),
            ("a/.wh...", Err(BadName::Whiteout)),
            ("a/.wh.b/c", Err(BadName::Whiteout)),
            ("../x", Err(BadName::Parent)),
            ("a/../../x", Err(BadName::Parent)),
            ("a/..", Err(BadName::Parent)),
        ] {
            assert_eq!(entry(Path::new(name)), means, "{name}");
        }
        assert_eq!(entry(Path::new(&"x/".repeat(2049))), Err(BadName::Long));
        assert_eq!(entry(Path::new(&"x/".repeat(1001))), Err(BadName::Long));
        assert_eq!(entry(Path::new(&"x".repeat(256))), Err(BadName::Long));
    }

    #[test]
    fn attributes_of_the_overlay_are_refused_and_others_are_listed() {
        for (name, means) in [
            ("user.note", Attribute::Kept("user.note".into())),
            (
                "security.capability",
                Attribute::Kept("security.capability".into()),
            ),
            ("security.selinux", Attribute::Dropped),
            ("system.posix_acl_access", Attribute::Dropped),
            ("trusted.x", Attribute::Dropped),
            ("trusted.overlay.opaque", Attribute::Refused),
            ("trusted.overlay.redirect", Attribute::Refused),
            ("user.overlay.metacopy", Attribute::Refused),
        ] {
            assert_eq!(attribute(name), means, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_leads_out_or_to_what_hides(name in "[./wha]{0,24}") {
            if let Ok(Entry::Thing(path) | Entry::Whiteout(path) | Entry::Opaque(path)) = entry(Path::new(&name)) {
                for part in path.components() {
                    let Component::Normal(_) = part else { panic!("{path:?}") };
                }
            }
        }
    }
}
