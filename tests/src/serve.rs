//! A file server that is just enough for a fetcher: GET, one file per connection.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves a directory on loopback until the runtime ends; gives the port.
pub async fn directory(directory: PathBuf) -> u16 {
    serve(directory, None).await
}

/// The same for who says `authorization`.
pub async fn to_whom(directory: PathBuf, authorization: &str) -> u16 {
    serve(directory, Some(authorization.to_owned())).await
}

async fn serve(directory: PathBuf, authorization: Option<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, directory.clone(), authorization.clone()));
        }
    });
    port
}

async fn answer(mut stream: TcpStream, directory: PathBuf, authorization: Option<String>) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]);
    let is_known = authorization.is_none_or(|wanted| {
        let mut headers = request.lines().filter_map(|line| line.split_once(": "));
        headers.any(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == wanted)
    });
    let path = request
        .split(' ')
        .nth(1)
        .unwrap_or("/")
        .trim_start_matches('/');
    let (status, body) = match std::fs::read(directory.join(path)) {
        _ if !is_known => (
            "401 Unauthorized\r\nwww-authenticate: Basic realm=\"test\"",
            Vec::new(),
        ),
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A client that has gone away has its reasons.
    let _gone = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}
