//! Proxies that the environment names, spoken to by a real child.

use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

const SECRET: &str = "hunter2";

/// A proxy that says `answer` to everybody.
struct Proxy {
    /// With a name and a password.
    url: String,
    /// The heads of requests, as they came.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn new(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://me:{SECRET}@{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let mut connection = BufReader::new(connection);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if connection.read_line(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let tunnelled = head.starts_with("CONNECT") && answer.starts_with("HTTP/1.1 200");
                heads.lock().unwrap().push(head);
                // Whoever asked may have gone.
                let _ = connection.write_all(answer.as_bytes()).await;
                if tunnelled {
                    let mut begins = [0; 512];
                    let read = connection.read(&mut begins).await.unwrap_or(0);
                    let begins = String::from_utf8_lossy(&begins[..read]).into_owned();
                    heads.lock().unwrap().push(begins);
                }
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The outcome, and what the sandbox's stderr says.
async fn fetched(
    sandbox: &Path,
    variables: &[(&str, &str)],
    url: &str,
) -> (Result<Fetched, String>, String) {
    let mut helper: Vec<String> = vec!["/usr/bin/env".to_owned()];
    helper.extend(
        variables
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    helper.extend(super::helper());
    let log = File::create(sandbox.join("stderr")).unwrap();
    let outcome = fetch(&helper, &request(Path::new(url), sandbox), log).await;
    let said = std::fs::read_to_string(sandbox.join("stderr")).unwrap();
    (outcome.map_err(|error| error.to_string()), said)
}

/// Names are the proxy's to resolve: nobody here knows this one.
const URL: &str = "http://files.example/hello";
const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

#[tokio::test]
async fn a_file_comes_by_the_proxy_which_is_told_who_asks_and_nobody_else_is() {
    let proxy = Proxy::new(HELLO).await;
    let sandbox = tempfile::tempdir().unwrap();
    let (outcome, said) = fetched(sandbox.path(), &[("http_proxy", &proxy.url)], URL).await;
    outcome.unwrap();
    let file = std::fs::read_to_string(sandbox.path().join("hello"));
    assert_eq!(file.unwrap(), "hello");
    let asked = proxy.asked().concat().to_lowercase();
    assert!(
        asked.starts_with("get http://files.example/hello http/1.1\r\n"),
        "{asked}"
    );
    // "me:hunter2"
    assert!(
        asked.contains("\r\nproxy-authorization: basic bwu6ahvudgvymg==\r\n"),
        "{asked}"
    );
    assert!(!said.contains(SECRET), "{said}");
}

/// The proxy sees nothing of what is secret.
#[tokio::test]
async fn https_goes_through_the_proxy_to_the_server() {
    let proxy = Proxy::new("HTTP/1.1 200 OK\r\n\r\n").await;
    let sandbox = tempfile::tempdir().unwrap();
    let url = "https://files.example/hello";
    let (outcome, said) = fetched(sandbox.path(), &[("https_proxy", &proxy.url)], url).await;
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with("CONNECT files.example:443 HTTP/1.1\r\n"),
        "{asked:?}"
    );
    // A handshake of TLS with that server.
    assert!(
        asked[1].starts_with('\u{16}') && asked[1].contains("files.example"),
        "{asked:?}"
    );
    // Which this one ended.
    let why = outcome.unwrap_err();
    assert!(
        why.contains("failed to fetch 'https://files.example/hello'"),
        "{why}"
    );
    assert!(!why.contains(SECRET) && !said.contains(SECRET), "{said}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_of_without_its_password() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let proxy = Proxy::new(refusal).await;
    for (variable, url, reason) in [
        (
            "http_proxy",
            URL,
            "answered 407 Proxy Authentication Required",
        ),
        (
            "https_proxy",
            "https://files.example/hello",
            "proxy authorization required",
        ),
    ] {
        let sandbox = tempfile::tempdir().unwrap();
        let (outcome, said) = fetched(sandbox.path(), &[(variable, &proxy.url)], url).await;
        let why = outcome.unwrap_err();
        assert!(why.contains(reason), "{why}");
        assert!(!why.contains(SECRET) && !said.contains(SECRET), "{said}");
    }
}

#[tokio::test]
async fn who_is_named_in_no_proxy_is_asked_himself() {
    let (proxy, server) = (Proxy::new(HELLO).await, Proxy::new(HELLO).await);
    let address = server.url.rsplit('@').next().unwrap().to_owned();
    let sandbox = tempfile::tempdir().unwrap();
    let variables = [("all_proxy", &*proxy.url), ("no_proxy", "127.0.0.1")];
    let url = format!("http://{address}/hello");
    fetched(sandbox.path(), &variables, &url).await.0.unwrap();
    assert_eq!(proxy.asked(), Vec::<String>::new());
    assert!(server.asked()[0].starts_with("GET /hello HTTP/1.1\r\n"));
}

#[tokio::test]
async fn no_proxy_is_asked_for_a_metadata_service() {
    let moved =
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/x\r\ncontent-length: 0\r\n\r\n";
    let proxy = Proxy::new(moved).await;
    for (url, requests) in [("http://169.254.169.254/x", 0), (URL, 1)] {
        let sandbox = tempfile::tempdir().unwrap();
        let (outcome, _) = fetched(sandbox.path(), &[("http_proxy", &proxy.url)], url).await;
        let why = outcome.unwrap_err();
        assert!(
            why.contains("the address 169.254.169.254 is link-local"),
            "{why}"
        );
        assert_eq!(proxy.asked().len(), requests);
    }
}

/// What an agent was started with: this test again, in a process of its own.
#[tokio::test]
async fn the_proxies_of_an_agent_are_those_of_its_fetches() {
    const INSIDE: &str = "LONGSHORE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        let sandbox = tempfile::tempdir().unwrap();
        let log = File::create(sandbox.path().join("stderr")).unwrap();
        let request = request(Path::new(URL), sandbox.path());
        fetch(&helper(), &request, log).await.unwrap();
        return;
    }
    let proxy = Proxy::new(HELLO).await;
    let url = proxy.url.clone();
    let inside = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "proxies::the_proxies_of_an_agent_are_those_of_its_fetches",
            ])
            .env(INSIDE, "1")
            .env("http_proxy", url)
            // Servers of CGI programs are told by this what a client wants.
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .output()
    });
    let inside = inside.await.unwrap().unwrap();
    assert!(inside.status.success(), "{inside:?}");
    assert_eq!(proxy.asked().len(), 1);
}
