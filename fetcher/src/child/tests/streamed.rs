//! Archives that are unpacked while they come.

use super::faults::script;
use super::*;

/// More than is read at once, and nothing that compresses.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 3_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn archive(name: &str) -> Vec<u8> {
    let files = (0..20).map(|number| {
        let name = format!("{name}/{number}");
        entry(&name, EntryType::Regular, "", &noise(50_000))
    });
    gzip(&tarball(&files.collect::<Vec<_>>()))
}

fn whole(bytes: &[u8], etag: &str, sent: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\netag: \"{etag}\"\r\nconnection: close\r\n\r\n",
        bytes.len()
    );
    [head.as_bytes(), &bytes[..sent]].concat()
}

fn rest(bytes: &[u8], etag: &str, from: usize) -> Vec<u8> {
    let (length, all) = (bytes.len() - from, bytes.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-length: {length}\r\ncontent-range: bytes {from}-{}/{all}\r\n\
         etag: \"{etag}\"\r\nconnection: close\r\n\r\n",
        all - 1
    );
    [head.as_bytes(), &bytes[from..]].concat()
}

async fn fetch_script(answers: Vec<Vec<u8>>, disk: Option<u64>) -> Fetched {
    let (server, _) = script(answers).await;
    let uri = uri(format!("http://{server}/app.tgz"));
    fetch_within(uri, Limits::default(), disk).await
}

#[tokio::test]
async fn an_archive_that_breaks_off_goes_on_where_it_was() {
    let bytes = archive("a");
    let sent = 700_000;
    let answers = vec![whole(&bytes, "1", sent), rest(&bytes, "1", sent)];
    let fetched = fetch_script(answers, None).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.names(), ["a", "app.tgz"]);
    assert!(
        fetched.log.contains("Trying again after"),
        "{}",
        fetched.log
    );
    let content = std::fs::read(fetched.sandbox.path().join("a/19")).unwrap();
    assert!(content == noise(50_000));
}

/// Of the other one nothing is left, and nothing counts.
#[tokio::test]
async fn an_archive_that_has_changed_meanwhile_is_unpacked_from_its_beginning() {
    let (old, new) = (archive("old"), archive("new"));
    let answers = vec![whole(&old, "1", 700_000), whole(&new, "2", new.len())];
    let disk = new.len() as u64 + 20 * 50_000;
    let fetched = fetch_script(answers, Some(disk)).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.names(), ["app.tgz", "new"]);
}

#[tokio::test]
async fn of_an_archive_that_never_comes_whole_nothing_is_left() {
    let bytes = archive("a");
    let gone = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answers = vec![whole(&bytes, "1", 700_000), gone.to_vec()];
    let fetched = fetch_script(answers, None).await;
    let failure = fetched.failure();
    assert!(failure.contains("the server answered 404"), "{failure}");
    assert!(fetched.names().is_empty(), "{:?}", fetched.names());
}

/// What is wrong with it is told before the server has said all.
#[tokio::test]
async fn an_archive_that_is_none_fails_as_soon_as_that_shows() {
    let mut bytes = archive("a");
    bytes[100_000] ^= 1;
    let fetched = fetch_script(vec![whole(&bytes, "1", bytes.len())], None).await;
    let failure = fetched.failure();
    assert!(failure.contains("cannot unpack it"), "{failure}");
    assert!(fetched.names().is_empty(), "{:?}", fetched.names());
}

#[tokio::test]
async fn a_fetch_that_takes_too_long_leaves_nothing_of_what_came() {
    let bytes = archive("a");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let part = whole(&bytes, "1", 700_000);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &part)
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let sandbox = tempfile::tempdir().unwrap();
    let request = Request {
        uris: vec![uri(format!("http://{server}/app.tgz"))],
        sandbox: sandbox.path().to_owned(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    };
    let patience = Patience {
        stall: Duration::from_secs(60),
        ..HASTE
    };
    let http = Http::new(Policy::default(), patience, &[], Tls::new(&[]).unwrap()).unwrap();
    let limit = Some(Duration::from_millis(500));
    let fetched = fetch_for(http, &request, sandbox, Limits::default(), None, limit).await;
    let failure = fetched.failure();
    let uri = format!("failed to fetch 'http://{server}/app.tgz': ");
    let why = "fetching took longer than 0.5 s, which is all that a fetch may take";
    assert!(failure.starts_with(&format!("{uri}{why}")), "{failure}");
    assert!(fetched.names().is_empty(), "{:?}", fetched.names());
}
