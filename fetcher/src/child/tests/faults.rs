//! Servers that break off, err, lie and come back: each connection gets the next answer of a script.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What a server says on one connection before it closes it.
pub type Answer = Vec<u8>;

/// A server that gives each connection the next answer, and what it was asked.
pub async fn script(answers: Vec<Answer>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
            log.lock().unwrap().push(request);
            stream.write_all(&answer).await.unwrap();
        }
    });
    (address, asked)
}

pub fn answer(status: &str, headers: &str, body: &str) -> Answer {
    let end = "connection: close\r\n\r\n";
    format!("HTTP/1.1 {status}\r\n{headers}{end}{body}").into_bytes()
}

async fn fetch_script(answers: Vec<Answer>, fragment: &str) -> (Fetched, Vec<String>) {
    let (server, asked) = script(answers).await;
    let fetched = fetch_uri(uri(format!("http://{server}/x{fragment}"))).await;
    let asked = asked.lock().unwrap().clone();
    (fetched, asked)
}

pub const TEN: &str = "content-length: 10\r\n";

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let etag = "etag: \"v1\"\r\n";
    let (fetched, asked) = fetch_script(
        vec![
            answer("200 OK", &format!("{TEN}{etag}"), "01234"),
            answer(
                "206 Partial Content",
                &format!("content-length: 5\r\ncontent-range: bytes 5-9/10\r\n{etag}"),
                "567",
            ),
            answer(
                "206 Partial Content",
                &format!("content-length: 2\r\ncontent-range: bytes 8-9/10\r\n{etag}"),
                "89",
            ),
        ],
        "",
    )
    .await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "0123456789");
    assert!(!asked[0].contains("\r\nrange:"), "{}", asked[0]);
    assert!(asked[1].contains("\r\nrange: bytes=5-\r\n"), "{}", asked[1]);
    assert!(
        asked[1].contains("\r\nif-range: \"v1\"\r\n"),
        "{}",
        asked[1]
    );
    assert!(asked[2].contains("\r\nrange: bytes=8-\r\n"), "{}", asked[2]);
    assert!(fetched.log.contains("Trying again after 5 bytes: "));
}

#[tokio::test]
async fn a_file_that_has_changed_meanwhile_is_fetched_from_its_beginning() {
    let (fetched, _) = fetch_script(
        vec![
            answer("200 OK", &format!("{TEN}etag: \"v1\"\r\n"), "01234"),
            answer("200 OK", &format!("{TEN}etag: \"v2\"\r\n"), "abcdefghij"),
        ],
        "",
    )
    .await;
    assert_eq!(fetched.file("x"), "abcdefghij");
}

/// A weak tag says nothing of bytes.
#[tokio::test]
async fn without_a_validator_the_whole_is_asked_for_again() {
    let (fetched, asked) = fetch_script(
        vec![
            answer("200 OK", &format!("{TEN}etag: W/\"v1\"\r\n"), "01234"),
            answer("200 OK", TEN, "abcdefghij"),
        ],
        "",
    )
    .await;
    assert_eq!(fetched.file("x"), "abcdefghij");
    assert!(!asked[1].contains("\r\nrange:"), "{}", asked[1]);
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_not_taken() {
    let etag = "etag: \"v1\"\r\n";
    let (fetched, asked) = fetch_script(
        vec![
            answer("200 OK", &format!("{TEN}{etag}"), "01234"),
            answer(
                "206 Partial Content",
                &format!("content-length: 6\r\ncontent-range: bytes 4-9/10\r\n{etag}"),
                "456789",
            ),
            answer("200 OK", &format!("{TEN}{etag}"), "0123456789"),
        ],
        "",
    )
    .await;
    assert_eq!(fetched.file("x"), "0123456789");
    assert!(!asked[2].contains("\r\nrange:"), "{}", asked[2]);
}

#[tokio::test]
async fn a_server_that_errs_is_asked_again_but_not_for_ever() {
    let busy = || answer("503 Service Unavailable", "content-length: 0\r\n", "");
    let (fetched, _) = fetch_script(
        vec![busy(), busy(), answer("200 OK", TEN, "0123456789")],
        "",
    )
    .await;
    assert_eq!(fetched.file("x"), "0123456789");
    let (fetched, asked) = fetch_script(vec![busy(), busy(), busy(), busy()], "").await;
    assert!(fetched.failure().contains("the server answered 503"));
    assert_eq!(asked.len(), 4);
    assert!(fetched.names().is_empty());
    let missing = answer("404 Not Found", "content-length: 0\r\n", "");
    let (fetched, asked) = fetch_script(vec![missing], "").await;
    assert!(fetched.failure().contains("the server answered 404"));
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn what_breaks_off_and_comes_again_counts_once() {
    let (server, _) = script(vec![
        answer("200 OK", TEN, "01234"),
        answer("200 OK", TEN, "01234"),
        answer("200 OK", TEN, "0123456789"),
    ])
    .await;
    let uri = uri(format!("http://{server}/x"));
    let fetched = fetch_within(uri, Limits::default(), Some(10)).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
}

#[tokio::test]
async fn content_is_what_its_checksum_says_or_it_is_not_there() {
    let good = "#sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let five = "content-length: 5\r\n";
    let (fetched, asked) = fetch_script(vec![answer("200 OK", five, "hello")], good).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.names(), ["x"]);
    assert!(asked[0].starts_with("get /x http/1.1\r\n"), "{}", asked[0]);
    let (fetched, _) = fetch_script(vec![answer("200 OK", five, "hallo")], good).await;
    let failure = fetched.failure();
    assert!(failure.contains("expected sha256:2cf24dba"), "{failure}");
    assert!(failure.contains("got sha256:d3751d33"), "{failure}");
    assert!(fetched.names().is_empty());
    let longer = "#sha512:9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7\
                  2323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043";
    let (fetched, _) = fetch_script(vec![answer("200 OK", five, "hello")], longer).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.names(), ["x"]);
    let (fetched, _) = fetch_script(vec![answer("200 OK", five, "hallo")], longer).await;
    let failure = fetched.failure();
    assert!(failure.contains("expected sha512:9b71d224"), "{failure}");
    assert!(failure.contains("got sha512:"), "{failure}");
    assert!(fetched.names().is_empty());
}

#[tokio::test]
async fn no_secret_of_a_uri_is_told() {
    let missing = answer("404 Not Found", "content-length: 0\r\n", "");
    let (server, asked) = script(vec![missing]).await;
    let url = format!("http://me:hunter2@{server}/x?token=hunter3");
    let fetched = fetch_uri(uri(url)).await;
    for text in [fetched.failure(), &fetched.log] {
        assert!(!text.contains("hunter"), "{text}");
        assert!(text.contains("me:***@127.0.0.1"), "{text}");
    }
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("get /x?token=hunter3 "), "{asked}");
    assert!(
        asked.contains("authorization: basic bwu6ahvudgvymg=="),
        "{asked}"
    );
}

#[tokio::test]
async fn a_metadata_service_is_not_asked_even_by_a_redirect() {
    let direct = fetch_uri(uri("http://169.254.169.254/latest/meta-data")).await;
    assert!(
        direct
            .failure()
            .contains("link-local or a cloud's metadata")
    );
    let location = "content-length: 0\r\nlocation: http://169.254.169.254/latest\r\n";
    let (fetched, _) = fetch_script(vec![answer("302 Found", location, "")], "").await;
    let failure = fetched.failure();
    assert!(failure.contains("a redirect is not followed"), "{failure}");
    assert!(failure.contains("169.254.169.254"), "{failure}");
}

/// The first waits for the last, which nobody would ask for if it came after it.
#[tokio::test]
async fn downloads_run_beside_each_other_and_land_in_the_order_of_the_uris() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(listener.accept().await.unwrap().0);
        }
        for stream in waiting.iter_mut().rev() {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let asked = String::from_utf8_lossy(&request[..length]);
            let name = asked.split(['/', ' ']).nth(2).unwrap().to_owned();
            let length = format!("content-length: {}\r\n", name.len());
            stream
                .write_all(&answer("200 OK", &length, &name))
                .await
                .unwrap();
        }
    });
    let sandbox = tempfile::tempdir().unwrap();
    let named = |name: &str, output: &str| Uri {
        output_file: Some(output.into()),
        ..uri(format!("http://{address}/{name}"))
    };
    let request = Request {
        uris: vec![named("a", "x"), named("b", "y"), named("c", "x")],
        sandbox: sandbox.path().to_owned(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    };
    let fetched = fetch_request(&request, sandbox, Limits::default(), None).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(
        (fetched.file("x"), fetched.file("y")),
        ("c".into(), "b".into())
    );
    assert_eq!(fetched.names(), ["x", "y"]);
}
