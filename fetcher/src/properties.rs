//! What holds of everything that is read here from elsewhere. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../fuzz/hold.rs"]
mod hold;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use proto::redact::redacted;

use crate::archive::{Codec, Limits, Xz, bzip2_by_blocks, bzip2_by_one, decoder, unpack};
use crate::beneath::Beneath;
use crate::budget::Budget;
use crate::checksum::Checksum;
use crate::download::{self, Place};
use crate::growth::Packed;
use crate::netrc::Netrc;
use crate::plan::{Format, plan};
use crate::{Policy, Request, Uri};

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[
    ("bzip2", bzip2),
    ("checksum", checksum),
    ("ftp_place", ftp_place),
    ("ftp_reply", ftp_reply),
    ("hadoop", hadoop),
    ("netrc", netrc),
    ("tar", tar),
    ("uri", uri),
    ("xz", xz),
    ("zip", zip),
];

/// Far more than a seed needs, and little enough for thousands of inputs.
const LIMITS: Limits = Limits {
    entries: 200,
    depth: 64,
    header_bytes: 64 << 10,
    trailing_bytes: 64 << 10,
    directory_bytes: 64 << 10,
    ratio: 1000,
    ratio_from: 1 << 20,
};
const BUDGET: u64 = 1 << 20;

/// Several threads read what one reads, or refuse it: blocks with many false marks in them, which nobody writes.
fn bzip2(bytes: &[u8]) {
    let read = |from: Box<dyn Read + '_>| {
        let mut out = Vec::new();
        let read = from.take(BUDGET).read_to_end(&mut out);
        // What comes before an error may be more or less.
        read.ok().map(|_| out)
    };
    let ours = read(bzip2_by_blocks(bytes));
    assert!(ours.is_none() || ours == read(bzip2_by_one(bytes)));
}

/// Likewise, and blocks that are not what their stream says of them.
fn xz(bytes: &[u8]) {
    let ground = Ground::new();
    let packed = ground.packed(bytes);
    let sandbox = Beneath::open(&ground.0.join("sandbox")).expect("a sandbox");
    let room = || Ok(sandbox.unnamed()?.into());
    let read = |from: &mut dyn Read| {
        let mut out = Vec::new();
        let read = from.take(BUDGET).read_to_end(&mut out);
        read.ok().map(|_| out)
    };
    let ours = read(&mut Xz::with_threads_from(packed, Box::new(room), 1));
    assert!(ours.is_none() || ours == read(&mut decoder(Codec::Xz, bytes)));
}

fn checksum(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok((rest, checksum)) = Checksum::split(&text) else {
        return;
    };
    match checksum {
        None => assert_eq!(rest, text),
        Some(checksum) => {
            let again = format!("{rest}#{checksum}");
            assert_eq!(Checksum::split(&again), Ok((rest, Some(checksum))));
        }
    }
}

/// No command can be hidden in a URL.
fn ftp_place(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(place) = Place::parse(&text) else {
        return;
    };
    let (user, password) = place.login.unwrap_or_default();
    for word in [&place.path, &user, &password] {
        assert!(!word.contains(char::is_control), "{word:?}");
    }
}

fn ftp_reply(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for port in [download::port(&text), download::extended_port(&text)] {
        assert_ne!(port, Some(0));
    }
    for begun in [None, Some(220)] {
        if let Some(download::Line::Last(reply)) = download::line(&text, begun) {
            assert!((100..600).contains(&reply.code));
            assert!(begun.is_none_or(|begun| begun == reply.code));
        }
    }
}

/// What a name node says goes into logs, as one line.
fn hadoop(bytes: &[u8]) {
    if let Some(error) = download::exception(bytes) {
        let text = error.to_string();
        assert!(!text.contains(char::is_control) && text.len() < 8192);
    }
}

fn netrc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let netrc = Netrc::parse(&text);
    for host in ["h", "", "[::1]"] {
        if let Some((login, password)) = netrc.login(host) {
            let words = [login, password];
            assert!(words.iter().all(|word| !word.contains(char::is_whitespace)));
        }
    }
}

/// A URI that is taken has a place in the sandbox, and nothing secret is shown of it.
fn uri(bytes: &[u8]) {
    let value = String::from_utf8_lossy(bytes).into_owned();
    let once = redacted(&value);
    assert_eq!(redacted(&once), once);
    let request = Request {
        uris: vec![Uri {
            value,
            executable: false,
            extract: Some(true),
            cache: false,
            output_file: None,
        }],
        sandbox: "/sandbox".into(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    };
    let Ok(items) = plan(&request, &Policy::default()) else {
        return;
    };
    for item in items {
        assert!(!item.uri.contains(char::is_control));
        let target = item.target.as_path();
        let parts = target.components();
        let mut plain = parts.map(|part| matches!(part, std::path::Component::Normal(_)));
        assert!(
            target.is_relative() && plain.all(|plain| plain),
            "{target:?}"
        );
    }
}

fn tar(bytes: &[u8]) {
    stays_inside(bytes, Format::Tar(None));
}

fn zip(bytes: &[u8]) {
    stays_inside(bytes, Format::Zip);
}

static GROUNDS: AtomicU64 = AtomicU64::new(0);

/// A directory with a sandbox in it, which goes away again.
struct Ground(PathBuf);

impl Ground {
    fn new() -> Self {
        let number = GROUNDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("longshore-property-{}-{number}", std::process::id());
        let ground = std::env::temp_dir().join(name);
        fs::create_dir_all(ground.join("sandbox")).expect("a directory");
        Self(ground)
    }

    /// A file of that, beside the sandbox.
    fn packed(&self, bytes: &[u8]) -> Packed {
        let name = self.0.join("archive");
        let mut file = File::create_new(&name).expect("a file");
        file.write_all(bytes).expect("written");
        let file = File::open(&name).expect("read");
        Packed::whole(file).expect("a length")
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _gone_or_not = fs::remove_dir_all(&self.0);
    }
}

fn stays_inside(bytes: &[u8], format: Format) {
    let ground = Ground::new();
    let archive = ground.packed(bytes);
    let sandbox = Beneath::open(&ground.0.join("sandbox")).expect("a sandbox");
    let budget = Budget::new(Some(BUDGET), None);
    let unpacked = unpack(&sandbox, &archive, format, LIMITS, &budget);
    let beside = fs::read_dir(&ground.0).expect("a directory").count();
    assert_eq!(beside, 2, "something was made beside the sandbox");
    let root = ground.0.join("sandbox").canonicalize().expect("a path");
    let inside = walk(&root);
    if unpacked.is_err() {
        assert!(inside.is_empty(), "refused, and {inside:?} is left");
    }
    for path in inside {
        let kind = path.symlink_metadata().expect("found").file_type();
        assert!(kind.is_file() || kind.is_dir() || kind.is_symlink());
        if let Ok(leads_to) = path.canonicalize() {
            assert!(
                leads_to.starts_with(&root),
                "{path:?} leads to {leads_to:?}"
            );
        }
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a kind").is_dir() {
            found.extend(walk(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn they_hold() {
        super::hold::all("fetcher", super::ALL);
    }
}
