//! The cache, through real children.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use fetcher::Cache;

use super::*;

/// A file on a server, its tag or its time, and how often which answer was given.
#[derive(Debug, Clone, Default)]
struct Served {
    content: Vec<u8>,
    etag: Option<&'static str>,
    last_modified: Option<&'static str>,
    whole: u32,
    not_modified: u32,
}

type Server = Arc<Mutex<Served>>;

async fn file(State(server): State<Server>, asked: HeaderMap) -> impl IntoResponse {
    let mut served = server.lock().unwrap();
    let is_known = |name, current: Option<&str>| {
        let known = asked.get(name).and_then(|known| known.to_str().ok());
        known.is_some() && known == current
    };
    if is_known(header::IF_NONE_MATCH, served.etag)
        || is_known(header::IF_MODIFIED_SINCE, served.last_modified)
    {
        served.not_modified += 1;
        return StatusCode::NOT_MODIFIED.into_response();
    }
    served.whole += 1;
    let mut headers = HeaderMap::new();
    if let Some(etag) = served.etag {
        headers.insert(header::ETAG, etag.parse().unwrap());
    }
    if let Some(time) = served.last_modified {
        headers.insert(header::LAST_MODIFIED, time.parse().unwrap());
    }
    (headers, served.content.clone()).into_response()
}

async fn serve(server: &Server) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let router = axum::Router::new()
        .route("/{name}", get(file))
        .with_state(Arc::clone(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, serving)
}

struct Node {
    directory: tempfile::TempDir,
    fetcher: Fetcher,
}

impl Node {
    fn new(limit: u64) -> Self {
        Self::restarted(tempfile::tempdir().unwrap(), limit)
    }

    fn restarted(directory: tempfile::TempDir, limit: u64) -> Self {
        let cache = Cache::open(directory.path().join("cache"), limit).unwrap();
        let settings = Settings {
            stall_timeout: Duration::from_secs(5),
            ..Settings::default()
        };
        let fetcher = Fetcher::new(helper(), settings, Some(cache));
        Self { directory, fetcher }
    }

    fn cache(&self) -> &Arc<Cache> {
        self.fetcher.cache().unwrap()
    }

    async fn fetch(&self, url: &str) -> tempfile::TempDir {
        let sandbox = tempfile::tempdir().unwrap();
        let mut request = request(Path::new(url), sandbox.path());
        request.uris[0].cache = true;
        let log = sandbox.path().join("stderr");
        let fetched = self
            .fetcher
            .fetch(&request, None, File::create(&log).unwrap());
        if let Err(error) = fetched.await {
            panic!("{error}:\n{}", std::fs::read_to_string(log).unwrap());
        }
        sandbox
    }
}

fn text(sandbox: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(sandbox.path().join(name)).unwrap()
}

fn served(content: &str, etag: Option<&'static str>) -> Server {
    Arc::new(Mutex::new(Served {
        content: content.into(),
        etag,
        ..Served::default()
    }))
}

#[tokio::test]
async fn a_file_that_has_not_changed_comes_from_the_cache_also_after_a_restart() {
    let server = served("one", Some("\"1\""));
    let (address, _serving) = serve(&server).await;
    let url = format!("http://{address}/x");
    let node = Node::new(100);
    assert_eq!(text(&node.fetch(&url).await, "x"), "one");
    let again = node.fetch(&url).await;
    assert_eq!(text(&again, "x"), "one");
    assert!(text(&again, "stderr").contains(&format!("Fetching URI '{url}' from cache")));
    let node = Node::restarted(node.directory, 100);
    assert_eq!(text(&node.fetch(&url).await, "x"), "one");
    let counted = server.lock().unwrap().clone();
    assert_eq!((counted.whole, counted.not_modified), (1, 2));
    assert_eq!((node.cache().bytes(), node.cache().figures().hits), (3, 1));
    assert_eq!(node.fetcher.totals(), (1, 0));
}

#[tokio::test]
async fn where_there_is_no_tag_the_time_of_the_last_change_tells() {
    let server = served("one", None);
    server.lock().unwrap().last_modified = Some("Thu, 26 Nov 2026 10:00:00 GMT");
    let (address, _serving) = serve(&server).await;
    let url = format!("http://{address}/x");
    let node = Node::new(100);
    for _ in 0..2 {
        assert_eq!(text(&node.fetch(&url).await, "x"), "one");
    }
    let counted = server.lock().unwrap().clone();
    assert_eq!((counted.whole, counted.not_modified), (1, 1));
    let changed = Served {
        content: "other".into(),
        last_modified: Some("Thu, 26 Nov 2026 11:00:00 GMT"),
        ..Served::default()
    };
    *server.lock().unwrap() = changed;
    assert_eq!(text(&node.fetch(&url).await, "x"), "other");
}

#[tokio::test]
async fn a_file_that_has_changed_is_fetched_anew() {
    let server = served("one", Some("\"1\""));
    let (address, _serving) = serve(&server).await;
    let url = format!("http://{address}/x");
    let node = Node::new(100);
    node.fetch(&url).await;
    *server.lock().unwrap() = served("other", Some("\"2\"")).lock().unwrap().clone();
    assert_eq!(text(&node.fetch(&url).await, "x"), "other");
    assert_eq!(text(&node.fetch(&url).await, "x"), "other");
    assert_eq!(node.cache().bytes(), 5);
}

#[tokio::test]
async fn the_cache_is_used_while_the_server_is_away_and_where_a_checksum_leaves_no_doubt() {
    let server = served("hello", Some("\"1\""));
    let (address, serving) = serve(&server).await;
    let url = format!("http://{address}/x");
    let sum = "#sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let node = Node::new(100);
    node.fetch(&url).await;
    let proven = node.fetch(&format!("{url}{sum}")).await;
    assert_eq!(text(&proven, "x"), "hello");
    assert_eq!(server.lock().unwrap().not_modified, 0);
    serving.abort();
    let _cancelled = serving.await;
    let away = node.fetch(&url).await;
    assert_eq!(text(&away, "x"), "hello");
    assert!(text(&away, "stderr").contains("has changed is not known: "));
}

#[tokio::test]
async fn of_an_archive_from_the_cache_only_the_content_is_in_the_sandbox() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o755);
    archive
        .append_data(&mut header, "bin/run", &b"run"[..])
        .unwrap();
    let server = served("", None);
    server.lock().unwrap().content = archive.into_inner().unwrap();
    let (address, _serving) = serve(&server).await;
    let node = Node::new(1 << 20);
    for _ in 0..2 {
        let sandbox = node.fetch(&format!("http://{address}/app.tar")).await;
        assert_eq!(text(&sandbox, "bin/run"), "run");
        assert!(!sandbox.path().join("app.tar").exists());
    }
    // Where a server gives no means to ask, it is not asked.
    assert_eq!(server.lock().unwrap().whole, 1);
}

#[tokio::test]
async fn many_that_want_the_same_at_once_have_it_fetched_once() {
    let server = served("one", None);
    let (address, _serving) = serve(&server).await;
    let url = format!("http://{address}/x");
    let node = Node::new(100);
    let fetches = (0..4).map(|_| node.fetch(&url));
    for sandbox in futures_util::future::join_all(fetches).await {
        assert_eq!(text(&sandbox, "x"), "one");
    }
    assert_eq!(server.lock().unwrap().whole, 1);
}

#[tokio::test]
async fn what_does_not_fit_into_the_cache_is_fetched_all_the_same() {
    let server = served("too much", None);
    let (address, _serving) = serve(&server).await;
    let node = Node::new(3);
    let sandbox = node.fetch(&format!("http://{address}/x")).await;
    assert_eq!(text(&sandbox, "x"), "too much");
    assert_eq!(node.cache().bytes(), 0);
}

#[tokio::test]
async fn a_local_file_is_taken_from_the_cache_until_it_is_written_to() {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("x");
    std::fs::write(&path, "one").unwrap();
    let node = Node::new(100);
    node.fetch(path.to_str().unwrap()).await;
    node.fetch(path.to_str().unwrap()).await;
    assert_eq!(node.cache().figures().hits, 1);
    std::fs::write(&path, "other").unwrap();
    let sandbox = node.fetch(path.to_str().unwrap()).await;
    assert_eq!(text(&sandbox, "x"), "other");
}

/// A task runs as the user whose files they are, and could change what the next one gets.
#[tokio::test]
async fn root_a_user_can_neither_read_nor_write_the_cache_and_has_it_alone() {
    let server = served("one", None);
    let (address, _serving) = serve(&server).await;
    let node = Node::new(100);
    for uid in [12_345, 12_346] {
        let sandbox = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(sandbox.path(), Some(uid), Some(uid)).unwrap();
        let url = format!("http://{address}/x");
        let mut request = request(Path::new(&url), sandbox.path());
        request.uris[0].cache = true;
        request.user = Some((uid, uid, vec![]));
        let log = File::create(sandbox.path().join("stderr")).unwrap();
        node.fetcher.fetch(&request, None, log).await.unwrap();
        let made = sandbox.path().join("x").metadata().unwrap();
        assert_eq!((made.uid(), made.mode() & 0o777), (uid, 0o644));
    }
    assert_eq!(server.lock().unwrap().whole, 2);
    let cache = node.directory.path().join("cache");
    for directory in [cache.clone(), cache.join("12345")] {
        let found = directory.metadata().unwrap();
        assert_eq!(
            (found.uid(), found.permissions().mode() & 0o777),
            (0, 0o700)
        );
    }
    let kept = std::fs::read_dir(cache.join("12345")).unwrap();
    for kept in kept.map(|kept| kept.unwrap()) {
        let found = kept.metadata().unwrap();
        assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o600));
    }
}

#[tokio::test]
async fn root_a_program_from_the_cache_is_a_link_that_its_user_cannot_write_to() {
    let program = vec![7; 2 << 20];
    let server = Server::default();
    *server.lock().unwrap() = Served {
        content: program.clone(),
        etag: Some("\"1\""),
        ..Served::default()
    };
    let (address, _serving) = serve(&server).await;
    let node = Node::new(64 << 20);
    let fetched = async |executable, links, user: Option<u32>| {
        let sandbox = tempfile::tempdir().unwrap();
        let url = format!("http://{address}/program");
        let mut request = request(Path::new(&url), sandbox.path());
        request.uris[0].cache = true;
        request.uris[0].executable = executable;
        request.links = links;
        request.user = user.map(|uid| (uid, uid, vec![uid]));
        let uid = user.unwrap_or_default();
        std::os::unix::fs::chown(sandbox.path(), Some(uid), Some(uid)).unwrap();
        let log = File::create(sandbox.path().join("stderr")).unwrap();
        node.fetcher.fetch(&request, None, log).await.unwrap();
        let file = sandbox.path().join("program");
        assert!(std::fs::read(&file).unwrap() == program);
        let names = std::fs::read_dir(sandbox.path()).unwrap().count();
        assert_eq!(names, 2, "only that and stderr");
        let metadata = file.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        (metadata.uid(), mode, metadata.nlink(), sandbox)
    };
    let own = |(uid, mode, links, _): (u32, u32, u64, tempfile::TempDir)| (uid, mode, links);
    let user = Some(12_345);
    // The first fetch fills the cache.
    assert_eq!(own(fetched(true, true, user).await), (12_345, 0o755, 1));
    let (uid, mode, links, linked) = fetched(true, true, user).await;
    assert_eq!((uid, mode, links), (0, 0o555, 2));
    assert_eq!(own(fetched(true, true, user).await), (0, 0o555, 3));
    for (executable, links) in [(false, true), (true, false)] {
        let mode = if executable { 0o755 } else { 0o644 };
        let copied = own(fetched(executable, links, user).await);
        assert_eq!(copied, (12_345, mode, 1));
    }
    // Root could write to it.
    assert_eq!(own(fetched(true, true, None).await), (0, 0o755, 1));
    assert_eq!(own(fetched(true, true, None).await), (0, 0o755, 1));
    // What was linked and has changed meanwhile is fetched, and nothing of the link stays.
    server.lock().unwrap().etag = Some("\"2\"");
    assert_eq!(own(fetched(true, true, user).await), (12_345, 0o755, 1));
    drop(linked);
}

/// A tree with what a tar can hold, and a file that is large enough to be shared.
fn tree() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind, mode, content: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1_000_000);
        match link {
            "" => tar.append_data(&mut header, name, content).unwrap(),
            link => tar.append_link(&mut header, name, link).unwrap(),
        }
    };
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    add("bin", Directory, 0o755, b"", "");
    add("bin/run", Regular, 0o755, b"run", "");
    add(
        &format!("data/{}", "n".repeat(200)),
        Regular,
        0o644,
        &[7; 20_000],
        "",
    );
    add("l", Symlink, 0o777, b"", "bin/run");
    add("h", Link, 0o644, b"", "bin/run");
    let bytes = tar.into_inner().unwrap();
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut out, &bytes).unwrap();
    out.finish().unwrap()
}

/// Names, modes, times and contents.
fn seen(sandbox: &Path) -> Vec<(String, u32, i64, Option<Vec<u8>>)> {
    let names = [
        "bin",
        "bin/run",
        &format!("data/{}", "n".repeat(200)),
        "l",
        "h",
    ];
    let one = |name: &&str| {
        let path = sandbox.join(name);
        let found = path.symlink_metadata().unwrap();
        let time = if found.is_file() { found.mtime() } else { 0 };
        (
            name.to_string(),
            found.mode(),
            time,
            std::fs::read(path).ok(),
        )
    };
    names.iter().map(one).collect()
}

#[tokio::test]
async fn what_an_archive_unpacks_to_is_kept_where_that_is_asked_for() {
    let server = served("", Some("\"1\""));
    server.lock().unwrap().content = tree();
    let (address, _serving) = serve(&server).await;
    let url = format!("http://{address}/app.tgz#unpacked");
    let node = Node::new(1 << 20);
    let first = node.fetch(&url).await;
    assert!(!first.path().join("app.tgz").exists());
    assert_eq!(
        std::fs::read_link(first.path().join("l")).unwrap(),
        Path::new("bin/run")
    );
    let before = seen(first.path());
    // Its own, whatever it does.
    std::fs::write(first.path().join("bin/run"), "changed").unwrap();
    let node = Node::restarted(node.directory, 1 << 20);
    let again = node.fetch(&url).await;
    assert_eq!(seen(again.path()), before);
    let log = text(&again, "stderr");
    assert!(
        log.contains("from cache\nCopying what was extracted before"),
        "{log}"
    );
    let counted = server.lock().unwrap().clone();
    assert_eq!((counted.whole, counted.not_modified), (1, 1));
    assert_eq!(node.cache().figures().hits, 1);
    // The archive itself is another thing to keep.
    let plain = node.fetch(&url.replace("#unpacked", "")).await;
    assert_eq!(seen(plain.path()), before);
    assert_eq!(server.lock().unwrap().whole, 2);
}

#[tokio::test]
async fn a_tree_is_proven_by_the_checksum_of_its_archive() {
    let server = served("", None);
    server.lock().unwrap().content = tree();
    let (address, serving) = serve(&server).await;
    let digest = ring::digest::digest(&ring::digest::SHA256, &tree());
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let url = format!("http://{address}/app.tgz#unpacked#sha256:{hex}");
    let node = Node::new(1 << 20);
    let before = seen(node.fetch(&url).await.path());
    serving.abort();
    let _cancelled = serving.await;
    assert_eq!(seen(node.fetch(&url).await.path()), before);
}
