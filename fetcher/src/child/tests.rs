//! The child's work in this process, on files and hostile archives of this host.

use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use tar::{EntryType, Header};

use super::*;
use crate::archive::unpack;

mod bounds;
mod faults;
mod formats;
mod ftp;
mod http;
mod stores;
mod streamed;
mod told;

const HASTE: Patience = Patience {
    stall: Duration::from_millis(200),
    pause: Duration::from_millis(1),
};

/// A log to look at.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What one fetch left: the outcome, its log, and the sandbox.
struct Fetched {
    outcome: Result<(), String>,
    log: String,
    sandbox: tempfile::TempDir,
}

impl Fetched {
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.sandbox.path().join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.sandbox.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn failure(&self) -> &str {
        self.outcome.as_ref().unwrap_err()
    }
}

fn uri(value: impl Into<String>) -> Uri {
    Uri {
        value: value.into(),
        executable: false,
        extract: Some(true),
        cache: false,
        output_file: None,
    }
}

async fn fetch_uri(uri: Uri) -> Fetched {
    fetch_within(uri, Limits::default(), None).await
}

fn asking(value: &str, sandbox: &Path) -> Request {
    Request {
        uris: vec![uri(value)],
        sandbox: sandbox.to_owned(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    }
}

async fn fetch_within(uri: Uri, limits: Limits, disk: Option<u64>) -> Fetched {
    let sandbox = tempfile::tempdir().unwrap();
    let request = Request {
        uris: vec![uri],
        ..asking("", sandbox.path())
    };
    fetch_request(&request, sandbox, limits, disk).await
}

async fn fetch_request(
    request: &Request,
    sandbox: tempfile::TempDir,
    limits: Limits,
    disk: Option<u64>,
) -> Fetched {
    let http = Http::new(Policy::default(), HASTE, &[], Tls::new(&[]).unwrap()).unwrap();
    fetch_with(http, request, sandbox, limits, disk).await
}

async fn fetch_with(
    http: Http,
    request: &Request,
    sandbox: tempfile::TempDir,
    limits: Limits,
    disk: Option<u64>,
) -> Fetched {
    fetch_for(http, request, sandbox, limits, disk, None).await
}

async fn fetch_for(
    http: Http,
    request: &Request,
    sandbox: tempfile::TempDir,
    limits: Limits,
    disk: Option<u64>,
    time_limit: Option<Duration>,
) -> Fetched {
    let log = Written::default();
    let fetching = Fetching {
        sandbox: Arc::new(open_sandbox(request).unwrap()),
        http,
        limits,
        budget: Budget::new(disk, None),
        log: Log::new(log.clone()),
        tell: Log::new(io::sink()),
        meter: Meter::new(request.uris.len()),
    };
    let cached = request.uris.iter().map(|_| None).collect();
    let policy = Policy::default();
    let outcome = fetching.all(request, cached, &policy, time_limit).await;
    let log = log.0.lock().unwrap().clone();
    Fetched {
        outcome: outcome.map_err(|error| chain(&error)),
        log: String::from_utf8(log).unwrap(),
        sandbox,
    }
}

/// A file on this host, fetched by its path: what hostile archives need.
async fn fetch_bytes(name: &str, bytes: &[u8], limits: Limits) -> Fetched {
    fetch_bytes_into(name, bytes, limits, None).await
}

async fn fetch_bytes_into(name: &str, bytes: &[u8], limits: Limits, disk: Option<u64>) -> Fetched {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    fetch_within(uri(path.to_str().unwrap()), limits, disk).await
}

/// One tar entry, written without the checks that the library makes.
fn entry(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o6777);
    header.set_size(content.len() as u64);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn tarball(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[tokio::test]
async fn a_local_path_must_be_a_regular_file() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [dir.path(), &fifo] {
        let fetched = fetch_uri(uri(path.to_str().unwrap())).await;
        assert!(
            fetched.failure().contains("is not a regular file"),
            "{}",
            fetched.failure()
        );
    }
    let missing = fetch_uri(uri(dir.path().join("no").to_str().unwrap())).await;
    assert!(
        missing
            .failure()
            .contains("does not exist on the agent's host")
    );
}

#[tokio::test]
async fn a_tar_gz_is_unpacked_beside_the_archive_without_setuid() {
    let archive = gzip(&tarball(&[
        entry("./", EntryType::Directory, "", b""),
        entry("./bin/", EntryType::Directory, "", b""),
        entry("./bin/run", EntryType::Regular, "", b"run"),
        entry("lib/deep/x", EntryType::Regular, "", b"x"),
        entry("run", EntryType::Symlink, "bin/run", b""),
        entry("bin/again", EntryType::Link, "bin/run", b""),
    ]));
    let fetched = fetch_bytes("app.tar.gz", &archive, Limits::default()).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.names(), ["app.tar.gz", "bin", "lib", "run"]);
    assert_eq!(
        (fetched.file("run"), fetched.file("bin/again")),
        ("run".into(), "run".into())
    );
    let mode = fetched
        .sandbox
        .path()
        .join("bin/run")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn a_zip_is_unpacked() {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o4755);
    zip.add_directory("bin", options).unwrap();
    zip.start_file("bin/run", options).unwrap();
    zip.write_all(b"run").unwrap();
    zip.add_symlink("run", "bin/run", options).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    let fetched = fetch_bytes("app.zip", &archive, Limits::default()).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("run"), "run");
    let mode = fetched
        .sandbox
        .path()
        .join("bin/run")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn a_hostile_zip_is_refused_whole() {
    for (name, target) in [
        ("../x", None),
        ("/x", None),
        ("l", Some("/etc")),
        ("l", Some("..")),
    ] {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("first", options).unwrap();
        match target {
            Some(target) => zip.add_symlink(name, target, options).unwrap(),
            None => zip.start_file(name, options).unwrap(),
        }
        let archive = zip.finish().unwrap().into_inner();
        let fetched = fetch_bytes("app.zip", &archive, Limits::default()).await;
        assert!(
            fetched.failure().contains("is refused"),
            "{name}: {:?}",
            fetched.outcome
        );
        assert!(fetched.names().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_gz_is_decompressed_next_to_the_original() {
    let fetched = fetch_bytes("data.csv.gz", &gzip(b"1,2"), Limits::default()).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.names(), ["data.csv", "data.csv.gz"]);
    assert_eq!(fetched.file("data.csv"), "1,2");
}

#[tokio::test]
async fn a_file_without_an_archive_suffix_is_kept_with_a_warning() {
    let fetched = fetch_bytes("a.bin", b"x", Limits::default()).await;
    assert!(
        fetched.log.contains("does not seem to be an archive"),
        "{}",
        fetched.log
    );
}

#[tokio::test]
async fn a_hostile_tar_is_refused_whole() {
    use EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path().to_str().unwrap();
    let absolute = format!("{out}/x");
    let plain = |name: &str| entry(name, Regular, "", b"x");
    let cases: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("dot dot", vec![plain("../x")], "contains \"..\""),
        (
            "dot dot inside",
            vec![plain("a/../../x")],
            "contains \"..\"",
        ),
        ("absolute", vec![plain(&absolute)], "is absolute"),
        ("log", vec![plain("./stderr")], "hold the task's output"),
        (
            "absolute symlink",
            vec![entry("l", Symlink, out, b"")],
            "may lie outside",
        ),
        (
            "relative symlink",
            vec![entry("a/l", Symlink, "../../x", b"")],
            "may lie outside",
        ),
        (
            "hard link",
            vec![entry("l", Link, "/etc/passwd", b"")],
            "may lie outside",
        ),
        (
            "hard link up",
            vec![entry("l", Link, "../x", b"")],
            "may lie outside",
        ),
        ("fifo", vec![entry("f", Fifo, "", b"")], "it is a fifo"),
        (
            "char device",
            vec![entry("f", Char, "", b"")],
            "it is a device",
        ),
        (
            "block device",
            vec![entry("f", Block, "", b"")],
            "it is a device",
        ),
        (
            "write through an own symlink",
            vec![
                entry("d/", EntryType::Directory, "", b""),
                entry("l", Symlink, "d", b""),
                plain("l/x"),
            ],
            "a directory on the way is a symbolic link",
        ),
        (
            "climb by a symlink to the root",
            vec![
                entry("a/s", Symlink, "..", b""),
                entry("a/t", Symlink, "s/../..", b""),
            ],
            "may lie outside",
        ),
        (
            "cut short",
            vec![entry("x", Regular, "", &[b'x'; 5000])[..1024].to_vec()],
            "damaged",
        ),
    ];
    for (what, entries, why) in cases {
        let archive = [entry("first", Regular, "", b"1"), tarball(&entries)].concat();
        let fetched = fetch_bytes("app.tar", &archive, Limits::default()).await;
        assert!(
            fetched.failure().contains(why),
            "{what}: {}",
            fetched.failure()
        );
        assert!(fetched.names().is_empty(), "{what}: {:?}", fetched.names());
        assert_eq!(
            std::fs::read_dir(outside.path()).unwrap().count(),
            0,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_damaged_archive_says_so() {
    for name in ["a.tar.gz", "a.zip", "a.gz", "a.tar"] {
        let fetched = fetch_bytes(name, b"<html>not found</html>", Limits::default()).await;
        assert!(
            fetched.failure().contains("it is damaged"),
            "{name}: {:?}",
            fetched.outcome
        );
        assert!(fetched.names().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_archive_replaces_files_but_never_reaches_through_a_link() {
    let precious = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(precious.path(), "precious").unwrap();
    let sandbox = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(precious.path(), sandbox.path().join("x")).unwrap();
    let archive = sandbox.path().join("a.tar");
    let bytes = tarball(&[entry("x", EntryType::Regular, "", b"new")]);
    std::fs::write(&archive, bytes).unwrap();
    let below = Beneath::open(sandbox.path()).unwrap();
    let archive = std::fs::File::open(&archive).unwrap();
    let budget = Budget::new(None, None);
    let (tar, limits) = (crate::plan::Format::Tar(None), Limits::default());
    unpack(
        &below,
        &crate::growth::Packed::whole(archive).unwrap(),
        tar,
        limits,
        &budget,
    )
    .unwrap();
    assert_eq!(
        std::fs::read_to_string(precious.path()).unwrap(),
        "precious"
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.path().join("x")).unwrap(),
        "new"
    );
}
