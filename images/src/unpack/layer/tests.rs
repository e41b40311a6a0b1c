//! Layers of ours and of people who mean ill, into a directory. As whoever runs the tests: owners are its own.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

use tar::{Builder, Header};

use super::*;

const PLENTY: u64 = 1 << 30;

/// A layer in the making.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Tar {
        Tar(Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_mtime(1_000_000);
        header.set_uid(nix::unistd::geteuid().as_raw().into());
        header.set_gid(nix::unistd::getegid().as_raw().into());
        header
    }

    /// Whatever the name is: a builder refuses those that are not nice.
    fn named(header: &mut Header, name: &str) {
        let field = &mut header.as_old_mut().name;
        field.fill(0);
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
    }

    fn file(mut self, name: &str, mode: u32, content: &str) -> Tar {
        let mut header = Tar::header(EntryType::Regular, mode, content.len());
        Tar::named(&mut header, name);
        self.0.append(&header, content.as_bytes()).expect("appends");
        self
    }

    fn directory(self, name: &str) -> Tar {
        self.kind(EntryType::Directory, name, "")
    }

    fn kind(mut self, kind: EntryType, name: &str, link: &str) -> Tar {
        let mut header = Tar::header(kind, 0o755, 0);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        Tar::named(&mut header, name);
        self.0.append(&header, &[][..]).expect("appends");
        self
    }

    fn attribute(mut self, name: &str, value: &str) -> Tar {
        let pair = [(format!("SCHILY.xattr.{name}"), value.as_bytes())];
        let pairs = pair.iter().map(|(name, value)| (name.as_str(), *value));
        self.0.append_pax_extensions(pairs).expect("appends");
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("ends")
    }

    fn unpacked(self) -> (tempfile::TempDir, Result<Layer, String>) {
        unpacked(&self.bytes(), PLENTY)
    }
}

fn unpacked(archive: &[u8], most: u64) -> (tempfile::TempDir, Result<Layer, String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place::open(directory.path()).expect("opens");
    let layer = unpack(archive, place, most);
    (directory, layer.map_err(|error| crate::chain(&error)))
}

#[test]
fn a_layer_is_files_directories_and_links_as_they_were() {
    let tar = Tar::new()
        .directory("./")
        .directory("bin")
        .file("bin/su", 0o4755, "su")
        .kind(EntryType::Symlink, "bin/sh", "/bin/su")
        .kind(EntryType::Link, "bin/hard", "./bin/su")
        .kind(EntryType::Fifo, "pipe", "")
        .file("deep/down/x", 0o600, "x");
    let (directory, layer) = tar.unpacked();
    let layer = layer.expect("unpacks");
    assert_eq!((layer.bytes, layer.entries), (3, 7));
    let at = |name: &str| directory.path().join(name);
    let su = fs::metadata(at("bin/su")).expect("is there");
    assert_eq!(
        (su.permissions().mode() & 0o7777, su.mtime()),
        (0o4755, 1_000_000)
    );
    assert_eq!(
        su.ino(),
        fs::metadata(at("bin/hard")).expect("is there").ino()
    );
    assert_eq!(
        fs::metadata(at("bin")).expect("is there").mtime(),
        1_000_000
    );
    let sh = fs::read_link(at("bin/sh")).expect("a link");
    assert_eq!(sh, Path::new("/bin/su"));
    assert!(
        fs::metadata(at("pipe"))
            .expect("is there")
            .file_type()
            .is_fifo()
    );
    assert_eq!(fs::read_to_string(at("deep/down/x")).expect("reads"), "x");
}

#[test]
fn what_hides_is_made_in_the_kernels_way_and_never_hides_the_layers_own() {
    let tar = Tar::new()
        .file("a/.wh.gone", 0, "")
        .file("b/.wh..wh..opq", 0, "")
        .file("kept", 0o644, "new")
        .file(".wh.kept", 0, "")
        .file(".wh.again", 0, "")
        .file("again", 0o644, "again")
        .file(".wh.dir", 0, "")
        .directory("dir")
        .file("other/x", 0o644, "")
        .file(".wh.other", 0, "")
        .file(".wh..wh.plnk/3", 0o644, "");
    let (directory, layer) = tar.unpacked();
    let layer = layer.expect("unpacks");
    let opaque: Vec<_> = layer
        .opaque
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(opaque, ["b", "dir", "other"]);
    let gone = fs::symlink_metadata(directory.path().join("a/gone")).expect("is there");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for (name, content) in [("kept", "new"), ("again", "again")] {
        assert_eq!(
            fs::read_to_string(directory.path().join(name)).expect("reads"),
            content
        );
    }
    assert!(!directory.path().join(".wh..wh.plnk").exists());
}

#[test]
fn what_could_reach_out_of_a_layer_is_refused_and_touches_nothing() {
    let canary = tempfile::tempdir().expect("a directory");
    fs::write(canary.path().join("x"), "precious").expect("writes");
    let there = canary.path().to_str().expect("text");
    let through = |tar: Tar, name: &str| {
        tar.kind(EntryType::Symlink, "out", there)
            .file(name, 0o644, "bad")
    };
    let table: Vec<(Tar, &str)> = vec![
        (Tar::new().file("../x", 0o644, "bad"), "contains \"..\""),
        (
            Tar::new().file("a/../../x", 0o644, "bad"),
            "contains \"..\"",
        ),
        (through(Tar::new(), "out/x"), "symbolic link"),
        (through(Tar::new(), "out/deep/x"), "symbolic link"),
        (
            Tar::new()
                .kind(EntryType::Symlink, "out", there)
                .file("out/.wh.x", 0, ""),
            "symbolic link",
        ),
        (
            Tar::new()
                .kind(EntryType::Symlink, "out", there)
                .kind(EntryType::Link, "l", "out/x"),
            "symbolic link",
        ),
        (
            Tar::new().kind(EntryType::Link, "l", "../x"),
            "contains \"..\"",
        ),
        (
            Tar::new().kind(EntryType::Link, "l", "none"),
            "which the layer does not have",
        ),
        (
            Tar::new().kind(EntryType::Link, "l", "l"),
            "which the layer does not have",
        ),
        (
            Tar::new().directory("d").kind(EntryType::Link, "l", "d"),
            "which the layer does not have",
        ),
        (Tar::new().kind(EntryType::Block, "sda", ""), "a device"),
        (Tar::new().kind(EntryType::Char, "mem", ""), "a device"),
        (
            Tar::new().kind(EntryType::new(b'Z'), "z", ""),
            "of an unknown kind",
        ),
        (
            Tar::new().file("d/x", 0o644, "").file("d", 0o644, ""),
            "not empty",
        ),
        (Tar::new().file("", 0o644, "x"), "without a name"),
        (Tar::new().file(".wh.a/b", 0o644, "x"), "hides nothing"),
        (
            Tar::new()
                .attribute("trusted.overlay.redirect", "/etc")
                .directory("d"),
            "how layers are stacked",
        ),
        (
            Tar::new()
                .attribute("user.overlay.opaque", "y")
                .file("f", 0o644, ""),
            "how layers are stacked",
        ),
    ];
    for (tar, why) in table {
        let (_directory, layer) = tar.unpacked();
        let error = layer.expect_err(why);
        assert!(error.contains(why), "{error} / {why}");
        assert_eq!(
            fs::read_to_string(canary.path().join("x")).expect("reads"),
            "precious"
        );
        assert_eq!(fs::read_dir(canary.path()).expect("reads").count(), 1);
    }
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_written_through() {
    let canary = tempfile::NamedTempFile::new().expect("a file");
    fs::write(canary.path(), "precious").expect("writes");
    let there = canary.path().to_str().expect("text");
    let tar = Tar::new()
        .kind(EntryType::Symlink, "l", there)
        .file("l", 0o644, "new");
    let (directory, layer) = tar.unpacked();
    layer.expect("unpacks");
    assert_eq!(
        fs::read_to_string(canary.path()).expect("reads"),
        "precious"
    );
    assert_eq!(
        fs::read_to_string(directory.path().join("l")).expect("reads"),
        "new"
    );
}

#[test]
fn a_layer_that_is_cut_short_or_grows_too_large_is_not_taken() {
    let whole = Tar::new().file("x", 0o644, &"x".repeat(5000)).bytes();
    let (_kept, layer) = unpacked(&whole[..3000], PLENTY);
    assert!(layer.expect_err("refused").contains("damaged"));
    let (_kept, layer) = unpacked(&whole, 4999);
    assert!(layer.expect_err("refused").contains("4999 bytes"));
    assert!(unpacked(&whole, 5000).1.is_ok());
    let (_kept, layer) = unpacked(b"no archive", PLENTY);
    assert!(layer.expect_err("refused").contains("damaged"));
}

#[test]
fn owners_that_no_kernel_knows_are_refused() {
    for id in [u64::from(u32::MAX), 1 << 32, u64::MAX >> 1] {
        let mut header = Tar::header(EntryType::Regular, 0o644, 0);
        header.set_uid(id);
        Tar::named(&mut header, "x");
        let mut tar = Tar::new();
        tar.0.append(&header, &[][..]).expect("appends");
        let (_kept, layer) = tar.unpacked();
        assert!(
            layer.expect_err("refused").contains("which is none"),
            "{id}"
        );
    }
}
