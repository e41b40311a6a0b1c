//! Clients that use an agent in every way, and count what they see.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Set when clients are to end.
#[derive(Debug, Clone, Default)]
pub struct Until(Arc<AtomicBool>);

impl Until {
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An answer, and whether the connection goes on.
pub struct Answer {
    pub body: Vec<u8>,
    pub goes_on: bool,
}

/// A connection that is used as HTTP/1.1 allows, and no better than that: nothing is tried twice.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// One that is refused fails the test.
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(BufReader::new(stream.unwrap_or_else(|error| {
            panic!("a client was refused: {error}")
        })))
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask(path).await;
        let (length, goes_on) = self.head().await;
        let mut body = vec![0; length];
        self.fill(&mut body).await;
        Answer { body, goes_on }
    }

    pub async fn ask(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n");
        let sent = self.0.get_mut().write_all(request.as_bytes()).await;
        sent.unwrap_or_else(|error| panic!("a connection broke: {error}"));
    }

    /// Of an answer with status 200: how long its body is, and whether another answer may follow.
    pub async fn head(&mut self) -> (usize, bool) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head).await;
            match read {
                Ok(0) => panic!("a connection was closed without a word: {head:?}"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    panic!("a connection was reset after {head:?}")
                }
                Err(error) => panic!("a connection broke: {error}"),
            }
        }
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.unwrap_or_else(|| panic!("how long is it? {head}"));
        let goes_on = !head.contains("\r\nconnection: close\r\n");
        (length.parse().unwrap(), goes_on)
    }

    pub async fn fill(&mut self, body: &mut [u8]) {
        let read = self.0.read_exact(body).await;
        read.unwrap_or_else(|error| panic!("an answer broke off: {error}"));
    }
}

/// Connects anew for each request. Gives how often.
pub async fn newcomer(address: String, until: Until) -> u64 {
    let mut count = 0;
    while !until.is_over() {
        Connection::open(&address).await.get("/health").await;
        count += 1;
    }
    count
}

/// Asks again and again on one connection, and connects only when it was told that it must. Gives how
/// often it has asked.
pub async fn regular(address: String, path: &'static str, until: Until) -> u64 {
    let (mut connection, mut count) = (Connection::open(&address).await, 0);
    while !until.is_over() {
        if !connection.get(path).await.goes_on {
            connection = Connection::open(&address).await;
        }
        count += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    count
}

/// Follows a file that is rotated while it grows, from its first byte to the line that ends it: `end`.
/// Gives all of it.
pub async fn follower(address: String, file: String) -> Vec<u8> {
    let (mut connection, mut read) = (Connection::open(&address).await, Vec::new());
    while !read.ends_with(b"\nend\n") {
        let path = format!("/files/read?path={file}&offset={}&length=65536", read.len());
        let answer = connection.get(&path).await;
        if !answer.goes_on {
            connection = Connection::open(&address).await;
        }
        let piece: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let data = piece["data"].as_str().unwrap();
        if data.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        assert_eq!(piece["offset"], read.len(), "a follower was left behind");
        read.extend_from_slice(data.as_bytes());
    }
    read
}

/// Begins to download a file, and until `until` reads so little of it that the agent always has more to send than
/// sockets take; but some, for who reads nothing for a minute is given up. Gives all of it.
pub async fn slow_reader(address: String, file: String, until: Until) -> Vec<u8> {
    /// More than a socket holds of one who reads as slowly: there is room for more then.
    const SIP: usize = 256 << 10;
    const PAUSE: Duration = Duration::from_secs(5);
    let mut connection = Connection::open(&address).await;
    connection
        .ask(&format!("/files/download?path={file}"))
        .await;
    let (length, _) = connection.head().await;
    let mut body = vec![0; length];
    let mut next = Instant::now();
    for sip in body.chunks_mut(SIP) {
        connection.fill(sip).await;
        next += PAUSE;
        while !until.is_over() && Instant::now() < next {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    body
}
