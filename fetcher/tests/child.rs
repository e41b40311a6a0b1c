//! `fetch` with a real child: the example `fetch-child`, which Cargo builds beside the tests.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fetcher::{FetchError, Request, Uri, fetch};

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

fn request(value: &Path, sandbox: &Path) -> Request {
    Request {
        uris: vec![Uri {
            value: value.to_str().unwrap().to_owned(),
            executable: false,
            extract: true,
            cache: false,
            output_file: None,
        }],
        sandbox: sandbox.to_owned(),
        user: None,
        frameworks_home: None,
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
    assert!(matches!(error, FetchError::Start { .. }));
    assert_eq!(
        error.to_string(),
        "cannot start the fetch helper /no/helper"
    );
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
    let fetching = fetch(&helper, &request, log);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), fetching)
            .await
            .is_err()
    );
    // The child's stderr is the log, so it lives as long as another process has that file open.
    let inode = sandbox.path().join("stderr").metadata().unwrap().ino();
    let deadline = Instant::now() + Duration::from_secs(10);
    while someone_has_open(inode) {
        assert!(Instant::now() < deadline, "the child lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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

/// Whether a process other than this one has the file open.
fn someone_has_open(inode: u64) -> bool {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| process.file_name() != own.as_str())
        .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|descriptors| descriptors.flatten())
        .any(|fd| fd.path().metadata().is_ok_and(|file| file.ino() == inode))
}
