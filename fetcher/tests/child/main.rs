//! `fetch` with a real child: the example `fetch-child`, which Cargo builds beside the tests.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod cache;
mod proxies;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetcher::{FetchError, Fetched, Fetcher, HelperError, Request, Settings, Uri, chain};

fn helper() -> Vec<String> {
    let deps = std::env::current_exe().unwrap();
    let built = deps.parent().and_then(Path::parent).unwrap();
    vec![
        built
            .join("examples/fetch-child")
            .to_str()
            .unwrap()
            .to_owned(),
    ]
}

async fn fetch(helper: &[String], request: &Request, log: File) -> Result<Fetched, FetchError> {
    fetch_within(helper, request, None, log).await
}

async fn fetch_within(
    helper: &[String],
    request: &Request,
    disk_limit: Option<u64>,
    log: File,
) -> Result<Fetched, FetchError> {
    let fetcher = Fetcher::new(helper.to_vec(), Settings::default(), None);
    fetcher.fetch(request, disk_limit, log).await
}

fn request(value: &Path, sandbox: &Path) -> Request {
    Request {
        uris: vec![Uri {
            value: value.to_str().unwrap().to_owned(),
            executable: false,
            extract: Some(true),
            cache: false,
            output_file: None,
        }],
        sandbox: sandbox.to_owned(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    }
}

#[tokio::test]
async fn the_child_fetches_and_logs_to_the_given_file() {
    let sandbox = tempfile::tempdir().unwrap();
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), "hello").unwrap();
    let log = sandbox.path().join("stderr");
    let request = request(source.path(), sandbox.path());
    fetch(&helper(), &request, File::create(&log).unwrap())
        .await
        .unwrap();
    let name = source.path().file_name().unwrap();
    assert_eq!(
        std::fs::read_to_string(sandbox.path().join(name)).unwrap(),
        "hello"
    );
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("Successfully fetched all URIs")
    );
}

#[tokio::test]
async fn the_childs_reason_is_the_error_and_stands_in_the_log() {
    let sandbox = tempfile::tempdir().unwrap();
    let log = sandbox.path().join("stderr");
    let request = request(Path::new("/no/such/file"), sandbox.path());
    let error = fetch(&helper(), &request, File::create(&log).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to fetch '/no/such/file': /no/such/file does not exist on the agent's host: put it \
         there, or serve it by http to all agents"
    );
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("Failed to fetch '/no/such/file': "), "{log}");
}

#[tokio::test]
async fn a_helper_that_cannot_start_is_named() {
    let sandbox = tempfile::tempdir().unwrap();
    let request = request(Path::new("/x"), sandbox.path());
    let log = File::create(sandbox.path().join("stderr")).unwrap();
    let error = fetch(&["/no/helper".to_owned()], &request, log)
        .await
        .unwrap_err();
    let told = chain(&error);
    let before = "failed to fetch '/x': cannot start the fetch helper /no/helper: ";
    assert!(told.starts_with(before), "{told}");
}

#[tokio::test]
async fn dropping_the_future_ends_the_child() {
    let sandbox = tempfile::tempdir().unwrap();
    // Accepts connections (the backlog does) and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    let request = request(Path::new(&url), sandbox.path());
    let log = File::create(sandbox.path().join("stderr")).unwrap();
    let helper = helper();
    tokio::select! {
        ended = fetch(&helper, &request, log) => panic!("{ended:?}"),
        () = logged(sandbox.path(), "Downloading") => {}
    }
    // The child's stderr is the log, so it lives as long as another process has that file open.
    let deadline = Instant::now() + Duration::from_secs(10);
    while child_of(sandbox.path()).is_some() {
        assert!(Instant::now() < deadline, "the child lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_child_keeps_nothing_of_its_parent_and_is_limited() {
    let sandbox = tempfile::tempdir().unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    let request = request(Path::new(&url), sandbox.path());
    let log = File::create(sandbox.path().join("stderr")).unwrap();
    // A parent that is careless about its umask and an open file.
    let script = "umask 077; exec 7<\"$1\"; exec \"$0\"";
    let path = secret.path().to_str().unwrap();
    let careless = ["/bin/sh", "-c", script, &helper()[0], path].map(str::to_owned);
    let (status, limits, open) = tokio::select! {
        ended = fetch(&careless, &request, log) => panic!("{ended:?}"),
        child = async {
            logged(sandbox.path(), "Downloading").await;
            let child = child_of(sandbox.path()).unwrap();
            let text = |name| std::fs::read_to_string(child.join(name)).unwrap();
            (text("status"), text("limits"), open_files(&child))
        } => child,
    };
    assert!(status.contains("\nUmask:\t0022\n"), "{status}");
    assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(
            status.contains(&format!("\n{set}:\t0000000000000000\n")),
            "{status}"
        );
    }
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line[name.len()..].split_whitespace().next())
    };
    assert_eq!(limit("Max address space"), Some("536870912"));
    assert_eq!(limit("Max core file size"), Some("0"));
    assert_ne!(limit("Max file size"), Some("unlimited"));
    assert!(open.iter().all(|file| file != secret.path()), "{open:?}");
}

#[tokio::test]
async fn the_tasks_disk_is_the_limit() {
    let sandbox = tempfile::tempdir().unwrap();
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), "hello").unwrap();
    let request = request(source.path(), sandbox.path());
    let log = || File::create(sandbox.path().join("stderr")).unwrap();
    let error = fetch_within(&helper(), &request, Some(4), log()).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        format!(
            "failed to fetch '{}': the file is too large: it needs at least 5 bytes, and 4 are \
             left of 4, which is the task's disk: give the task more disk, or fetch less",
            source.path().display()
        )
    );
    fetch_within(&helper(), &request, Some(5), log())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_child_that_aborts_is_said_to_want_memory() {
    let sandbox = tempfile::tempdir().unwrap();
    let request = request(Path::new("/x"), sandbox.path());
    let log = File::create(sandbox.path().join("stderr")).unwrap();
    let aborts = ["/bin/sh", "-c", "kill -ABRT $$"].map(str::to_owned);
    let error = fetch(&aborts, &request, log).await.unwrap_err();
    let source = HelperError::Aborted;
    assert!(
        matches!(
            &error,
            FetchError::Helper {
                source: HelperError::Aborted,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(chain(&error), format!("failed to fetch '/x': {source}"));
    assert!(chain(&error).contains("more than the 512 MiB of memory"));
}

#[tokio::test]
async fn whatever_ends_a_fetch_the_uris_are_named_without_their_secrets() {
    let sandbox = tempfile::tempdir().unwrap();
    let mut request = request(Path::new("http://me:hunter2@h/a"), sandbox.path());
    for path in ["/b", "/c", "/d"] {
        request.uris.push(Uri {
            value: path.to_owned(),
            ..request.uris[0].clone()
        });
    }
    let named = "failed to fetch 'http://me:***@h/a', '/b', '/c' and 1 more: ";
    let log = || File::create(sandbox.path().join("stderr")).unwrap();
    let dies = ["/bin/sh", "-c", "kill -KILL $$"].map(str::to_owned);
    let died = fetch(&dies, &request, log()).await.unwrap_err();
    assert!(chain(&died).starts_with(named), "{}", chain(&died));
    // What the child says of all of them.
    let settings = Settings {
        netrc_file: Some("/no/netrc".into()),
        ..Settings::default()
    };
    let fetcher = Fetcher::new(helper(), settings, None);
    let failed = fetcher.fetch(&request, None, log()).await.unwrap_err();
    let told = chain(&failed);
    assert!(
        told.starts_with(&format!("{named}cannot read /no/netrc")),
        "{told}"
    );
    let log = std::fs::read_to_string(sandbox.path().join("stderr")).unwrap();
    assert!(log.contains(&told["failed".len()..]), "{log}");
}

#[tokio::test]
async fn root_the_child_runs_as_the_tasks_user() {
    // Only root may pass the directory above.
    let above = tempfile::tempdir().unwrap();
    let sandbox = tempfile::tempdir_in(above.path()).unwrap();
    std::os::unix::fs::chown(sandbox.path(), Some(12_345), Some(12_346)).unwrap();
    let source = tempfile::tempdir().unwrap();
    let (open, secret) = (source.path().join("open"), source.path().join("secret"));
    for (path, mode) in [(source.path(), 0o755), (&open, 0o644), (&secret, 0o600)] {
        use std::os::unix::fs::PermissionsExt;
        if path != source.path() {
            std::fs::write(path, "x").unwrap();
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let log = || File::create(sandbox.path().join("stderr")).unwrap();

    let mut allowed = request(&open, sandbox.path());
    allowed.user = Some((12_345, 12_346, vec![12_346]));
    fetch(&helper(), &allowed, log()).await.unwrap();
    let made = sandbox.path().join("open").metadata().unwrap();
    assert_eq!((made.uid(), made.gid()), (12_345, 12_346));

    let mut denied = request(&secret, sandbox.path());
    denied.user = allowed.user;
    let error = fetch(&helper(), &denied, log()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("check that the task's user may read it"),
        "{error}"
    );
}

/// What only a capability opens is opened before it is given up.
#[tokio::test]
async fn root_reads_every_file_and_talks_to_servers_without_a_capability() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let sandbox = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    let secret = source.path().join("secret");
    std::fs::write(&secret, "another's").unwrap();
    for (path, mode) in [(&secret, 0o600), (&source.path().to_owned(), 0o700)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        chown(path, Some(12_345), Some(12_345)).unwrap();
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    let mut request = request(&secret, sandbox.path());
    let again = Uri {
        output_file: Some("again".into()),
        value: format!("file://{}", secret.display()),
        ..request.uris[0].clone()
    };
    let remote = Uri {
        value: url,
        ..request.uris[0].clone()
    };
    request.uris.extend([again, remote]);
    let log = File::create(sandbox.path().join("stderr")).unwrap();
    let helper = helper();
    let status = tokio::select! {
        ended = fetch(&helper, &request, log) => panic!("{ended:?}"),
        status = async {
            logged(sandbox.path(), &format!("Fetched 'file://{}'", secret.display())).await;
            let child = child_of(sandbox.path()).unwrap();
            std::fs::read_to_string(child.join("status")).unwrap()
        } => status,
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let none = format!("\n{set}:\t0000000000000000\n");
        assert!(status.contains(&none), "{status}");
    }
    assert!(status.contains("\nUid:\t0\t"), "{status}");
    for name in ["secret", "again"] {
        let text = std::fs::read_to_string(sandbox.path().join(name)).unwrap();
        assert_eq!(text, "another's");
    }
}

/// Until the log of the sandbox holds `text`.
async fn logged(sandbox: &Path, text: &str) {
    while !std::fs::read_to_string(sandbox.join("stderr"))
        .unwrap()
        .contains(text)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The process other than this one that has the sandbox's log open: its stderr.
fn child_of(sandbox: &Path) -> Option<PathBuf> {
    let own = std::process::id().to_string();
    let log = sandbox.join("stderr");
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
    let child = processes.find(|process| {
        process.file_name() != own.as_str() && open_files(&process.path()).contains(&log)
    });
    Some(child?.path())
}

fn open_files(process: &Path) -> Vec<PathBuf> {
    let descriptors = std::fs::read_dir(process.join("fd"));
    let descriptors = descriptors.into_iter().flatten().flatten();
    descriptors.flat_map(|fd| fd.path().read_link()).collect()
}

/// The server sends the rest once somebody has seen how far it came.
#[tokio::test]
async fn how_far_a_fetch_has_come_is_known_while_it_is_under_way() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let sandbox = tempfile::tempdir().unwrap();
    let request = request(Path::new(&url), sandbox.path());
    let log = File::create(sandbox.path().join("stderr")).unwrap();
    let fetcher = Fetcher::new(helper(), Settings::default(), None);
    let serving = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
        connection.write_all(head).await.unwrap();
        let half = (5, Some(10));
        let progress = |progress: fetcher::Progress| (progress.bytes, progress.total);
        while fetcher.progress(sandbox.path()).map(progress) != Some(half) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        connection.write_all(b"world").await.unwrap();
    };
    let (fetched, ()) = tokio::join!(fetcher.fetch(&request, None, log), serving);
    let fetched = fetched.unwrap();
    assert_eq!((fetched.files, fetched.bytes), (1, 10));
    assert_eq!(fetcher.progress(sandbox.path()), None);
}
