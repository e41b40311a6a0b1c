//! Whatever goes wrong, the outcome, which becomes the task's status, and the log, which is the sandbox's stderr,
//! name the URI without its secrets, the step, and the reason.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::faults::{Answer, answer, script};
use super::*;

/// The hash of "hello", which none of the servers says.
const SUM: &str = "#sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

async fn told(scheme: &str, answers: Vec<Answer>, path: &str) -> Fetched {
    let (server, _) = script(answers).await;
    let url = format!("{scheme}://me:hunter2@{server}/{path}");
    let fetched = fetch_uri(uri(&url)).await;
    let shown = format!("'{scheme}://me:***@{server}/");
    for text in [fetched.failure(), &fetched.log] {
        assert!(text.to_lowercase().contains("failed to fetch") || text == fetched.log);
        assert!(text.contains(&shown), "{path}: {text}");
        assert!(!text.contains("hunter"), "{path}: {text}");
    }
    assert!(fetched.names().is_empty(), "{path}");
    fetched
}

#[tokio::test]
async fn each_fault_of_a_server_is_told_with_uri_step_and_reason() {
    let ok = |headers: &str, body: &str| answer("200 OK", headers, body);
    let ten = "content-length: 10\r\n";
    let moved = |to: usize| {
        let location = format!("content-length: 0\r\nlocation: /{to}\r\n");
        answer("302 Found", &location, "")
    };
    let broken = || answer("500 Internal Server Error", "content-length: 0\r\n", "");
    let half = [&b"PK\x03\x04"[..], &[0; 26]].concat();
    let half = String::from_utf8(half).unwrap();
    #[rustfmt::skip] // A fault is a row.
    let faults: Vec<(&str, Vec<Answer>, String, &str)> = vec![
        ("cut short", vec![ok(ten, "01234"); 4], "x".into(), "the server broke off"),
        ("a length that is none", vec![ok("content-length: ten\r\n", "0"); 4], "x".into(), "the server broke off"),
        ("too much", vec![ok("content-length: 2\r\n", "0123456789")], format!("x{SUM}"), "not what the URI's checksum says"),
        ("another content", vec![ok("content-length: 5\r\n", "hallo")], format!("x{SUM}"), "not what the URI's checksum says"),
        ("an error", vec![broken(), broken(), broken(), broken()], "x".into(), "the server answered 500"),
        ("no end of redirects", (0..20).map(moved).collect(), "x".into(), "a redirect is not followed"),
        ("no HTTP", vec![b"hello\r\n\r\n".to_vec(); 4], "x".into(), "the server broke off"),
        ("no archive", vec![ok("content-length: 30\r\n", &half)], "x.zip".into(), "cannot unpack it"),
        ("no tar", vec![ok(ten, "0123456789")], "x.tar".into(), "cannot unpack it"),
        ("no gzip", vec![ok(ten, "0123456789")], "x.txt.gz".into(), "cannot unpack it"),
    ];
    for (fault, answers, path, why) in faults {
        let fetched = told("http", answers, &path).await;
        let failure = fetched.failure();
        assert!(failure.contains(why), "{fault}: {failure}");
    }
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_of() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _hello = stream.read(&mut [0; 4096]).await;
            let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let fetched = fetch_uri(uri(format!("https://me:hunter2@{server}/x"))).await;
    let failure = fetched.failure();
    assert!(failure.contains("me:***@"), "{failure}");
    assert!(
        failure.contains("cannot connect to the server"),
        "{failure}"
    );
    assert!(!failure.contains("hunter") && !fetched.log.contains("hunter"));
}

/// As slow as it likes, as long as something comes.
#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _asked = stream.read(&mut [0; 4096]).await;
        let head = answer("200 OK", "content-length: 20\r\n", "");
        stream.write_all(&head).await.unwrap();
        for _ in 0..20 {
            stream.write_all(b"x").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let sandbox = tempfile::tempdir().unwrap();
    let request = Request {
        uris: vec![uri(format!("http://{server}/x"))],
        sandbox: sandbox.path().to_owned(),
        user: None,
        frameworks_home: None,
        links: false,
        store: None,
    };
    let patience = Patience {
        stall: Duration::from_secs(20),
        ..HASTE
    };
    let http = Http::new(Policy::default(), patience, &[], Tls::new(&[]).unwrap()).unwrap();
    let fetched = fetch_with(http, &request, sandbox, Limits::default(), None).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "x".repeat(20));
}
